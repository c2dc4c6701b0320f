"""What every way out has in common: where a call goes, which headers it may carry, and how its connections are kept.

The two transports (sturdy, direct) differ in how they speak on a connection, and in nothing else
that the gate can see: the limits, the rules for keeping a connection and the words for what went wrong stand here,
once.

- **Places.** A channel has so many; a call takes one from its start to the close of its answer, and waits when there is
  none.
- **Kept connections.** The last used one is taken first, so that those no longer needed grow old and go. Before use it
  is looked at: one that is old, closed or not silent is dropped.
- **The stale rule.** When a kept connection breaks before any response byte, the call is tried once more on a new one
  (`is_stale`). Upstreams close idle connections when they like, so the close often crosses the next request. On the
  wire this looks like an upstream that died while working, and a POST may then run twice. It is accepted because: only
  a connection that had been idle qualifies, never a new one; the break must come within STALE_S, while a model that has
  begun to work takes longer to break; the gate would try the next candidate after a reset just the same; the account
  pays for one answer.
"""

import re
import socket
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Headers, UpstreamRequest

MAX_CONNECTIONS = 10_000  # per channel, as many as the doors take; further calls wait
KEEP_IDLE_S = 30.0  # below the 60 s and more after which the providers' front proxies close an idle connection
MAX_IDLE = 256  # per channel: each kept connection is a file descriptor, with TLS some 50 KB
HEAD_LIMIT = 256 * 1024  # bytes read before the head is complete: endless headers or interim (1xx) answers
STALE_S = 1.0  # a crossing close shows up within one round trip

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e]*")  # ASCII only: beyond it, peers disagree on the meaning

Origin = tuple[bytes, bytes, int]
"""Scheme, host and port: what a connection leads to."""


def described(line: "Line", state: str) -> str:
    """A connection in words: where to, how old, in which state."""
    scheme, host, port = line.origin
    age = "kept" if line.reused else "new"
    return f"<Line to {scheme.decode()}://{host.decode()}:{port}, {age}, {state}>"


class ChannelCounts(msgspec.Struct, frozen=True):
    """For metrics: calls that hold a place, calls that wait for one, kept connections."""

    in_use: int
    waiting: int
    idle: int


class Target(msgspec.Struct, frozen=True):
    """An address, taken apart. `host` is for the connection (no brackets), `authority` for the Host header."""

    raw: bytes
    origin: Origin
    host: str
    authority: bytes
    path: bytes


@lru_cache(maxsize=1024)  # the addresses of a config, each with a few paths
def target(url: str) -> Target:
    """Raises UpstreamFailed for what is not an http or https URL."""
    try:
        raw = url.encode("ascii")
        parts = urlsplit(raw)
        port = parts.port
    except ValueError:
        raise UpstreamFailed(Fault.protocol, "the address is not a URL", sent=False) from None
    if parts.scheme not in (b"http", b"https") or not parts.hostname or not _VALUE.fullmatch(raw) or b" " in raw:
        raise UpstreamFailed(Fault.protocol, "the address is not an http or https URL", sent=False)
    if port is None:
        port = 443 if parts.scheme == b"https" else 80
    path = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
    authority = parts.netloc.rpartition(b"@")[2]
    return Target(raw, (parts.scheme, parts.hostname, port), parts.hostname.decode(), authority, path)


def headers(request: UpstreamRequest, authority: bytes) -> Headers:
    """The caller's headers with those that HTTP needs. The body's length is ours to say, whatever the caller says.
    Raises UpstreamFailed for a header that HTTP cannot carry."""
    found: Headers = [(b"host", authority), (b"content-length", b"%d" % len(request.body))]
    encoding = True
    for name, value in request.headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            shown = name[:40].decode("ascii", "backslashreplace")
            raise UpstreamFailed(Fault.protocol, f"header {shown!r} cannot be sent as HTTP", sent=False)
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            continue
        if lower == b"host":
            found[0] = (name, value)
            continue
        encoding = encoding and lower != b"accept-encoding"
        found.append((name, value))
    if encoding:
        found.append((b"accept-encoding", b"identity"))
    return found


