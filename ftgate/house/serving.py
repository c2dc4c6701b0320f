"""A process that serves: its sockets, files and heap, its signals, how it winds down, and what it does once a minute.

What it serves stands behind small Protocols here: app.py hands in the doors and the gate.
"""

import ctypes
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sqlite3
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import trio

from ftgate.config import Settings
from ftgate.config.settings import Server
from ftgate.core.spending import Spending
from ftgate.house.house import Directory, House

log = logging.getLogger("ftgate.serving")

LISTEN_BACKLOG = 1024
CUT_S = 3.0
"""Seconds that calls cut at shutdown have to send their error and settle."""
LOOK_S = 0.05
"""How often a process that winds down looks whether calls are still running."""
SWEEP_S = 60.0
SPENDING_S = 10.0
"""How often it is read what channels have cost at other gateways."""
OPEN_FILES = 65_536
PR_SET_DUMPABLE = 4
"""Of prctl(2)."""
GC_THRESHOLD = 20_000
"""New objects in containers after which the collector looks at the youngest."""


class Door(Protocol):
    """What stands at the port."""

    @property
    def connections(self) -> int:
        """How many are open now."""
        ...

    async def serve(
        self, listeners: list[trio.SocketListener], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept until `stop()`, then return when the busy connections have finished."""
        ...

    def stop(self) -> None:
        """Begin a graceful stop."""
        ...


class Running(Protocol):
    """A call in flight."""

    def cancel(self, why: str) -> None:
        """End it now; what it has used is settled."""
        ...


class Calls(Protocol):
    """What takes the calls: nothing new once it is `closing`. `leaving`: it soon will be, and says so to whoever
    asks."""

    closing: bool
    leaving: bool

    @property
    def calls(self) -> Collection[Running]: ...


class PortTaken(Exception):
    """The address cannot be listened on."""


class NoSuchHost(Exception):
    """The host is no address of this machine: what is wrong with it, in words."""


class LeadsBack(Exception):
    """Channels whose address is this gateway itself: each call would come back, and again."""


class Started:
    """What the first lines of a start tell a person. `setup` are the links by which the first operator is made, one
    token in each; none where there is an operator."""

    def __init__(
        self, url: str, house: House[Directory], orphans: int, owner_key: str | None, setup: Sequence[str] = ()
    ) -> None:
        self.url = url
        self.house = house
        self.orphans = orphans
        self.owner_key = owner_key
        self.setup = setup


# A start


def allow_open_files() -> None:
    """Two sockets for each call: many systems begin with room for 1,024 files, and let a process ask for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_no_core() -> None:
    """Leave no core file behind, in which the keys of channels and of callers would stand: no size is allowed for one,
    and on Linux the process is not dumpable, since a core that goes to a program (core_pattern) has no size. So its
    files in /proc, its open files among them, are for root's eyes alone, and no other process of this user reads its
    memory."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a system without it has no such files either
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Open the listening sockets. "::" listens on IPv4 too, where the system can. Raises PortTaken, NoSuchHost."""
    try:
        if _every_address(host) and socket.has_dualstack_ipv6():
            bare = socket.create_server(
                (host, port), family=socket.AF_INET6, backlog=LISTEN_BACKLOG, dualstack_ipv6=True
            )
            return [trio.SocketListener(trio.socket.from_stdlib_socket(bare))]
        return await trio.open_tcp_listeners(port, host=host, backlog=LISTEN_BACKLOG)
    except (socket.gaierror, UnicodeError) as error:
        raise NoSuchHost(f"{host} cannot be resolved") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise NoSuchHost(f"{host} is no address of this machine") from error
        if error.errno == errno.EAFNOSUPPORT:
            raise NoSuchHost(f"{host} is an IPv6 address, which this machine does not speak") from error
        raise PortTaken(os.strerror(error.errno) if error.errno else str(error)) from error


def _every_address(host: str) -> bool:
    try:
        return IPv6Address(host).is_unspecified
    except ValueError:
        return False


def address(listeners: list[trio.SocketListener], *, tls: bool) -> str:
    """The URL at which this machine reaches the listeners."""
    bare = listeners[0].socket
    host, port = bare.getsockname()[:2]
    if host == "::" and not bare.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        host = "127.0.0.1"  # it takes IPv4 too, which there is where IPv6 is switched off
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{host}:{port}"


def setup_links(token: str, public_url: str | None, url: str, listeners: list[trio.SocketListener]) -> tuple[str, ...]:
    """Where a person opens the page that makes the first operator: at the public address, where one is set; else on
    this machine (`url`), and where every address is listened on, at the one that the network knows too."""
    if public_url:
        return (f"{public_url.rstrip('/')}/setup?token={token}",)
    links = [f"{url}/setup?token={token}"]
    host, port = listeners[0].socket.getsockname()[:2]
    if ip_address(host.partition("%")[0]).is_unspecified and (lan := lan_address()):
        links.append(f"{url.partition(':')[0]}://{lan}:{port}/setup?token={token}")
    return tuple(links)


def lan_address() -> str | None:
    """The address by which the network knows this machine; None where it has none. Nothing is sent for it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # kept for documents (RFC 5737): only the way there is looked up
            found: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if ip_address(found).is_unspecified or ip_address(found).is_loopback else found


def leading_back(listeners: list[trio.SocketListener], settings: Settings) -> str | None:
    """Which channels lead to these listeners, in words, as far as their addresses tell: names are not looked up. None
    when none does."""
    ours = [listener.socket.getsockname()[:2] for listener in listeners]
    public = _place(settings.server.public_url) if settings.server.public_url else None
    for channel in settings.routes.channels:
        for at in channel.addresses.values():
            place = _place(at.url)
            if not channel.reach.proxy and (place == public or any(_same(*place, *own) for own in ours)):
                return f'[[channel]] "{channel.name}": its base_url is this gateway itself. Name a provider\'s address.'
    return None


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _same(host: str, port: int, own_host: str, own_port: int) -> bool:
    """Whether a host and port lead to a listener's address."""
    if port != own_port:
        return False
    try:
        given, own = ip_address("127.0.0.1" if host == "localhost" else host), ip_address(own_host.partition("%")[0])
    except ValueError:  # a name
        return False
    if not own.is_unspecified:
        return given == own or (host == "localhost" and own.is_loopback)
    return given.is_unspecified or given.is_loopback or _of_this_machine(str(given))


def _of_this_machine(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What TLS takes to be served; None without a certificate. Raises OSError."""
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


def renew(context: ssl.SSLContext, server: Server) -> None:
    """Serve connections that begin from now on with the certificate as it lies there now."""
    if server.tls_cert is None:
        return  # only a start ends TLS
    try:
        context.load_cert_chain(server.tls_cert, server.tls_key)
    except OSError as error:  # it was good a moment ago: the next change of it is another try
        log.error("the certificate cannot be read anew, the last one is served: %s", error)


def settle_the_heap() -> None:
    """What stands after a start stays: the collector need not look through it again and again, which would hold up
    every call for tens of milliseconds. Garbage in cycles is looked for less often: a call leaves little of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


# What it hears


def _known(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


END_SIGNALS = _known("SIGTERM", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGPWR")
"""They end the process in good order."""
PASSED_SIGNALS = _known("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO")
"""They would end it at once, with what was delivered and not yet charged: they are noted, and it goes on."""


class Signals:
    """Every signal has an answer, from the start of serving until the books are closed. Iterated, it gives the end
    signals as they come, once `heed_ends` was called: before that, one ends a start as it ends any program."""

    def __init__(self) -> None:
        self.hung_up = trio.Event()
        self.heard: deque[int] = deque()
        self.rung = trio.Event()
        self.before: dict[int, Any] = {}
        self.token: trio.lowlevel.TrioToken

    def __repr__(self) -> str:
        return f"<Signals answered: {len(self.before)}, heard and not yet taken: {len(self.heard)}>"

    def __enter__(self) -> "Signals":
        self.token = trio.lowlevel.current_trio_token()
        self._answer(PASSED_SIGNALS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self.before.items():
            signal.signal(number, before)

    def heed_ends(self) -> None:
        self._answer(END_SIGNALS)

    def _answer(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.before[number] = signal.signal(number, self._ring)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        """Called in the midst of anything: the loop does the rest."""
        self.token.run_sync_soon(self._hear, number)

    def _hear(self, number: int) -> None:
        if number in END_SIGNALS:
            self.heard.append(number)
            self.rung.set()
        elif number == signal.SIGHUP:
            self.hung_up.set()
        else:
            log.warning("%s: it has no meaning here; serving goes on", signal.Signals(number).name)

    async def hangup(self) -> None:
        """Wait for a SIGHUP; one that came since the last call is at once there."""
        await self.hung_up.wait()
        self.hung_up = trio.Event()

    def __aiter__(self) -> "Signals":
        return self

    async def __anext__(self) -> int:
        while not self.heard:
            self.rung = trio.Event()
            await self.rung.wait()
        return self.heard.popleft()


# While it serves


async def sweep(chores: Iterable[Callable[[], None]], house: House[Directory]) -> None:
    """Once a minute, until cancelled: the chores, which forget and remember without waiting, and now and then how far
    the house's entries verify and what its channels have cost."""
    while True:
        await trio.sleep(SWEEP_S)
        for chore in chores:
            chore()
        await house.maybe_checkpoint()
        await house.note_spending()


async def follow_spending(house: House[Directory], spending: Spending) -> None:
    """Until cancelled, where gateways share a ledger: what channels cost at the others counts for their caps too."""
    while not house.writer.alone:
        await trio.sleep(SPENDING_S)
        if any(channel.monthly_cap is not None for channel in house.settings.routes.channels):
            try:
                spending.heard(await house.spent_this_month(), house.clock.wall_us())
            except sqlite3.Error as error:
                log.warning("what other gateways have spent is not known yet: %s", error)


async def prune(house: House[Directory]) -> None:
    """Once a minute, and when the settings have changed, until cancelled: delete the rows of calls that are too old."""
    changed = trio.Event()

    def adopt() -> None:
        changed.set()

    house.live.tell(adopt)
    while True:
        changed = trio.Event()
        await house.prune()
        with trio.move_on_after(SWEEP_S):
            await changed.wait()


async def until_told(signals: AsyncIterator[int], died: trio.Event) -> int:
    """Wait for a signal (0) or for the writer's death (1): never serve what cannot be billed."""
    code = 0
    async with trio.open_nursery() as nursery:

        async def watch_writer() -> None:
            nonlocal code
            await died.wait()
            code = 1
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch_writer)
        async for _ in signals:
            break
        nursery.cancel_scope.cancel()
    return code


# Its end


def patience(settings: Settings, code: int) -> tuple[float, float]:
    """What an end gives, in seconds: the grace for running calls, and the notice before it. A dead writer bills
    nothing: then (`code`) no call is given time to finish."""
    return (0.0, 0.0) if code else (settings.server.shutdown_grace, settings.server.shutdown_notice)


async def wind_down(
    gate: Calls, door: Door, doors: trio.Nursery, signals: AsyncIterator[int], grace_s: float, notice_s: float = 0.0
) -> None:  # fmt: skip
    """Say for `notice_s` that the end is near, take nothing new then, let running calls finish for a while, cut the
    rest with an error they can read. Each further signal skips a waiting."""
    gate.leaving = True
    if notice_s:
        with trio.move_on_after(notice_s):
            async for _ in signals:
                break
    gate.closing = True
    door.stop()
    async with trio.open_nursery() as nursery:

        async def second_signal() -> None:
            async for _ in signals:
                nursery.cancel_scope.cancel()

        nursery.start_soon(second_signal)
        with trio.move_on_after(grace_s):
            while gate.calls:
                await trio.sleep(LOOK_S)
        nursery.cancel_scope.cancel()
    for call in list(gate.calls):
        call.cancel("shutdown")
    doors.cancel_scope.deadline = trio.current_time() + CUT_S
