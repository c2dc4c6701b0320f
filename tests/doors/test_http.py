"""Paths, keys and headers as both doors understand them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.dialects.talk import error_headers
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
        ("/anthropic", "/anthropic"),
        ("//anthropic//", "/anthropic"),
        ("/anthropic/v1/messages", "/anthropic/v1/messages"),
        ("/anthropic/messages/", "/anthropic/v1/messages"),
        ("/anthropic//v1/v1/messages", "/anthropic/v1/messages"),
        ("/anthropic/v1", "/anthropic/v1"),
        ("/anthropic/models/anthropic/m", "/anthropic/v1/models/anthropic/m"),
        ("/v1/models/anthropic/m", "/v1/models/anthropic/m"),
        ("/anthropic/nonesuch", "/anthropic/nonesuch"),
        ("/anthropics/messages", "/anthropics/messages"),
        ("/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/responses", "/v1/responses"),
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


SITE = {"/": "GET", "/healthz": "GET", "/v1/models": "GET", "/v1/models/m": "GET", "/v1/user/balance": "GET"}
"""What a site without pages takes."""
PAGES = {"/models": "GET", "/tokens": "GET POST", "/chat": "GET", "/admin/users": "GET", "/user/balance": "GET"}

MEANT = [
    # method, path, the route without pages, the route beside pages of such names
    ("POST", CHAT, CHAT, CHAT),
    ("GET", CHAT, CHAT, CHAT),
    ("POST", "/chat/completions", CHAT, CHAT),
    ("GET", "/chat/completions", CHAT, CHAT),  # is told that POST is meant
    ("OPTIONS", "/chat/completions/", CHAT, CHAT),
    ("POST", "//v1/v1//chat/completions/", CHAT, CHAT),
    ("GET", "/models", "/v1/models", "/models"),
    ("GET", "//models//", "/v1/models", "/models"),
    ("POST", "/models", "/v1/models", "/v1/models"),  # no request for a page: 405 of the API
    ("GET", "/v1/models", "/v1/models", "/v1/models"),
    ("GET", "/v1/v1/models/", "/v1/models", "/v1/models"),
    ("GET", "/models/m", "/v1/models/m", "/v1/models/m"),
    ("GET", "/models/other", "/models/other", "/models/other"),
    ("GET", "/user/balance", "/v1/user/balance", "/user/balance"),
    ("GET", "/chat", "/chat", "/chat"),
    ("POST", "/tokens", "/tokens", "/tokens"),
    ("GET", "/admin//users/", "/admin/users", "/admin/users"),
    ("GET", "/pricing", "/pricing", "/pricing"),  # nobody serves /v1/pricing here
    ("GET", "/v1/v1/nonesuch", "/v1/v1/nonesuch", "/v1/v1/nonesuch"),
    ("GET", "/login/", "/login", "/login"),
    ("GET", "/", "/", "/"),
    ("GET", "//", "/", "/"),
    ("GET", "", "", ""),
    ("OPTIONS", "*", "*", "*"),
]


def taking(served):
    return lambda path: served.get(path, "").split()


@pytest.mark.parametrize(("method", "path", "alone", "beside"), MEANT)
def test_what_a_path_means(method, path, alone, beside):
    assert http.meant(method, path, taking(SITE)) == alone
    assert http.meant(method, path, taking(SITE | PAGES)) == beside


PLACES = st.sampled_from([CHAT, "/chat/completions", "/v1/models", "/models"])
MANNERS = st.sampled_from(["", "/", "/v1", "/v1/v1"])


@given(st.sampled_from(["GET", "POST"]), MANNERS, PLACES, MANNERS, st.sets(PLACES, min_size=1))
def test_a_page_is_never_taken_for_another_route(method, before, place, after, served):
    takes = taking({one: "GET" for one in served if one != CHAT})
    path = before + place + after
    route = http.meant(method, path, takes)
    assert http.meant(method, route, takes) == route
    tidied = http.tidy(path)
    if method in takes(tidied):
        assert route == tidied
    elif route != tidied:
        assert route == http.canonical(path) and (route == CHAT or takes(route))


PARTS = st.sampled_from(["/", "//", "/v1", "/anthropic", "/models", "/chat", "/x", "anthropic"])


@given(
    st.text(alphabet="/v1chatmodels*x", max_size=30) | st.text(max_size=30) | st.lists(PARTS, max_size=6).map("".join)
)
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
        ("/anthropic/v1/models", True),
        ("/anthropic/v1/models/m", True),
        ("/anthropic", False),
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
        (1e300, [(b"retry-after", b"2678400")]),
        (float("inf"), [(b"retry-after", b"2678400")]),
    ],
)
def test_retry_after(seconds, header):
    assert error_headers(RateLimited("x", retry_after_s=seconds)) == header


def test_allow():
    assert error_headers(MethodNotAllowed("x", allow="GET, POST")) == [(b"allow", b"GET, POST")]


@pytest.mark.parametrize(
    ("path", "versioned", "dialect"),
    [
        (CHAT, False, "openai_chat"),
        (CHAT + "/x", True, "openai_chat"),
        ("/v1/completions", False, "openai_completions"),
        ("/v1/messages", False, "anthropic_messages"),
        ("/v1/messages/nonesuch", False, "anthropic_messages"),
        ("/v1/messages/count_tokens", False, "anthropic_messages"),
        ("/anthropic", False, "anthropic_messages"),
        ("/anthropic/v1/chat/completions", False, "anthropic_messages"),
        ("/anthropics", False, "openai_chat"),
        ("/v1/models", False, "openai_chat"),
        ("/v1/models/m", True, "anthropic_messages"),
        ("/v1/modelsx", True, "openai_chat"),
        ("/v1/user/balance", True, "openai_chat"),
        ("/somewhere", False, "openai_chat"),
    ],
)
def test_in_whose_words_errors_are_told(path, versioned, dialect):
    assert dialect == http.wording(path, versioned=versioned).NAME


def test_preflight_names_authorization():
    headers = dict(http.PREFLIGHT)
    assert b"Authorization" in headers[b"access-control-allow-headers"]
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"access-control-allow-credentials" not in headers
