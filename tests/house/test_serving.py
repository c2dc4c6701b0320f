"""A process that serves: where it listens, what ends it, and how it winds down. On Trio's autojump clock."""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.core.routing import Channel
from ftgate.core.spending import Spending
from ftgate.house import serving
from ftgate.house.live import Live
from tests.config.reading import CHANNEL, load
from tests.patience import SOON_S


class Running:
    """A call that ends after `needs_s`, or when it is cut."""

    def __init__(self, gate: "Gate", needs_s: float) -> None:
        self.gate, self.needs_s = gate, needs_s
        self.cut: list[str] = []

    async def run(self) -> None:
        await trio.sleep(self.needs_s)
        self.gate.calls.discard(self)

    def cancel(self, why: str) -> None:
        self.cut.append(why)


class Gate:
    def __init__(self) -> None:
        self.closing = self.leaving = False
        self.calls: set[Running] = set()


class Door:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.stopped_at: float | None = None

    async def serve(self, listeners: Any, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    def stop(self) -> None:
        assert self.gate.closing  # else a call could still come in
        self.stopped_at = trio.current_time()


class Signals:
    """Signals that come after so many seconds each, then none."""

    def __init__(self, *after_s: float) -> None:
        self.times = [trio.current_time() + after for after in after_s]

    def __aiter__(self) -> "Signals":
        return self

    async def __anext__(self) -> int:
        await trio.sleep_until(self.times.pop(0) if self.times else inf)
        return 15


WINDING_DOWN = [
    # seconds a call needs, grace, signals, seconds until `wind_down` is done, what the call is told
    pytest.param(0.3, 10.0, (), 0.3, [], id="the call ends"),
    pytest.param(99.0, 10.0, (), 10.0, ["shutdown"], id="the grace ends"),
    pytest.param(99.0, 10.0, (2.0,), 2.0, ["shutdown"], id="a second signal"),
    pytest.param(99.0, 0.0, (), 0.0, ["shutdown"], id="no grace"),
]


@pytest.mark.parametrize(("needs_s", "grace_s", "signals", "done_s", "told"), WINDING_DOWN)
async def test_winding_down(
    autojump_clock: trio.abc.Clock, needs_s: float, grace_s: float, signals: tuple[float, ...], done_s: float,
    told: list[str],
) -> None:  # fmt: skip
    gate = Gate()
    door = Door(gate)
    call = Running(gate, needs_s)
    gate.calls.add(call)
    async with trio.open_nursery() as doors:
        await doors.start(door.serve, [])
        doors.start_soon(call.run)
        began = trio.current_time()
        await serving.wind_down(gate, door, doors, Signals(*signals), grace_s)
        assert trio.current_time() - began == pytest.approx(done_s, abs=2 * serving.LOOK_S)
        assert door.stopped_at == began
        assert call.cut == told
    assert trio.current_time() - began == pytest.approx(done_s + serving.CUT_S, abs=2 * serving.LOOK_S)


@pytest.mark.parametrize(("signals", "stopped_s"), [((), 5.0), ((2.0,), 2.0)])
async def test_who_asks_is_told_before_nothing_is_taken_any_more(
    autojump_clock: trio.abc.Clock, signals: tuple[float, ...], stopped_s: float
) -> None:
    """A further signal skips the rest of the notice, and not the grace."""
    gate, seen = Gate(), []
    door, call = Door(gate), Running(gate, 8.0)
    gate.calls.add(call)
    async with trio.open_nursery() as doors:
        await doors.start(door.serve, [])
        doors.start_soon(call.run)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serving.wind_down, gate, door, doors, Signals(*signals), 10.0, 5.0)
            await trio.sleep(1)
            seen.append((gate.leaving, gate.closing, door.stopped_at))
        assert seen == [(True, False, None)]
        assert door.stopped_at == began + stopped_s and gate.closing
        assert trio.current_time() - began == pytest.approx(8.0, abs=2 * serving.LOOK_S) and not call.cut


async def test_what_ends_a_process(autojump_clock: trio.abc.Clock) -> None:
    died = trio.Event()
    assert await serving.until_told(Signals(1.0), died) == 0
    with trio.move_on_after(5) as patience:
        await serving.until_told(Signals(), died)
    assert patience.cancelled_caught
    died.set()
    assert await serving.until_told(Signals(), died) == 1


async def test_listening() -> None:
    listeners = await serving.listen("127.0.0.1", 0)
    try:
        url = serving.address(listeners, tls=False)
        port = int(url.removeprefix("http://127.0.0.1:"))
        assert serving.address(listeners, tls=True) == f"https://127.0.0.1:{port}"
        with pytest.raises(serving.PortTaken):
            await serving.listen("127.0.0.1", port)
    finally:
        for listener in listeners:
            await listener.aclose()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "answers"), [("::", (True, True)), ("0::0", (True, True)), ("::1", (False, True)),
                                               ("0.0.0.0", (True, False)), ("127.0.0.1", (True, False))])  # fmt: skip
