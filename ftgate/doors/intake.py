"""What every door does with a call before the gate has it, in one place: find its dialect, look at its key, make room
for its body. Both doors use it, so they cannot differ.
"""

from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache, partial

from ftgate.core.addresses import client_address
from ftgate.dialects import COUNT_ROUTES
from ftgate.dialects.brought import Brought
from ftgate.dialects.talk import Dialect
from ftgate.doors import http
from ftgate.errors import BodyTooLarge, BodyTooSlow, NotAuthenticated, Overloaded, UnsupportedBody
from ftgate.line.call import Call
from ftgate.ports import HOPS, Client, Headers, Key, Live
from ftgate.ports.site import Throttle

HELD_BYTES = 256 * 1024 * 1024
"""Bytes of request bodies in memory at once, over all callers: past it a call is refused for a moment, not everybody
served from swap."""
BODY_S = 60.0
"""Seconds in which a request's body must have come whole. No hold is taken before that."""
_HEEDED = frozenset((HOPS, b"content-encoding", http.PROVIDER_KEY, b"content-length"))
ROUTES_KEPT = 256
"""Paths of which is remembered what they mean: callers write few, and strangers must not fill the memory."""


class Room:
    """What one call's body takes of the room that all share; given back when the call has ended, however it ends."""

    __slots__ = ("intake", "taken")

    def __init__(self, intake: "Intake") -> None:
        self.intake = intake
        self.taken = 0

    def __repr__(self) -> str:
        return f"<Room {self.taken} of {self.intake.held_bytes} bytes held>"

    def take(self, size: int) -> None:
        """Raises BodyTooLarge, Overloaded."""
        assert size >= 0
        intake = self.intake
        most, held = intake.live.doors.max_body_bytes, intake.held_bytes + size
        if self.taken + size > most:
            raise intake.too_large()
        if held > HELD_BYTES and held > most:  # one body that is allowed always fits
            raise Overloaded("too many large requests are being read now", retry_after_s=1)
        intake.held_bytes = held
        self.taken += size

    def free(self) -> None:
        assert self.intake.held_bytes >= self.taken >= 0
        self.intake.held_bytes -= self.taken
        self.taken = 0


Walk = Callable[[Call, Client], Awaitable[None]]


class Intake:
    """The way from a door to the gate. `walk` is the gate's relay(call, client), `count` what takes requests that are
    only to be counted, `authenticate` the gate's look at a key; `methods_at(path)` tells which methods the site behind
    the relay takes there, so that its pages stay its own; `throttle` counts
    wrong keys."""

    def __init__(
        self,
        walk: Walk,
        count: Walk,
        authenticate: Callable[[bytes | None], Awaitable[Key]],
        *,
        live: Live,
        methods_at: Callable[[str], Collection[str]] = lambda path: (),
        throttle: Throttle | None = None,
    ) -> None:
        self.throttle = throttle
        self.walk = walk
        self.count = count
        self.authenticate = authenticate
        self.live = live
        self.held_bytes = 0
        self.know_site(methods_at)

    def know_site(self, methods_at: Callable[[str], Collection[str]]) -> None:
        """The site behind the relay takes these methods at a path."""
        # The route that a request means (doors.http.meant). Asking the site takes longer than all else about a head.
        self.route = lru_cache(maxsize=ROUTES_KEPT)(partial(http.meant, methods_at=methods_at))

    @property
    def max_body_bytes(self) -> int:
        return self.live.doors.max_body_bytes

    @property
    def cors(self) -> bool:
        """Whether browsers on other sites may call."""
        return self.live.doors.cors

    @property
    def extra_headers(self) -> Headers:
        """What every answer has beside its own headers."""
        return http.CORS if self.live.doors.cors else []

    def dialect_of(self, route: str) -> Dialect | None:
        """The dialect of a route that doors take; None for the site's."""
        return http.CALLS.get(route)

    def way_of(self, route: str) -> Walk:
        """Who takes a call to such a route."""
        return self.count if route in COUNT_ROUTES else self.walk

    async def admit(self, headers: Headers, peer: Callable[[], str]) -> tuple[bytes | None, Key]:
        """The secret shown and its key, before a byte of the body is asked for: a stranger must not fill the memory.
        `peer` tells the address at the other end. Raises GateError."""
        secret = http.presented_key(headers)
        try:
            key = await self.authenticate(secret)
        except NotAuthenticated as refused:
            if secret is not None and self.throttle is not None and refused.code in http.GUESSES:
                wait_s = self.throttle.guessed("key", self._address(headers, peer))
                if wait_s is not None:
                    raise http.too_many_guesses(wait_s) from None
            raise
        if key.allowed_ips:
            http.check_address(key, self._address(headers, peer))
        return secret, key

    def _address(self, headers: Headers, peer: Callable[[], str]) -> str:
        forwarded = [value.decode("latin1") for name, value in headers if name == b"x-forwarded-for"]
        return client_address(peer(), forwarded, self.live.site.trusted_proxies)

    def check_head(self, dialect: Dialect, headers: Headers) -> tuple[bytes, Headers | None, Brought | None]:
        """Refuse by its head what need not be read. The gateways that the call came through (core.hops), the headers
        that go up to upstreams of its dialect, and the provider key that it brings. Raises UnsupportedBody,
        BodyTooLarge, InvalidRequest."""
        came, brought = b"", None
        for name, value in headers:
            if name not in _HEEDED:
                continue
            if name == HOPS:
                came += b"," * bool(came) + value
            elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                raise UnsupportedBody("send the body uncompressed: Content-Encoding is not supported here")
            elif name == http.PROVIDER_KEY:
                brought = http.brought_key(brought, value)
            elif name == b"content-length" and value.isdigit() and int(value) > self.live.doors.max_body_bytes:
                raise self.too_large()
        onward = dialect.FORWARDED
        forwarded = ([header for header in headers if header[0] in onward] or None) if onward else None
        return came, forwarded, brought

    def too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than {self.max_body_bytes // 1_000_000} MB, the limit of this gateway "
            "(server.max_body_mb)"
        )

    def too_slow(self) -> BodyTooSlow:
        return BodyTooSlow(f"the body did not come whole within {BODY_S:g}s")
