"""No key, token or address is left; ordinary words are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.redact import redact, scrub
from ftgate.core.secret import Secret

# Shapes of real keys, none of them one. Split, so that no scanner takes this file for a leak.
SECRETS = {
    "openai": "sk-" + "proj-Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z",
    "openai, masked": "sk-" + "proj-****************wXyz",
    "openai, short mask": "sk-" + "...abcd1",
    "anthropic": "sk-" + "ant-api03-Zz11_yY22-Xx33wW44",
    "openrouter": "sk-" + "or-v1-0123456789abcdef0123456789abcdef",
    "ours": "sk-" + "ft_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcde",
    "deepseek": "sk-" + "0123456789abcdef0123456789abcdef",
    "groq": "gsk" + "_AbCdEfGh1234IjKl",
    "xai": "xai" + "-AbCdEfGh1234IjKl",
    "google": "AIza" + "SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v",
    "zhipu": "0123456789abcdef0123456789abcdef." + "AbCdEfGhIjKlMnOp",
    "baidu": "bce-v3/" + "ALTAK-AbCdEf/0123456789abcdef",
    "volcengine": "01234567-89ab-" + "cdef-0123-456789abcdef",
    "mistral": "AbCdEfGh1jKlMnOp" + "QrStUvWxYz234567",
    "hugging face": "hf" + "_AbCdEfGhIjKl",
    "perplexity": "pplx" + "-0123456789abcdef",
    "nvidia": "nvapi" + "-AbCdEfGh_12",
    "cerebras": "csk" + "-abcdefgh12",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aliyun": "LTAI" + "5tAbCdEfGhIjKlMn",
    "stripe": "whsec" + "_AbCdEfGh1234",
    "stripe live": "rk" + "_live_1234567",
    "jwt (minimax)": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.AbC-dEf_123",
    "bearer": "Bearer " + "anything.at-all",
    "url": "https://internal.example:8443/v1/chat?key=1",
    "http": "http://10.1.2.3/v1",
    "websocket": "wss://h.example/x",
    "ipv4": "192.168.1.254",
    "ipv4 and port": "10.0.0.7:8080",
    "ipv6": "fd00:1:2:3:4:5:6:7",
    "ipv6, short": "2001:db8::7334",
    "ipv6, loopback": "::1",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "words", ["{}", "Incorrect API key provided: {}. Try again", "key='{}'", '{{"key": "{}"}}', "({})", "钥匙 {}，无效"]
)
def test_secrets_go(kind, words):
    secret = SECRETS[kind]
    for cleaned in (redact(words.format(secret)), scrub(words.format(secret))):
        assert "[redacted]" in cleaned
        for part in secret.split("*")[0].replace("Bearer ", "").split("/"):
            assert len(part) < 7 or part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "api_key=abc123456",
        'apiKey: "Xy12zz"',
        "Incorrect API key provided: abc***xyz.",
    ],
)
def test_named_keys_go(text):
    assert "[redacted]" in redact(text)
    assert "abc" not in redact(text).replace("api", "") and "Xy12" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens, however you requested 9000.",
        "Invalid value for temperature: 3.5 (must be between 0 and 2)",
        "Invalid API key: please check it",
        "key_quota_exceeded",
        "key_expired",
        "insufficient_credits",
        "invalid_request_error",
        "a key-value store, task_force, risk-adjusted, sk-learn",
        "gpt-4o-realtime-preview-2024-12-17",
        "claude-3-5-sonnet-20241022",
        "Qwen/Qwen2.5-Coder-32B-Instruct",
        "doubao-seed-1-6-250615",
        "messages.3.content must be a string",
        "at 12:30:45 on 2026-03-14",
        "std::vector and a ratio of 3:4:5",
        "version 1.2.3",
        "余额不足，请充值",
        "Pneumonoultramicroscopicsilicovolcanoconiosis",
        "1234567890123456789012345678901234567890",
        "",
    ],
)
def test_ordinary_words_stay(text):
    assert redact(text) == text
    assert scrub(text) == text


def test_shape():
    assert redact("a\x00b\nc\u2028d") == "a b c d"
    assert redact("x " * 5000, limit=10) == "x x x x x"
    assert len(redact("é" * 5000)) == 500
    assert scrub("a\nb") == "a\nb"


def test_half_a_key_at_the_cut_does_not_stay():
    secret = "sk-" + "a1" * 30
    for short in range(1, 62):
        text = "http://h/" + "x" * (2000 - 9 - 1 - short) + " " + secret
        assert secret[:short] not in redact(text).replace("[redacted]", "") or redact(text) == "[redacted]"


@given(st.text(max_size=300))
def test_never_longer_than_allowed_never_raises(text):
    assert len(redact(text)) <= 500
    scrub(text)


def test_a_secret_is_not_shown():
    secret = Secret("hush")
    assert [str(secret), repr(secret), f"{secret}", f"{[secret]}"] == ["***", "***", "***", "[***]"]
    assert secret.reveal() == "hush"
    assert secret == Secret("hush") and secret != Secret("x") and secret != "hush"
    assert len({secret, Secret("hush")}) == 1