async def test_which_addresses_answer(host: str, answers: tuple[bool, bool]) -> None:
    listeners = await serving.listen(host, 0)
    try:
        port = listeners[0].socket.getsockname()[1]
        for address, answering in zip(("127.0.0.1", "::1"), answers, strict=True):
            try:
                stream = await trio.open_tcp_stream(address, port)
            except OSError:
                assert not answering, address
            else:
                await stream.aclose()
                assert answering, address
        with pytest.raises(serving.PortTaken, match=r"^Address already in use$"):
            await serving.listen(host, port)
    finally:
        for listener in listeners:
            await listener.aclose()


async def test_every_signal_has_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    before = {number: signal.getsignal(number) for number in (*serving.PASSED_SIGNALS, *serving.END_SIGNALS)}
    with serving.Signals() as signals:
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]  # a start ends as any program does
        for number in serving.PASSED_SIGNALS:
            os.kill(os.getpid(), number)
        await trio.testing.wait_all_tasks_blocked()
        assert len(caplog.records) == len(serving.PASSED_SIGNALS) - 1  # a hang-up has a meaning
        with trio.fail_after(SOON_S):
            await signals.hangup()
        with trio.move_on_after(0) as once:
            await signals.hangup()
        assert once.cancelled_caught
        signals.heed_ends()
        for number in serving.END_SIGNALS:
            os.kill(os.getpid(), number)
        with trio.fail_after(5):
            assert {await anext(signals) for _ in serving.END_SIGNALS} == set(serving.END_SIGNALS)
        with trio.move_on_after(0.05) as nothing_more:
            await anext(signals)
        assert nothing_more.cancelled_caught
        os.kill(os.getpid(), signal.SIGTERM)  # while the books are closed: it has been told already
    assert {number: signal.getsignal(number) for number in before} == before


def test_no_signal_that_ends_a_process_is_left_out() -> None:
    """But those that no program can answer, that stop and do not end, and that tell of a bug in the process itself."""
    stopping = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}  # ignored from the start
    bugs = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
    named = {number for number in signal.Signals if not number.name.startswith("SIGRT") and number.name != "SIGSTKFLT"}
    assert named - stopping - harmless - by_python - bugs == {*serving.PASSED_SIGNALS, *serving.END_SIGNALS}


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host", "\udcff.example"])
async def test_a_host_that_is_none_of_ours(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unresolved(*arguments: Any, **named: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    if host != "203.0.113.1":  # an address is looked up nowhere; a name would go to the network
        monkeypatch.setattr(trio.socket, "getaddrinfo", unresolved)
    with pytest.raises(serving.NoSuchHost, match=r"no address of this machine|cannot be resolved"):
        await serving.listen(host, 0)


async def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def unspoken(family: int, *_: object) -> None:
        assert family == socket.AF_INET6
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    monkeypatch.setattr(trio.socket, "socket", unspoken)
    for host in ("::", "::1"):
        with pytest.raises(serving.NoSuchHost, match="an IPv6 address, which this machine does not speak"):
            await serving.listen(host, 0)


class Listener:
    def __init__(self, *name: Any, only_v6: int = 0) -> None:
        self.socket = self
        self.getsockname = lambda: name
        self.getsockopt = lambda *_: only_v6


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::", 8400, 0, 0), "http://127.0.0.1:8400"),
        (("fe80::1", 8400, 0, 2), "http://[fe80::1]:8400"),
        (("192.0.2.7", 8400), "http://192.0.2.7:8400"),
    ],
)
def test_the_address_that_is_told(name: Any, url: str) -> None:
    listeners: Any = [Listener(*name)]
    assert serving.address(listeners, tls=False) == url


def test_where_ipv4_is_not_taken_none_is_told() -> None:
    listeners: Any = [Listener("::", 8400, 0, 0, only_v6=1)]
    assert serving.address(listeners, tls=True) == "https://[::1]:8400"


