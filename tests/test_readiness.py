"""The epoll over all sockets: nothing that comes is missed, nobody is told twice, and nobody waits for what another one
left."""

import os
import random
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from ftgate.readiness import SUPPORTED, TICK_S, Readiness, Watch
from tests.patience import SOON_S
from tests.transports.transports import open_files, reset, watching

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="there is no epoll here")

Ends = tuple[socket.socket, socket.socket]
"""A connection: our end, and the other one."""
Connect = Callable[[], Ends]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes TCP connections, and closes them."""
    made: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:

        def connection() -> Ends:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
            near.setblocking(False)
            made.extend((near, far))
            return near, far

        yield connection
    for one in made:
        one.close()


@pytest.fixture
async def readiness() -> AsyncIterator[Readiness]:
    async with watching() as running:
        yield running


async def calm() -> None:
    """Until everybody waits, and what has come was looked at."""
    await trio.testing.wait_all_tasks_blocked(0.001)


async def read(watch: Watch, near: socket.socket, size: int = 65_536) -> bytes:
    """As those who use it do: wait, read, and say when something may be left."""
    with trio.fail_after(SOON_S):
        while True:
            await watch.wait()
            try:
                data = near.recv(size)
            except BlockingIOError:
                continue
            if len(data) == size:
                watch.leave()
            return data


class Waiter:
    """Somebody who waits. `woken` counts how often that came to its end."""

    def __init__(self, watch: Watch, until: float | None = None) -> None:
        self.watch, self.until = watch, until
        self.woken = 0
        self.scope = trio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            await (self.watch.wait() if self.until is None else self.watch.wait(self.until))
            self.woken += 1


# ---- what comes ----


async def test_what_came_before_the_watch(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    far.send(b"early")
    assert await read(readiness.watch(near), near) == b"early"


async def test_what_came_before_the_wait(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    await calm()
    assert not watch.ready
    far.send(b"x")
    await calm()
    assert watch.ready
    assert await read(watch, near) == b"x"
    assert not watch.ready


async def test_what_comes_during_the_wait(readiness: Readiness, connect: Connect, nursery: trio.Nursery) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    for text in (b"one", b"two"):
        waiter = Waiter(watch)
        nursery.start_soon(waiter.run)
        await calm()
        assert waiter.woken == 0
        far.send(text)
        await calm()
        assert waiter.woken == 1
        assert near.recv(100) == text


async def test_what_comes_between_the_wait_and_the_read(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    far.send(b"one ")
    with trio.fail_after(SOON_S):
        await watch.wait()
    far.send(b"two")
    await calm()
    assert near.recv(100) == b"one two"
    with trio.fail_after(SOON_S):
        await watch.wait()  # for nothing: of the second piece was told, and it has been read
    with pytest.raises(BlockingIOError):
        near.recv(100)
    await only_the_next_piece_wakes(watch, near, far, nursery)


async def test_two_pieces_before_one_read(readiness: Readiness, connect: Connect, nursery: trio.Nursery) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    for text in (b"one ", b"two"):
        far.send(text)
        await calm()
    assert await read(watch, near) == b"one two"
    await only_the_next_piece_wakes(watch, near, far, nursery)


async def only_the_next_piece_wakes(
    watch: Watch, near: socket.socket, far: socket.socket, nursery: trio.Nursery, left: bytes = b""
) -> None:
    """`left` is what was not read of the pieces before."""
    waiter = Waiter(watch)
    nursery.start_soon(waiter.run)
    await calm()
    assert waiter.woken == 0
    far.send(b"three")
    await calm()
    assert waiter.woken == 1
    assert near.recv(100) == left + b"three"


async def test_what_a_full_read_leaves_is_not_forgotten(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    far.send(bytes(range(105)))
    await calm()
    pieces = [await read(watch, near, 10) for _ in range(11)]
    assert [len(piece) for piece in pieces] == [10] * 10 + [5]
    assert b"".join(pieces) == bytes(range(105))
    assert not watch.ready


async def test_of_what_was_left_behind_nobody_tells(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    """Which is why `leave` is there; the next piece tells of both."""
    near, far = connect()
    watch = readiness.watch(near)
    far.send(b"one ")
    with trio.fail_after(SOON_S):
        await watch.wait()
    assert near.recv(1) == b"o"
    await only_the_next_piece_wakes(watch, near, far, nursery, left=b"ne ")


async def test_others_get_their_turn_before_what_is_there(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, _ = connect()
    watch = readiness.watch(near)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    with trio.fail_after(SOON_S):
        for _ in range(20):
            watch.leave()
            await watch.wait()
    assert turns >= 10
    nursery.cancel_scope.cancel()


async def test_more_of_them_than_one_look_finds(readiness: Readiness, connect: Connect) -> None:
    class Few:
        """The epoll, which tells of three sockets at a time."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def poll(self, timeout: float) -> Any:
            return self.real.poll(timeout, 3)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    readiness._epoll = Few(readiness._epoll)  # type: ignore[assignment]
    ends = [connect() for _ in range(50)]
    watches = [readiness.watch(near) for near, _ in ends]
    await calm()
    for number, (_, far) in enumerate(ends):
        far.send(b"%d" % number)
    for number, ((near, _), watch) in enumerate(zip(ends, watches, strict=True)):
        assert await read(watch, near) == b"%d" % number


