"""What can have no effect is allowed and told; an alias counts as its model."""

from pathlib import Path

import pytest
import trustme

from ftgate.core.limits import Rates
from tests.config.reading import CHANNEL, load, warnings

TWO = CHANNEL + '[channel.models."gpt-4.1"]\ninput = 1\noutput = 1\n[alias]\n"gpt-x" = "m"\n"gpt-y" = "gpt-x"\n'

TOLD = [
    ('[fallback]\nm = ["gpt-x", "m"]', "[fallback] m names only the model itself: it has no effect."),
    ("[fallback]\nm = []", "[fallback] m names no model: it has no effect."),
    ('[fallback]\n"gpt-x" = ["m"]', "[fallback] gpt-x names only the model itself: it has no effect."),
    ('[plan.default]\nmodels = ["claude-*"]', '[plan.default] models names "claude-*", which no channel serves.'),
    ('[plan.default]\nmodels = ["anthropic/x"]', '[plan.default] models names "anthropic/x", which no channel serves.'),
    ('[limits.model."gpt-*"]\nconcurrent = 1', '[limits.model] names "gpt-*", which no channel serves.'),
]
SILENT = [
    '[fallback]\nm = ["gpt-4.1"]',
    '[fallback]\nauto = ["m"]',
    '[plan.default]\nmodels = ["gpt-*", "gpt-y", "auto"]',
    '[plan.default]\nmodels = ["*"]',
    '[plan.default]\nmodels = ["a*", "m"]',
    '[limits.model."gpt-y"]\nconcurrent = 1',
    '[limits.model."anthropic/gpt-y"]\nconcurrent = 1',
    '[plan.default]\nmodels = ["anthropic/gpt-y"]',
]


@pytest.mark.parametrize(("text", "words"), TOLD)
def test_what_has_no_effect_is_told(text: str, words: str) -> None:
    (found,) = [line.partition(" ")[2] for line in warnings(TWO + text)]
    assert found == words


@pytest.mark.parametrize("text", SILENT)
def test_what_has_an_effect_is_not(text: str) -> None:
    assert warnings(TWO + text) == []


def test_payers_of_real_money_come_back_to_a_public_address() -> None:
    keys = "[stripe]\nsecret_key = 'sk_live_1'\nwebhook_secret = 'whsec_1'\n"
    (told,) = [line.partition(" ")[2] for line in warnings(CHANNEL + keys)]
    assert told.startswith("[stripe] takes payments") and told.endswith("Set server.public_url.")
    assert warnings(CHANNEL + keys + "[server]\npublic_url = 'http://llm.example.org'\n") == []
    assert warnings(CHANNEL + keys.replace("live", "test")) == []


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("host = '0.0.0.0'\nregistration = 'open'", ["password_min = 6"]),
        ("public_url = 'http://llm.example.org'\nregistration = 'open'\npassword_min = 7", ["password_min = 7"]),
        ("host = '0.0.0.0'\nregistration = 'open'\npassword_min = 8", []),
        ("host = '0.0.0.0'\nregistration = 'invite'", []),
        ("registration = 'open'", []),
        ("public_url = 'https://llm.example.org'", ["name its address in trusted_proxies"]),
        ("public_url = 'http://llm.example.org'", []),
        ("public_url = 'https://llm.example.org'\ntrusted_proxies = ['127.0.0.1']", []),
    ],
)
def test_a_server_that_others_reach(server: str, told: list[str]) -> None:
    found = warnings(CHANNEL + f"[server]\n{server}\n")
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found


def test_auto_is_a_name_of_its_own() -> None:
    assert [line.partition(" ")[2] for line in warnings(CHANNEL + '[alias]\nauto = "m"')] == [
        '[alias] auto has no effect: model = "auto" chooses by [auto]. Name the model there.'
    ]
    served = CHANNEL.replace('"m"', '"auto"')
    assert [line.partition(" ")[2] for line in warnings(served + '[auto]\nsimple = ["auto"]')] == [
        '[auto] has no effect: a channel serves a model named "auto".'
    ]


@pytest.mark.parametrize("setting", ["http2 = true", "ca_file = 'PLACE/ca.pem'"])
def test_what_only_tls_has_is_told_without_it(setting: str, tmp_path: Path) -> None:
    authority = trustme.CA().cert_pem
    authority.write_to_path(tmp_path / "ca.pem")
    plain = CHANNEL.replace("keys =", f"{setting.replace('PLACE', str(tmp_path))}\nkeys =")
    assert warnings(plain) == [f'6: [[channel]] "lab": {setting.split()[0]} has no effect: base_url is not https.']
    assert warnings(plain.replace("http:", "https:")) == []


@pytest.mark.parametrize(
    ("url", "server", "told"),
    [
        ("http://127.0.0.1:8400/v1", "", True),
        ("http://localhost:8400/v1", "", True),
        ("http://[::1]:8401", "port = 8401", True),
        ("https://gate.example/v1", 'host = "gate.example"\nport = 443', True),
        ("http://127.0.0.1:8401/v1", "", False),
        ("http://10.0.0.7:8400/v1", "", False),
        ("https://gate.example:8400/v1", "", False),
    ],
)
def test_a_channel_to_ourselves_is_told(url: str, server: str, told: bool) -> None:
    text = CHANNEL.replace("http://127.0.0.1:9000/v1", url) + f"[server]\n{server}\n"
    words = '5: [[channel]] "lab": base_url is where this gateway listens: it would call itself.'
    assert warnings(text) == [words] * told
    assert warnings(text.replace("keys =", 'proxy = "http://p:1"\nkeys =')) == []


@pytest.mark.parametrize("name", ["m", "gpt-x", "gpt-y", "anthropic/m", "anthropic/gpt-y"])
def test_limits_of_an_alias_are_those_of_its_model(name: str) -> None:
    found = load(f'{TWO}[limits.model."{name}"]\nrequests_per_minute = 1')
    assert found.limits_model == {"m": Rates(requests_per_minute=1)}
