"""What every door needs to know of HTTP, pure: which route a path means, whose key a request shows, which headers an
answer has.

Both doors use it, so they cannot differ. Tolerant where people paste (CONTRACT.md): a trailing or doubled slash, a
missing or doubled /v1, behind /anthropic too; and strict where it matters: two different keys in one request are
refused.
"""

import difflib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from math import ceil

from ftgate.core import addresses
from ftgate.dialects import COUNT_ROUTES, ROUTES
from ftgate.dialects.brought import HEADER, Brought, in_header
from ftgate.dialects.talk import Dialect, Headers
from ftgate.errors import Forbidden, InvalidRequest, NotAuthenticated, RateLimited
from ftgate.ports import Key

CALLS = {**ROUTES, **COUNT_ROUTES}
"""Every route that the doors take by themselves, with the dialect that its callers speak; all others are the site's."""

OPEN_ROUTES = (*CALLS, "/v1/models", "/anthropic/v1/models", "/v1/pricing")
"""Routes that browsers of other origins may call with a Bearer key (CORS); account and admin routes are not among
them."""

ANTHROPIC = "/anthropic"
"""Where Anthropic's API stands as a whole, apart from OpenAI's: what its clients are told as their base URL."""

_SLASHES = re.compile(r"/{2,}")
_V1S = re.compile(r"^(?:/v1)+(?=/|$)")
_WORDS = frozenset(
    ["chat", "models", "pricing", "user", "billing", "auth", "tokens", "embeddings", "completions", "messages",
    "responses", "route", "admin"]
)  # fmt: skip
"""What stands behind /v1 in a route, and may stand in front where the /v1 was left out."""
MAX_KEY_BYTES = 512
PROVIDER_KEY = HEADER.lower().encode()
GUESSES = ("invalid_api_key", "invalid_token")
"""Codes of a refusal that a stranger who tries credentials meets."""


def too_many_guesses(wait_s: float) -> RateLimited:
    """What an address is told from which many wrong credentials came."""
    words = f"Too many wrong credentials came from this address. Try again in {ceil(wait_s)}s"
    return RateLimited(words, retry_after_s=wait_s)


def tidy(path: str) -> str:
    """The path as it is written, with single slashes and none at its end."""
    path = _SLASHES.sub("/", path)
    return path.rstrip("/") if len(path) > 1 else path


def canonical(path: str) -> str:
    """The path as routes of the API are written: tidy, and with one /v1."""
    path = tidy(path)
    family = ANTHROPIC if _below(path, ANTHROPIC) else ""
    path = _V1S.sub("/v1", path[len(family) :])
    if not path.startswith("/v1") and path.startswith("/") and path.split("/")[1] in _WORDS:
        path = "/v1" + path
    return family + path


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


def meant(method: str, path: str, methods_at: Callable[[str], Collection[str]]) -> str:
    """The route that a request means: its path as it is written, unless only the canonical one is a route, of the relay
    or of the site. `methods_at(path)` says which methods the site takes there, none where it has no route. So a page
    may be called /models, and stays apart from /v1/models; a request that no page takes may leave the /v1 out."""
    written = tidy(path)
    if written in CALLS or not path.startswith("/") or method in methods_at(written):
        return written
    route = canonical(written)
    return route if route in CALLS or methods_at(route) else written


def route_hint(path: str, known: Iterable[str]) -> str:
    """Words for a 404 that name the route meant."""
    near = difflib.get_close_matches(canonical(path), list(known), n=1, cutoff=0.5)
    return (
        f"no such route: {path[:200]}. Did you mean {near[0]}?"
        if near
        else f"no such route: {path[:200]}. The API is under /v1"
    )


def is_open(path: str) -> bool:
    return any(_below(path, route) for route in OPEN_ROUTES)


def wording(path: str, *, versioned: bool = False) -> Dialect:
    """The dialect in whose words the errors at a path are told: of the routes of calls and of all below them, of what
    stands under /anthropic, and of the models, which two protocols have at one path, by whether an `anthropic-version`
    was sent (`versioned`). OpenAI's everywhere else."""
    if _below(path, ANTHROPIC) or (versioned and _below(path, "/v1/models")):
        return CALLS[ANTHROPIC + "/v1/messages"]
    return next((dialect for route, dialect in CALLS.items() if _below(path, route)), CALLS["/v1/chat/completions"])


def brought_key(known: Brought | None, value: bytes) -> Brought:
    """The provider key that a header brings beside what another one brought. Raises InvalidRequest, also where the two
    differ."""
    found = in_header(value)
    if known not in (None, found):
        raise InvalidRequest(f"the request has two different {HEADER}", param=HEADER)
    return found


def provider_key(headers: Headers) -> bytes | None:
    """The value of the header that brings a provider key; None where there is none. Raises InvalidRequest for one that
    brings no key, and where two differ."""
    found: Brought | None = None
    last = None
    for name, value in headers:
        if name == PROVIDER_KEY:
            found, last = brought_key(found, value), value
    return last


def presented_key(headers: Headers, most: int = MAX_KEY_BYTES) -> bytes | None:
    """The API key a request shows in `Authorization: Bearer` or `x-api-key`; None when it shows none; of `most` bytes
    at the most. Raises InvalidRequest when it shows two that differ: which one pays must not depend on the order of
    headers."""
    shown = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            key = key.strip() if scheme.lower() == b"bearer" else b""
        elif name == b"x-api-key":
            key = value.strip()
        else:
            continue
        if shown and key not in (shown, b""):  # an empty field, or another scheme, shows no key of ours
            raise InvalidRequest(
                "the request shows two different API keys; send one, as `Authorization: Bearer` or `x-api-key`"
            )
        shown = shown or key
    if len(shown) > most:
        raise NotAuthenticated("Invalid API key")
    return shown or None


def check_address(key: Key, address: str) -> None:
    """Raises Forbidden where a key may not be used from this address."""
    if key.allowed_ips and not addresses.within(addresses.parse(address), key.allowed_ips):
        raise Forbidden(f"This API key may not be used from {address or 'there'}", code="ip_not_allowed")


CORS = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"X-FindToken-Mode, X-FindToken-Cost, X-FindToken-Balance, X-FindToken-Model, X-FindToken-Provider, "
        b"X-FindToken-Attempts, X-FindToken-Counted-By,"
        b" X-Request-Id, Retry-After, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
        b"x-ratelimit-reset-requests",
    ),
]
PREFLIGHT = [
    *CORS,
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization"),  # the star does not cover Authorization (Fetch standard)
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]


def _random_parts() -> Iterator[str]:
    """64 random bits each, drawn by many at once: a system call for each would cost more than all else about an id."""
    while True:
        drawn = os.urandom(4096).hex()
        yield from (drawn[at : at + 16] for at in range(0, len(drawn), 16))


_random = _random_parts()


def new_request_id() -> str:
    """Ours, and unique for ever: milliseconds since 1970, so that ids sort by time and a database's index grows at its
    end, and 64 random bits."""
    return f"req_{time.time_ns() // 1_000_000:012x}{next(_random)}"