# ---- hanging up ----


def half_close(far: socket.socket) -> None:
    far.shutdown(socket.SHUT_WR)


def reset_it(far: socket.socket) -> None:
    reset(trio.SocketStream(trio.socket.from_stdlib_socket(far)))


WAYS: dict[str, Callable[[socket.socket], None]] = {"half": half_close, "close": socket.socket.close, "reset": reset_it}


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_a_hang_up_is_told_once(
    readiness: Readiness, connect: Connect, way: str, early: bool, nursery: trio.Nursery
) -> None:
    near, far = connect()
    told: list[str] = []
    if early:
        WAYS[way](far)
    watch = readiness.watch(near, lambda: told.append(way))
    waiter = Waiter(watch)
    nursery.start_soon(waiter.run)
    if not early:
        await calm()
        assert (told, watch.gone, waiter.woken) == ([], False, 0)
        WAYS[way](far)
    await calm()
    assert (told, watch.gone, waiter.woken) == ([way], True, 1)
    with trio.fail_after(SOON_S):
        for _ in range(3):
            await watch.wait()  # there is nothing left to wait for
    if way == "half":
        reset_it(far)
        await calm()
    readiness.forget(near)
    assert told == [way]


async def test_data_is_no_hang_up_and_data_before_one_is_read(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    told: list[str] = []
    watch = readiness.watch(near, lambda: told.append("gone"))
    far.send(b"one")
    assert await read(watch, near) == b"one"
    await calm()
    assert told == []
    far.send(b"two")
    far.close()
    await calm()
    assert told == ["gone"]
    assert [await read(watch, near, 2) for _ in range(3)] == [b"tw", b"o", b""]


async def test_a_hang_up_that_the_loop_itself_did_not_see(readiness: Readiness, connect: Connect) -> None:
    """It came after the loop's own look and before ours: nothing wakes the loop for it any more."""
    near, far = connect()
    told = trio.Event()
    watch = readiness.watch(near, told.set)
    await calm()
    far.close()
    readiness.after_io_wait(0.0)
    assert watch.gone and not told.is_set()
    with trio.fail_after(SOON_S):
        await told.wait()


async def test_a_call_to_end_may_end_the_watch(readiness: Readiness, connect: Connect) -> None:
    """Whoever is told may forget others that were to be told in the same turn."""
    told: list[int] = []
    ends = [connect() for _ in range(3)]

    def tell(number: int) -> Callable[[], None]:
        def tell_it() -> None:
            told.append(number)
            for near, _ in ends:
                readiness.forget(near)

        return tell_it

    for number, (near, _) in enumerate(ends):
        readiness.watch(near, tell(number))
    await calm()
    for _, far in ends:
        far.close()
    await calm()
    assert len(told) == 1


async def test_a_call_that_fails_ends_no_watch(
    readiness: Readiness, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    ends = [connect() for _ in range(3)]

    def tell(number: int) -> Callable[[], None]:
        def tell_it() -> None:
            told.append(number)
            raise ValueError("a bug")

        return tell_it

    for number, (near, _) in enumerate(ends):
        readiness.watch(near, tell(number))
    for turn in (slice(0, 2), slice(2, 3)):
        await calm()
        for _, far in ends[turn]:
            far.close()
        await calm()
    assert sorted(told) == [0, 1, 2] and caplog.text.count("a hang-up could not be told of") == 3


# ---- forgetting ----


async def test_forgotten_while_somebody_waits(readiness: Readiness, connect: Connect, nursery: trio.Nursery) -> None:
    near, far = connect()
    told: list[str] = []
    watch = readiness.watch(near, lambda: told.append("gone"))
    waiter = Waiter(watch)
    nursery.start_soon(waiter.run)
    await calm()
    readiness.forget(near)
    await calm()
    assert (waiter.woken, watch.gone) == (1, True)
    far.close()
    await calm()
    assert told == [], "it was given up, nobody hung up"
    with trio.fail_after(SOON_S):
        await watch.wait()


async def test_forgotten_before_it_was_told(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    told: list[str] = []
    readiness.watch(near, lambda: told.append("gone"))
    await calm()
    far.close()
    readiness.after_io_wait(0.0)  # seen
    readiness.forget(near)
    await trio.sleep(2 * TICK_S)
    assert told == []


async def test_forgotten_twice_and_watched_again(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    readiness.forget(near)  # never watched
    for text in (b"one", b"two"):
        watch = readiness.watch(near)
        far.send(text)
        assert await read(watch, near) == text
        readiness.forget(near)
        readiness.forget(near)
    near.close()
    readiness.forget(near)
    assert readiness._watched == {}


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_number_that_is_used_again(readiness: Readiness, connect: Connect, elsewhere: bool) -> None:
    """What came for the old socket is not told to the new one of the same number; nor when the old one lives on in
    another process."""
    old, old_far = connect()
    new, new_far = connect()
    number = old.fileno()
    told: list[str] = []
    old_watch = readiness.watch(old, lambda: told.append("old"))
    await calm()
    kept = os.dup(number) if elsewhere else -1
    old_far.send(b"for the old one")
    readiness.forget(old)
    old.close()
    old_watch.ready = False
    os.dup2(new.fileno(), number)
    with closing(socket.socket(fileno=number)) as again:
        watch = readiness.watch(again, lambda: told.append("new"))
        if elsewhere:
            old_far.send(b"more")
        await calm()
        assert not watch.ready
        new_far.send(b"for the new one")
        assert await read(watch, again) == b"for the new one"
        old_far.close()
        await calm()
        assert (told, old_watch.ready, watch.gone) == ([], False, False)
        new_far.close()
        await calm()
        assert (told, old_watch.ready, watch.gone) == (["new"], False, True)
        readiness.forget(again)
    if elsewhere:
        os.close(kept)


# ---- cancellation ----


async def test_a_cancelled_wait_leaves_nothing(readiness: Readiness, connect: Connect, nursery: trio.Nursery) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    waiter = Waiter(watch)
    go_on = trio.Event()

    async def wait_and_stay() -> None:
        await waiter.run()
        await go_on.wait()  # a wake that is meant for the wait would strike here

    nursery.start_soon(wait_and_stay)
    await calm()
    waiter.scope.cancel()
    await calm()
    assert waiter.woken == 0
    far.send(b"one")
    await calm()
    assert not go_on.is_set() and watch.ready
    assert await read(watch, near) == b"one"
    go_on.set()
    await only_the_next_piece_wakes(watch, near, far, nursery)


async def test_woken_and_cancelled_in_the_same_turn(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    """The wake came first: what was told is not lost, whoever looks next finds it."""
    near, far = connect()
    watch = readiness.watch(near)
    waiter = Waiter(watch)
    nursery.start_soon(waiter.run)
    await calm()
    far.send(b"one")
    readiness.after_io_wait(0.0)
    waiter.scope.cancel()
    await calm()
    assert waiter.woken == 1 and near.recv(100) == b"one"
    await only_the_next_piece_wakes(watch, near, far, nursery)


async def test_a_cancelled_wait_for_what_is_there_already(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    far.send(b"one")
    await calm()
    with trio.CancelScope() as scope:
        scope.cancel()
        await watch.wait()
    assert scope.cancelled_caught
    assert await read(watch, near) == b"one"


# ---- limited waits ----


@pytest.mark.parametrize("after_s", [-1.0, 0.0, TICK_S / 2, 1.0, 1.05])
async def test_a_limited_wait_ends(
    after_s: float, autojump_clock: MockClock, readiness: Readiness, connect: Connect
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    began = trio.current_time()
    with trio.fail_after(10):
        await watch.wait(began + after_s)
    assert max(after_s, 0) <= trio.current_time() - began <= max(after_s, 0) + TICK_S + 0.001
    far.send(b"one")
    assert await read(watch, near) == b"one"


async def test_a_limited_wait_ends_sooner_with_what_comes(
    autojump_clock: MockClock, readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    began = trio.current_time()
    waiter = Waiter(watch, began + 100)
    nursery.start_soon(waiter.run)
    await trio.sleep(1)
    far.send(b"one")
    with trio.fail_after(0.5):
        while not waiter.woken:
            await trio.sleep(0.01)
    assert near.recv(100) == b"one"
    later = Waiter(watch)
    nursery.start_soon(later.run)
    await trio.sleep(200)
    assert later.woken == 0, "the old limit is over"
    later.scope.cancel()


async def test_a_limit_that_is_lowered(
    autojump_clock: MockClock, readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    watch = readiness.watch(connect()[0])
    waiter = Waiter(watch, trio.current_time() + 1000)
    nursery.start_soon(waiter.run)
    await trio.sleep(1)
    watch.until = trio.current_time() + 2
    await trio.sleep(1.95)
    assert waiter.woken == 0
    await trio.sleep(0.05 + 1.5 * TICK_S)
    assert waiter.woken == 1


async def test_a_waiter_that_is_woken_by_hand(
    autojump_clock: MockClock, readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    waiter = Waiter(watch, trio.current_time() + 1000)
    nursery.start_soon(waiter.run)
    await trio.sleep(1)
    watch.wake()
    await trio.testing.wait_all_tasks_blocked()
    assert waiter.woken == 1 and not watch.ready
    await only_the_next_piece_wakes(watch, near, far, nursery)


@pytest.mark.parametrize("there", [False, True])
async def test_the_limit_of_a_cancelled_wait_is_over(
    there: bool, autojump_clock: MockClock, readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    if there:
        watch.leave()
    with trio.CancelScope() as scope:
        scope.cancel()
        await watch.wait(trio.current_time() + 1)
    assert scope.cancelled_caught and watch.ready is there
    watch.ready = False
    waiter = Waiter(watch)
    nursery.start_soon(waiter.run)
    await trio.sleep(5)
    assert waiter.woken == 0
    far.send(b"x")
    await trio.testing.wait_all_tasks_blocked()
    assert waiter.woken == 1


# ---- an instrument that trio has dropped ----


@pytest.mark.parametrize("consumed", [False, True])
async def test_without_its_instrument_it_works_all_the_same(
    connect: Connect, consumed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What raises in trio's hook is dropped by trio. `consumed`: after it had looked."""
    told = trio.Event()
    async with watching() as readiness:
        look = readiness._look

        def fail_once() -> None:
            if consumed:
                look()
            readiness._look = look  # type: ignore[method-assign]
            raise RuntimeError("only once")

        near, far = connect()
        watch = readiness.watch(near, told.set)
        await calm()
        readiness._look = fail_once  # type: ignore[method-assign]
        far.send(b"0")
        assert await read(watch, near) == b"0"
        with pytest.raises(KeyError):
            trio.lowlevel.remove_instrument(readiness)
        for number in range(1, 20):
            far.send(b"%d" % number)
            assert await read(watch, near) == b"%d" % number
        far.close()
        with trio.fail_after(SOON_S):
            await told.wait()
        with trio.fail_after(SOON_S):
            await watch.wait(trio.current_time())
        readiness.forget(near)
    assert "only once" in caplog.text


# ---- all of it together ----


async def test_it_gives_its_own_epoll_back(connect: Connect) -> None:
    before = open_files()
    async with watching() as readiness:
        assert open_files() == before + 1
        number = readiness._epoll.fileno()
    with pytest.raises(OSError):
        select.epoll.fromfd(number).poll(0)
    with pytest.raises(KeyError):
        trio.lowlevel.remove_instrument(readiness)


async def test_no_wake_is_lost(readiness: Readiness) -> None:
    """Hundreds of sockets, a second of random traffic: readers of all sizes, some impatient, writers in bursts,
    connections that end and whose numbers are used again. Every byte is read soon after it was written, and every end
    is seen."""
    dice = random.Random(7)
    read_bytes = 0
    ended: list[int] = []
    told: list[int] = []

    async def reader(near: socket.socket, number: int) -> None:
        nonlocal read_bytes
        watch = readiness.watch(near, lambda: told.append(number))
        while True:
            with trio.move_on_after(dice.choice([0.0, 0.001, 0.003, 60, 60])) as patience:
                await (
                    watch.wait() if dice.random() < 0.5 else watch.wait(trio.current_time() + dice.choice([0.0, 60]))
                )
            if patience.cancelled_caught:
                continue
            size = dice.choice([1, 7, 100, 65_536])
            try:
                data = near.recv(size)
            except BlockingIOError:
                continue
            if not data:
                break
            read_bytes += len(data)
            if len(data) == size:
                watch.leave()
        readiness.forget(near)
        near.close()
        ended.append(number)

    def begin() -> socket.socket:
        nonlocal begun
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        nursery.start_soon(reader, near, begun)
        begun += 1
        return far

    async with trio.open_nursery() as nursery:
        begun = wrote = rounds = 0
        far_ends = [begin() for _ in range(300)]
        until = trio.current_time() + 1
        while trio.current_time() < until or rounds < 200:
            rounds += 1
            for _ in range(dice.randrange(1, 60)):
                at = dice.randrange(len(far_ends))
                if dice.random() < 0.03:
                    far_ends[at].close()
                    far_ends[at] = begin()
                wrote += far_ends[at].send(bytes(dice.choice([1, 7, 99, 100, 101, 300])))
            await trio.sleep(dice.choice([0, 0, 0, 0.001]))
        with trio.fail_after(SOON_S):
            while read_bytes < wrote:
                await trio.sleep(0.005)
        for far in far_ends:
            far.close()
        with trio.fail_after(SOON_S):
            while len(ended) < begun:
                await trio.sleep(0.005)
        assert len(told) == len(set(told)) > 0  # who has read the end already need not be told
        assert wrote > 10_000 and begun > 350, "there was no traffic to speak of"
        assert readiness._watched == {}


# Pumping: what is only passed on wakes nobody


class Pump:
    """A task that pumps: `got` is what was read, until `enough` bytes; `failure` is raised by a read of it."""

    def __init__(self, watch: Watch, near: socket.socket, enough: int = 1 << 30, failure: bool = False) -> None:
        self.watch, self.near, self.enough, self.failure = watch, near, enough, failure
        self.got = b""
        self.reads = 0
        self.ended = False
        self.scope = trio.CancelScope()

    def read(self) -> bool:
        self.reads += 1
        if self.failure:
            raise ZeroDivisionError
        try:
            self.got += self.near.recv(65_536)
        except BlockingIOError:
            return True
        return len(self.got) < self.enough

    async def run(self) -> None:
        with self.scope:
            await self.watch.pump(self.read)
        self.ended = True


async def test_a_pump_reads_as_it_comes_and_wakes_when_it_has_enough(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    pump = Pump(watch, near, enough=6)
    nursery.start_soon(pump.run)
    for piece in (b"ab", b"cd"):
        await calm()
        far.send(piece)
        await calm()
        assert not pump.ended
    assert pump.got == b"abcd" and pump.reads == 2 and not watch.ready
    far.send(b"ef")
    await calm()
    assert pump.ended and pump.got == b"abcdef"
    far.send(b"gh")
    assert await read(watch, near) == b"gh"  # what comes after it is anybody's


async def test_what_is_there_already_is_not_pumped(readiness: Readiness, connect: Connect) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    far.send(b"ab")
    await calm()
    pump = Pump(watch, near)
    await pump.run()
    assert pump.reads == 0 and await read(watch, near) == b"ab"


async def test_a_pump_ends_with_the_peer(readiness: Readiness, connect: Connect, nursery: trio.Nursery) -> None:
    near, far = connect()
    told = []
    watch = readiness.watch(near, lambda: told.append(1))
    pump = Pump(watch, near)
    nursery.start_soon(pump.run)
    await calm()
    far.send(b"last")
    far.close()
    await calm()
    assert pump.ended and told == [1]
    assert pump.got + await read(watch, near) == b"last"


async def test_what_a_pump_raises_is_raised_to_its_task_alone(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery
) -> None:
    (near, far), (other, beside) = connect(), connect()
    pump = Pump(readiness.watch(near), near, failure=True)
    sound = Pump(readiness.watch(other), other, enough=2)
    nursery.start_soon(sound.run)

    async def expect() -> None:
        with pytest.raises(ZeroDivisionError):
            await pump.run()
        pump.ended = True

    nursery.start_soon(expect)
    await calm()
    far.send(b"x")
    beside.send(b"yz")
    await calm()
    assert pump.ended and sound.ended and sound.got == b"yz"


@pytest.mark.parametrize("forget", [False, True])
async def test_a_pump_that_is_cancelled_or_forgotten_reads_no_more(
    readiness: Readiness, connect: Connect, nursery: trio.Nursery, forget: bool
) -> None:
    near, far = connect()
    watch = readiness.watch(near)
    pump = Pump(watch, near)
    nursery.start_soon(pump.run)
    await calm()
    if forget:
        readiness.forget(near)
    else:
        pump.scope.cancel()
    await calm()
    far.send(b"x")
    await calm()
    assert pump.ended and pump.reads == 0
