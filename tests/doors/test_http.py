"""Paths, keys and headers as both doors understand them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.doors import http
from ftgate.errors import InvalidRequest, MethodNotAllowed, NotAuthenticated, RateLimited

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (CHAT, CHAT),
        (CHAT + "/", CHAT),
        (CHAT + "///", CHAT),
        ("//v1//chat//completions//", CHAT),
        ("/chat/completions", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("/v1/v1/v1/chat/completions/", CHAT),
        ("/v1//v1/chat/completions", CHAT),
        ("/models", "/v1/models"),
        ("/v1/models/Qwen/Qwen3-8B", "/v1/models/Qwen/Qwen3-8B"),
        ("/models/v1/x", "/v1/models/v1/x"),
        ("/user/balance", "/v1/user/balance"),
        ("/", "/"),
        ("//", "/"),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1/v1", "/v1"),
        ("/v10/chat", "/v10/chat"),
        ("/v1beta/models", "/v1beta/models"),
        ("/login", "/login"),
        ("/healthz/", "/healthz"),
        ("/chatter", "/chatter"),
        ("/CHAT/completions", "/CHAT/completions"),
        ("", ""),
        ("*", "*"),
        ("chat", "chat"),
    ],
)
def test_canonical(path, route):
    assert http.canonical(path) == route


@given(st.text(alphabet="/v1chatmodels*x", max_size=30) | st.text(max_size=30))
def test_canonical_is_final_and_never_raises(path):
    once = http.canonical(path)
    assert http.canonical(once) == once
    assert "//" not in once


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/chat/completion", "Did you mean /v1/chat/completions?"),
        ("/chat/completons", "Did you mean /v1/chat/completions?"),
        ("/v1/model", "Did you mean /v1/models?"),
        ("/zzz", "The API is under /v1"),
        ("", "The API is under /v1"),
    ],
)
def test_route_hint(path, words):
    assert words in http.route_hint(path, http.OPEN_ROUTES)


def test_route_hint_is_short():
    assert len(http.route_hint("/" + "x" * 10_000, http.OPEN_ROUTES)) < 300


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        (CHAT, True),
        ("/v1/models", True),
        ("/v1/models/m", True),
        ("/v1/models/a/b", True),
        ("/v1/pricing", True),
        ("/v1/modelsx", False),
        ("/v1/user/balance", False),
        ("/v1/tokens", False),
        ("/v1/admin/users", False),
        ("/v1", False),
        ("/", False),
    ],
)
def test_is_open(path, is_open):
    assert http.is_open(path) is is_open


KEY, OTHER = b"sk-ft_one", b"sk-ft_two"
AUTH, X = b"authorization", b"x-api-key"

MATRIX = [
    # headers, the key shown; None: none; InvalidRequest: two that differ
    ([], None),
    ([(AUTH, b"Bearer " + KEY)], KEY),
    ([(AUTH, b"bearer " + KEY)], KEY),
    ([(AUTH, b"BEARER   " + KEY + b"  ")], KEY),
    ([(X, KEY)], KEY),
    ([(X, b" " + KEY + b" ")], KEY),
    ([(AUTH, b"Bearer " + KEY), (X, KEY)], KEY),
    ([(X, KEY), (AUTH, b"Bearer " + KEY)], KEY),
    ([(X, KEY), (X, KEY)], KEY),
    ([(AUTH, b"Bearer " + KEY), (X, OTHER)], InvalidRequest),
    ([(X, OTHER), (AUTH, b"Bearer " + KEY)], InvalidRequest),
    ([(X, KEY), (X, OTHER)], InvalidRequest),
    ([(AUTH, b"Bearer " + KEY), (AUTH, b"Bearer " + OTHER)], InvalidRequest),
    # nothing of ours in it
    ([(AUTH, b"")], None),
    ([(AUTH, b"Bearer")], None),
    ([(AUTH, b"Bearer ")], None),
    ([(AUTH, KEY)], None),
    ([(AUTH, b"Basic dXNlcjpwYXNz")], None),
    ([(X, b"")], None),
    ([(b"cookie", b"key=" + KEY)], None),
    ([(b"x-other", KEY)], None),
    ([(AUTH, b"Basic dXNlcjpwYXNz"), (X, KEY)], KEY),  # the front proxy's own
    ([(AUTH, b"Bearer "), (X, KEY)], KEY),
    ([(AUTH, b"Bearer " + KEY), (X, b"")], KEY),
    # bytes as they come: the key table decides, nothing here may fail on them
    ([(AUTH, b"Bearer \xe9")], b"\xe9"),
    ([(X, "schlüssel".encode())], "schlüssel".encode()),
    ([(X, b"\x00\xff")], b"\x00\xff"),
    ([(AUTH, b"Bearer a b")], b"a b"),
]


@pytest.mark.parametrize(("headers", "key"), MATRIX)
def test_presented_key(headers, key):
    if key is InvalidRequest:
        with pytest.raises(InvalidRequest, match="two different API keys") as said:
            http.presented_key(headers)
        assert said.value.status == 400
        assert "sk-ft" not in said.value.message
    else:
        assert http.presented_key(headers) == key
        assert http.presented_key(headers[::-1]) == key


def test_a_long_key_is_refused_unread():
    assert http.presented_key([(X, b"k" * 512)]) == b"k" * 512
    with pytest.raises(NotAuthenticated):
        http.presented_key([(X, b"k" * 513)])
    with pytest.raises(NotAuthenticated):
        http.presented_key([(AUTH, b"Bearer " + b"k" * 65_536)])


@given(st.lists(st.tuples(st.sampled_from([AUTH, X]), st.binary(max_size=20)), max_size=4))
def test_any_headers(headers):
    try:
        shown = http.presented_key(headers)
    except InvalidRequest:
        return
    assert shown is None or shown


@pytest.mark.parametrize(
    ("seconds", "header"),
    [
        (None, []),
        (0.0, [(b"retry-after", b"1")]),
        (0.01, [(b"retry-after", b"1")]),
        (1.0, [(b"retry-after", b"1")]),
        (1.5, [(b"retry-after", b"2")]),
        (59.0001, [(b"retry-after", b"60")]),
        (-5.0, [(b"retry-after", b"1")]),
        (1e300, [(b"retry-after", b"86400")]),
        (float("inf"), [(b"retry-after", b"86400")]),
    ],
)
def test_retry_after(seconds, header):
    assert http.error_headers(RateLimited("x", retry_after_s=seconds)) == header


def test_allow():
    assert http.error_headers(MethodNotAllowed("x", allow="GET, POST")) == [(b"allow", b"GET, POST")]


def test_plain_error():
    assert http.plain_error(InvalidRequest('no "such" é', param="p")) == (
        '{"error":{"message":"no \\"such\\" '
        'é","type":"invalid_request_error","code":"invalid_value","param":"p"}}'.encode()
    )


def test_preflight_names_authorization():
    headers = dict(http.PREFLIGHT)
    assert b"Authorization" in headers[b"access-control-allow-headers"]
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"access-control-allow-credentials" not in headers