async def reach(host: str, port: int) -> trio.SocketStream:
    """A TCP connection, with TCP_NODELAY set. Raises UpstreamFailed; its time limit is the caller's."""
    try:
        return await trio.open_tcp_stream(host, port)
    except (socket.gaierror, UnicodeError):
        raise UpstreamFailed(Fault.dns, "the name does not resolve", sent=False) from None
    except OSError as exc:
        # Trio tries every address and tells of all; the first one's reason is the one to show.
        cause = exc.__cause__
        first = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause
        reason = getattr(first, "strerror", None) or exc.strerror or "unreachable"
        raise UpstreamFailed(Fault.connect, f"could not connect: {reason}", sent=False) from None


def handshake_failed(cause: BaseException | None) -> UpstreamFailed:
    """What is told of a TLS handshake that `cause` ended."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        detail = f"certificate refused: {cause.verify_message}"
    else:
        detail = f"handshake failed: {getattr(cause, 'reason', None) or 'connection lost'}"
    return UpstreamFailed(Fault.tls, detail, sent=False)


def no_connection(connect_s: float, *, sent: bool) -> UpstreamFailed:
    """The connect limit has passed. `sent` is the word of an earlier try."""
    return UpstreamFailed(Fault.connect, f"no connection within {connect_s:g} s", sent=sent, timed_out=True)


def check_head(status: int, headers: Headers) -> None:
    """Refuse answers that were not asked for; a refusal's words may come compressed, its reader knows how to take
    them. The names of `headers` are in lower case."""
    if status < 200:
        raise UpstreamFailed(Fault.protocol, f"answered {status}, which was not asked for", sent=True)
    for name, value in headers:
        if name == b"content-encoding" and status < 400 and value.strip().lower() not in (b"", b"identity"):
            raise UpstreamFailed(Fault.encoding, "a compressed answer although identity was asked", sent=True)


def is_stale(failed: UpstreamFailed, *, reused: bool, heard: bool, began_at: float) -> bool:
    """Whether `failed` looks like an idle connection's close that crossed our request (see the module's text). `heard`
    when any byte came back since the request began."""
    return reused and failed.fault is Fault.reset and not heard and trio.current_time() - began_at < STALE_S


class Line(Protocol):
    """A connection, as far as keeping it goes. In its repr stands its state."""

    origin: Origin
    reused: bool
    idle_until: float

    def is_good(self) -> bool:
        """Whether a kept connection is open and silent."""
        ...

    def close(self) -> None:
        """At once, without waiting for anything."""
        ...


L = TypeVar("L", bound=Line)


class Channel(Generic[L]):
    """The places and kept connections of one channel, reached in one way."""

    def __init__(self, reach: Reach, max_connections: int) -> None:
        self.reach = reach
        # A place that is given back twice is an error of ours, and told as one.
        self.places = trio.Semaphore(max_connections, max_value=max_connections)
        self.max_connections = max_connections
        self.idle: deque[L] = deque()  # the longest unused first
        self.keeps = True

    def __repr__(self) -> str:
        now = self.counts()
        ending = "" if self.keeps else ", keeps none any more"
        return f"<Channel {now.in_use} in use, {now.waiting} waiting, {now.idle} kept{ending}>"

    def entered(self) -> bool:
        """Take a place if there is one; whether there was."""
        try:
            self.places.acquire_nowait()
        except trio.WouldBlock:
            return False
        return True

    async def enter(self) -> None:
        """Take a place, waiting for one if need be."""
        if not self.entered():  # spares a turn of the scheduler in the common case
            await self.places.acquire()

    def maybe_idle_line(self, origin: Origin, now: float) -> L | None:
        """The last used connection to `origin` that is still good: an upstream's close is seen as a readable socket.
        `now` is trio.current_time."""
        idle = self.idle
        at = len(idle)
        while at:
            at -= 1
            line = idle[at]
            if line.origin == origin:
                del idle[at]
                if line.idle_until > now and line.is_good():
                    line.reused = True
                    return line
                line.close()
        return None

    def give_back(self, line: L, *, clean: bool) -> None:
        """Ends a call's use of `line` and of its place. Kept only when `clean`: the whole exchange is over on both
        sides."""
        now = trio.current_time()
        line.idle_until = now + KEEP_IDLE_S
        if clean and self.keeps and len(self.idle) < MAX_IDLE:
            self.idle.append(line)
        else:
            line.close()
        while self.idle and self.idle[0].idle_until <= now:
            self.idle.popleft().close()
        self.places.release()

    def retire(self) -> None:
        """Close every kept connection now, and those in use when their answers are closed."""
        self.keeps = False
        while self.idle:
            self.idle.pop().close()

    def close_idle(self) -> None:
        now = trio.current_time()
        for line in [line for line in self.idle if line.idle_until <= now or not line.is_good()]:
            self.idle.remove(line)
            line.close()

    def counts(self) -> ChannelCounts:
        return ChannelCounts(
            in_use=self.max_connections - self.places.value,
            waiting=self.places.statistics().tasks_waiting,
            idle=len(self.idle),
        )


C = TypeVar("C", bound=Channel[Any])


class Channels(ABC, Generic[C]):
    """The channels of a transport, made when first used. `max_connections` is per channel: further calls wait for a
    place, under the gate's limits.

    A channel is known by its name and by how it is reached: calls that began before its settings changed go on with
    connections of the old kind, and those that are the same keep their connections.
    """

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._max_connections = max_connections
        self._channels: dict[str, C] = {}  # those last asked for, by name
        self._others: dict[tuple[str, Reach], C] = {}  # the other kinds of a name, while calls of both are there
        self._trust: dict[str | None, ssl.SSLContext] = {}
        self._keeps = True

    def __repr__(self) -> str:
        used = ", ".join(f"{name} {channel}" for name, channel in self._channels.items())
        return f"<{type(self).__name__} {used or 'not used yet'}>"

    @abstractmethod
    def _new_channel(self, reach: Reach, trust: ssl.SSLContext, max_connections: int) -> C: ...

    def _channel(self, name: str, reach: Reach) -> C:
        channel = self._channels.get(name)
        if channel is not None and channel.reach is reach:
            return channel
        if channel is not None:
            if channel.reach == reach:
                channel.reach = reach  # the same in newer settings
                return channel
            self._others[name, channel.reach] = channel
        channel = self._channels[name] = self._others.pop((name, reach), None) or self._made(reach)
        return channel

    def _made(self, reach: Reach) -> C:
        if reach.authorities not in self._trust:  # making a trust store takes 20-50 ms: once for each
            self._trust[reach.authorities] = ssl.create_default_context(cadata=reach.authorities)
        channel = self._new_channel(reach, self._trust[reach.authorities], self._max_connections)
        channel.keeps = self._keeps
        return channel

    def adopt(self, reaches: Mapping[str, Reach]) -> None:
        """From now on there are these channels; of others, and of other ways to reach these, no connection is kept."""
        known = [*self._others.items(), *(((name, channel.reach), channel) for name, channel in self._channels.items())]
        stay = {}
        for (name, reach), channel in known:
            if reaches.get(name) == reach:
                stay[name] = channel
            else:
                channel.retire()
        self._channels, self._others = stay, {}
        trusted = {reach.authorities for reach in reaches.values()}
        self._trust = {text: context for text, context in self._trust.items() if text in trusted}

    def close_idle(self) -> None:
        """Close the connections that have been idle for too long, without waiting for the next call to find them."""
        for channel in (*self._channels.values(), *self._others.values()):
            channel.close_idle()

    def counts(self) -> dict[str, ChannelCounts]:
        """Per channel that was used since the start."""
        return {name: channel.counts() for name, channel in self._channels.items()}

    async def aclose_all(self) -> None:
        """Close every kept connection now, and those in use when their answers are closed."""
        self._keeps = False
        for channel in (*self._channels.values(), *self._others.values()):
            channel.retire()