@pytest.mark.parametrize(
    ("public", "name", "links"),
    [
        ("https://gate.example/", ("0.0.0.0", 80), ["https://gate.example/setup?token=T"]),
        (None, ("127.0.0.1", 8400), ["http://127.0.0.1:8400/setup?token=T"]),
        (None, ("0.0.0.0", 80), ["http://127.0.0.1:80/setup?token=T", "http://192.0.2.9:80/setup?token=T"]),
        (None, ("::", 80, 0, 0), ["http://127.0.0.1:80/setup?token=T", "http://192.0.2.9:80/setup?token=T"]),
        (None, ("fe80::1%2", 80, 0, 2), ["http://[fe80::1%2]:80/setup?token=T"]),
    ],
)
def test_the_links_of_a_first_run(
    public: str | None, name: Any, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them leads to an address that cannot be opened."""
    listeners: Any = [Listener(*name)]
    url = serving.address(listeners, tls=False)
    monkeypatch.setattr(serving, "lan_address", lambda: "192.0.2.9")
    assert list(serving.setup_links("T", public, url, listeners)) == links
    monkeypatch.setattr(serving, "lan_address", lambda: None)
    assert list(serving.setup_links("T", public, url, listeners)) == links[:1]


def test_the_address_that_the_network_knows() -> None:
    found = serving.lan_address()
    assert found is None or (found.count(".") == 3 and not found.startswith(("127.", "0.")))


BACK = [
    # where a channel leads, where we listen, whether that is the same
    ("http://127.0.0.1:8400/v1", ("127.0.0.1", 8400), True),
    ("http://localhost:8400/v1", ("127.0.0.1", 8400), True),
    ("http://localhost:8400/v1", ("::1", 8400, 0, 0), True),
    ("http://127.0.0.1:8400/v1", ("0.0.0.0", 8400), True),
    ("http://127.9.9.9:8400/v1", ("0.0.0.0", 8400), True),
    ("http://[::1]:8400/v1", ("::", 8400, 0, 0), True),
    ("http://0.0.0.0:8400/v1", ("0.0.0.0", 8400), True),
    ("http://127.0.0.1/v1", ("127.0.0.1", 80), True),
    ("https://127.0.0.1/v1", ("127.0.0.1", 443), True),
    ("http://127.0.0.1:8401/v1", ("127.0.0.1", 8400), False),
    ("http://127.0.0.1:8400/v1", ("192.0.2.7", 8400), False),
    ("http://192.0.2.7:8400/v1", ("0.0.0.0", 8400), False),  # another machine
    ("http://gate.example:8400/v1", ("0.0.0.0", 8400), False),  # a name is not looked up
    ("https://gate.example/v1", ("127.0.0.1", 8400), True),  # but this one is written down as ours
    ("https://GATE.example:443/v1", ("127.0.0.1", 8400), True),
]


@pytest.mark.parametrize(("url", "own", "back"), BACK)
def test_a_channel_to_ourselves(url: str, own: Any, back: bool) -> None:
    listeners: Any = [Listener("192.0.2.1", 1), Listener(*own)]
    public = '[server]\npublic_url = "https://gate.example"\n'
    said = serving.leading_back(listeners, load(public + CHANNEL.replace("http://127.0.0.1:9000/v1", url)))
    assert (said is not None) is back
    assert said is None or said.startswith('[[channel]] "lab": its base_url is this gateway itself.')
    behind = load(CHANNEL.replace('http://127.0.0.1:9000/v1"', f'{url}"\nproxy = "http://p:1"'))
    assert serving.leading_back(listeners, behind) is None  # a proxy has its own 127.0.0.1


def test_whose_limits_hold() -> None:
    settings = load(
        CHANNEL
        + "[limits]\nrequests_per_second = 7\n[limits.account]\nconcurrent = 3\n[limits.model.m1]\nconcurrent = 2\n"
        + '[plan.big]\nrequests_per_second = 70\n[plan.plain]\nmode = "metered"\n'
    )
    rates = Live(settings).rates_for({1: "big", 2: "plain", 3: "gone"}.get)
    assert rates("key", 1).requests_per_second == 70
    assert [rates("key", key).requests_per_second for key in (2, 3, 4)] == [7, 7, 7]
    assert (rates("account", 1).concurrent, rates("account", 9).concurrent) == (3, 3)
    assert (rates("model", "m1").concurrent, rates("model", "m2").concurrent) == (2, 0)


def test_a_server_leaves_no_core_file() -> None:
    """In a process of its own: what has been given up does not come back."""
    code = (
        "import ctypes, resource, sys; from ftgate.house.serving import keep_no_core; keep_no_core();"
        " print(resource.getrlimit(resource.RLIMIT_CORE), sys.platform != 'linux' or ctypes.CDLL(None).prctl(3) == 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) True\n"


class Spender:
    """A house that shares its ledger, in which `others` have spent something."""

    def __init__(self, *, alone: bool, cap: int | None) -> None:
        channel = Channel("a", "lab", {}, (), {}, monthly_cap=cap)
        self.writer = SimpleNamespace(alone=alone)
        self.settings = SimpleNamespace(routes=SimpleNamespace(channels=[channel]))
        self.clock = SimpleNamespace(wall_us=lambda: 0)
        self.asked = 0

    async def spent_this_month(self) -> dict[str, int]:
        self.asked += 1
        if self.asked == 1:
            raise sqlite3.OperationalError("it does not answer")
        return {"a": 7}


@pytest.mark.parametrize(("alone", "cap", "asked", "known"), [(False, 10, 4, 7), (False, None, 0, 0), (True, 10, 0, 0)])
async def test_what_others_spend_is_read_where_it_counts(
    alone: bool, cap: int | None, asked: int, known: int, autojump_clock: object
) -> None:
    house: Any = Spender(alone=alone, cap=cap)
    spending = Spending()
    with trio.move_on_after(4.5 * serving.SPENDING_S):
        await serving.follow_spending(house, spending)
    assert (house.asked, spending.of("a", 0)) == (asked, known)
