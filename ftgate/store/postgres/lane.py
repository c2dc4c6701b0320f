"""The lane: one task through which everything that a gateway changes goes, turn by turn.

A *turn* is one transaction. It locks the head, which no two gateways can have at once; brings the memory up to what the
others have changed; lets everybody who waited decide, in memory and without an await, as beside a file; and writes what
was decided. So nothing is ever decided on what is not committed, and nothing else runs between looking and taking.

What can go wrong, and what then holds:

- The database does not answer before the decisions: nothing has happened, the next turn begins anew.
- It does not answer after them: on a new connection the turn's mark tells whether it is in (asking waits for whatever
  the old one still does). In: everybody is told. Not in: memory is read anew from the database and the jobs decide
  again, from the start; nobody had been told.
- Our boot was ended by another gateway (we were away longer than the grace): nothing more is written, the process ends.

A `Job` is a decision that can be made again. A change of accounts decides in a coroutine of its own that waits for its
`turn()`; where that is undone it is told so, and whoever asked may repeat it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from pathlib import Path

import trio

from ftgate.core.tally import Times
from ftgate.ports import Row, nowhere
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.connection import SettingRefused
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.loose import Loose
from ftgate.store.postgres.trouble import TOO_LONG, TROUBLE_S, Trouble
from ftgate.store.postgres.turns import MOST_ORPHANS, Begun, Behind, Fenced, Memory, Stamp, Store
from ftgate.store.postgres.wire import Away, Rejected
from ftgate.waking import NOTHING

log = logging.getLogger("ftgate.store")

MOST_JOBS = 256
"""Decisions of one turn: others wait for the head meanwhile."""
MOST_WAITING = 10_000
HEARTBEAT_S = 1.0
"""How often a gateway that has nothing to do says that it lives, and looks what the others have changed."""
LATE_S = 3 * HEARTBEAT_S
"""Without a turn for so long we do not know whether others are alive."""
SET_FORWARD_US = 5_000_000
"""A clock of the database that is by so much later than it should be was set, and says of nobody that he is dead."""
GRACE_S = 60.0
"""After so long without a sign of life a gateway counts as dead: its open holds are ended."""
LONG_S, LONGER_S = 4.5, 9.5
"""A commit that was not answered for so long, or for so long with more time, may have been too much for a trip: of its
statements the server may have ended none, since each by itself took less than that."""
REAP_EVERY_S = 5.0
RETRY_S = (0.02, 0.05, 0.1, 0.2, 0.5)
LAST_TRIES_S = 15.0


class Lane:
    """What store.writer.Writer is beside a file. `seen` is the turn at which the memory was read."""

    alone = False

    def __init__(
        self, store: Store, memory: Memory, clock: TurnClock, *, seen: int, mark: int = 0,
        passing: Callable[[str], None] = nowhere,
    ) -> None:  # fmt: skip
        self.store = store
        self.memory = memory
        self.clock = clock
        self.seen = seen
        self.passing = passing
        self.jobs: deque[Job] = deque()
        self.loose = Loose()
        self.deciding: Batch | None = None
        self._deciders: set[trio.lowlevel.Task] = set()
        self.parked: list[trio.lowlevel.Task] = []
        self._trouble = Trouble()
        self.failed: BaseException | None = None
        self.died = trio.Event()
        self.commits = 0
        self.turns = 0
        self.took = Times()
        self.abandoned = False
        self.onlooker: Callable[[list[Row]], None] | None = None
        self.reloaded: Callable[[], None] | None = None
        """Called when memory was read anew."""
        self.known: Stamp | None = None
        """What tells the turn `seen` from one that has its number after a fail-over."""
        self._marks = count(mark + 1)
        self._asleep: trio.lowlevel.Task | None = None
        self._scope = trio.CancelScope()
        self._ended: trio.Event | None = None
        self._beat = 0.0
        self._undone: tuple[int, Batch, list[Batch], list[Job]] | None = None  # what was sent and is not known to be in
        self.orphans_left = True
        """Whether there may be open holds of boots that have ended."""
        self.orphans_ended = 0
        self._behind = False
        self._unanswered = False  # whether it took too long for a trip
        self._reaped = -inf

    def __repr__(self) -> str:
        state = f"failed: {self.failed}" if self.failed else f"in trouble: {self.trouble}" if self.trouble else "well"
        return f"<Lane {state}, {self.turns} turns, {self.commits} commits, {len(self.jobs)} jobs wait>"

    # What others ask for

    def start(self) -> None:
        """Begin taking turns; inside trio.run."""
        self._ended = trio.Event()
        trio.lowlevel.spawn_system_task(self._run)

    def depth(self) -> int:
        """Changes that are not in the database yet."""
        return len(self.jobs) + self.loose.size()

    @property
    def trouble(self) -> str | None:
        """Why no turn comes in just now, in the server's words."""
        return self._trouble.words

    @property
    def slowed(self) -> int:
        """How often a statement that nobody decided took too long for a turn."""
        return self.loose.slowed

    def busy(self) -> str | None:
        """Why no new hold can be taken now."""
        if self.failed is not None:
            return "the database has failed"
        if self.trouble is not None:
            return self.trouble
        waits = bool(self.jobs or self._undone or self.deciding)
        if waits and (gone := trio.current_time() - self._trouble.since) > TROUBLE_S:
            return f"the database has taken no commit for {gone:.0f} s"
        return "too many changes wait for the database" if self.depth() > MOST_WAITING else None

    def changed(self, *, soon: bool = True) -> Batch:
        """The batch to add to: for whoever has the turn, that of the turn; for anybody else one to which only what
        depends on nothing may be added, and of which nothing is undone."""
        if self.deciding is not None and trio.lowlevel.current_task() in self._deciders:
            return self.deciding
        if soon:
            self._wake()
        return self.loose.open()

    async def turn(self) -> None:
        """Wait for a turn: what follows, up to the next await, is decided in it. Raises DatabaseFault."""
        self._check()
        task = trio.lowlevel.current_task()
        self.parked.append(task)
        self._wake()

        def leave(_: object) -> trio.lowlevel.Abort:
            self.parked.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        self._check()

    def _check(self) -> None:
        """Raises DatabaseFault once nothing can be written any more."""
        if self.failed is not None:
            raise DatabaseFault(f"the database has failed: {self.failed}")

    def do(self, job: Job) -> Job:
        """Have a job decided in the next turn."""
        try:
            self._check()
        except DatabaseFault as fault:
            job.fail(fault)
        else:
            self.jobs.append(job)
            self._wake()
        return job

    def later(self, decide: Callable[[], None]) -> None:
        """Have something decided in a turn that nobody waits for."""
        self.do(Job(decide))

    async def refresh(self, seconds: float) -> bool:
        """Look what the others have changed; whether that was done in time."""
        with trio.move_on_after(seconds):
            await self.do(Job(lambda: None)).event.wait()
            return self.failed is None
        return False

    async def durable(self, batch: Batch) -> None:
        """Wait until the batch is in. Raises DatabaseFault when it is not and never will be."""
        await self._over(batch)
        if batch.undone:
            raise DatabaseFault(f"the database has not taken it: {self.trouble or 'it did not answer'}")

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        """As durable(), for so long at the most; whether it is in. One that was undone is not, and never will be."""
        with trio.move_on_after(seconds):
            await self._over(batch)
        return batch.done

    async def _over(self, batch: Batch) -> None:
        """Wait until the batch is in, or never will be. Raises DatabaseFault."""
        while not batch.over:
            self._check()
            if batch.event is None:
                batch.event = trio.Event()
            await batch.event.wait()

    def _waits(self) -> bool:
        """Whether something is to be written."""
        return bool(self.jobs or self.loose.waits() or self._undone)

    # The lane itself

    def _wake(self) -> None:
        if self._asleep is not None:
            task, self._asleep = self._asleep, None
            trio.lowlevel.reschedule(task, NOTHING)

    async def _sleep(self) -> None:
        """Until there is something to do, or it is time to say that we live."""

        def end(_: object) -> trio.lowlevel.Abort:
            self._asleep = None
            return trio.lowlevel.Abort.SUCCEEDED

        if self._waits() or self.parked:
            return
        with trio.move_on_at(self._beat + HEARTBEAT_S):
            self._asleep = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(end)

    async def _run(self) -> None:
        assert self._ended is not None
        tries = 0
        try:
            with self._scope:
                while self.failed is None:
                    await self._sleep()
                    try:
                        await self.store.open()
                        if self._trouble.locked_out:
                            self._trouble.locked_out = False
                            await self.store.throw_out()
                        if self._undone is not None:
                            await self._find_out()
                        if self._behind:
                            await self._read_anew()
                        await self._turn()
                        tries = 0
                    except Fenced as fenced:
                        self._dead(DatabaseFault(str(fenced)))
                    except Behind:
                        self._behind = True
                    except (Away, Rejected, SettingRefused, OSError) as error:
                        if (hopeless := self._trouble.met(error)) is not None:
                            self._dead(hopeless)
                        else:
                            await trio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                            tries += 1
        except Exception as error:  # a bug: never serve unbilled
            log.exception("the lane has failed")
            self._dead(error)
        finally:
            self.deciding = None
            if self.failed is not None:
                self.store.close()  # the head is free at once
            self._ended.set()

    async def _turn(self) -> None:
        began = time.monotonic()
        slow = self.loose.due(trio.current_time())  # it goes alone
        begun, killing = await self._begin()
        jobs = [self.jobs.popleft() for _ in range(min(len(self.jobs), MOST_JOBS) if slow is None else 0)]
        loose = self.loose.take() if slow is None else [slow]
        batch = self.deciding = Batch()
        self._deciders = {trio.lowlevel.current_task()}
        batch.mark = mark = next(self._marks)
        self._unanswered = False
        self._undone = (mark, batch, loose, jobs)  # until we know otherwise
        if begun.orphans:
            self.memory.expire(begun.orphans, batch, begun.at_us)
        for job in jobs:
            self.clock.stand()
            job.make()
        self.clock.go_on()
        if slow is None:
            await self._let_decide()
        self.deciding = None
        batch.rows[:0] = [row for one in loose for row in one.rows]
        batch.statements[:0] = [statement for one in loose for statement in one.statements]
        if not batch.size():
            self._undone = None
            self._tell(batch, loose, jobs)
            beat = trio.current_time()
            # Whom it has declared dead must stay so.
            if alive := killing or beat >= self._beat + HEARTBEAT_S:
                self._beat = beat
            await self.store.leave(alive=alive)
        else:
            self.passing("turn_decided")
            known = await self._commit(batch, begun.seq + 1, loose, patient=slow is not None)
            self.passing("turn_written")
            self._beat = trio.current_time()
            self._came_in(begun.seq + 1, known)
            self.took.add(time.monotonic() - began)
        self.turns += 1
        self.orphans_ended += len(begun.orphans)
        self._trouble.over()

    async def _begin(self) -> tuple[Begun, bool]:
        """Have the head, and memory as the others have left it; whether boots may have been declared dead."""
        now = trio.current_time()
        if now - self._trouble.since > LATE_S:  # we were away ourselves, without having noticed
            self._trouble.steady = now
        reaping = now - self._reaped > REAP_EVERY_S
        # Who was away himself does not know who else is: only one that was there all the time declares others dead.
        grace_s = GRACE_S if reaping and now - self._trouble.steady > GRACE_S else None
        asked = self.clock.now()
        begun = await self.store.begin(
            self.seen,
            orphans=reaping or self.orphans_left,
            grace_s=grace_s,
            latest_us=self.clock.wall_us() + SET_FORWARD_US,
        )
        if reaping:
            self._reaped = now
        self.orphans_left = len(begun.orphans) == MOST_ORPHANS
        self._compare(begun)
        self.clock.set(begun.at_us, asked)
        if begun.notes or begun.touched:
            rows = await self.store.rows(self.memory.wanted(begun.touched)) if begun.touched else []
            self.memory.renew(begun.touched, rows, begun.notes)
        self.seen, self.known = begun.seq, begun.latest
        return begun, grace_s is not None

    def _compare(self, begun: Begun) -> None:
        """Is what was seen there? Raises Behind."""
        if self.known is not None and begun.before != self.known:
            raise Behind

    async def _commit(self, batch: Batch, seq: int, loose: list[Batch], *, patient: bool) -> Stamp:
        """Write it as the turn `seq`; the statements of `loose` are its first."""
        began = trio.current_time()
        try:
            steps, note = list(self.memory.steps(batch)), self.memory.note(batch)
            return await self.store.commit(steps, seq=seq, mark=batch.mark, note=note, patient=patient)
        except Rejected as rejected:
            if rejected.state in TOO_LONG:
                self.loose.too_long(rejected.at, loose, trio.current_time())
            raise
        except (Away, OSError):
            self._unanswered = trio.current_time() - began > (LONGER_S if patient else LONG_S)
            raise

    async def _let_decide(self) -> None:
        """Let everybody run who waited for a turn. All that became ready now runs before the second checkpoint is
        over, whatever order the loop takes them in."""
        if not self.parked:
            return
        parked, self.parked = self.parked, []
        self._deciders.update(parked)
        for task in parked:
            trio.lowlevel.reschedule(task, NOTHING)
        await trio.lowlevel.cancel_shielded_checkpoint()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _came_in(self, seq: int, known: Stamp) -> None:
        assert self._undone is not None
        _, batch, loose, jobs = self._undone
        self._undone = None
        self.seen, self.known = seq, known
        self.commits += 1
        self._tell(batch, loose, jobs)
        if self.onlooker is not None and batch.rows:
            self.onlooker(batch.rows)

    def _tell(self, batch: Batch, loose: list[Batch], jobs: list[Job]) -> None:
        self.loose.came_in(loose)
        for one in (batch, *loose):
            one.done = True
            _woken(one)
        for job in jobs:
            job.end()

    async def _find_out(self) -> None:
        """What was decided last: is it in?"""
        assert self._undone is not None
        mark, batch, loose, _ = self._undone
        if batch.size() and (known := await self.store.went_in(mark)) is not None:
            self._came_in(self.seen + 1, known)
            return
        self._behind = True  # memory knows what is not there
        batch.undone = True
        if self._unanswered:
            self.loose.cut_off(loose, trio.current_time())
        self._take_back()

    def _take_back(self) -> None:
        """What was decided last waits again."""
        if self._undone is not None:
            _, batch, loose, jobs = self._undone
            self._undone = None
            self.jobs.extendleft(reversed(jobs))
            self.loose.put_back(loose)
            _woken(batch)

    async def _read_anew(self) -> None:
        await self.store.leave(alive=False)
        self.seen, self.known = await self.memory.reload(self.seen, self.known)
        self._behind = False
        if self.reloaded is not None:
            self.reloaded()

    def _dead(self, error: BaseException) -> None:
        if self.failed is not None:
            return
        log.critical("the ledger's writer has failed: %s", error)
        self.failed = error
        self.died.set()
        self._take_back()
        for batch in self.loose.all():
            _woken(batch)
        for job in self.jobs:
            job.fail(DatabaseFault(f"the database has failed: {error}"))
        parked, self.parked = self.parked, []
        for task in parked:
            trio.lowlevel.reschedule(task, NOTHING)

    # Its end

    async def drain(self) -> bool:
        """Write what is left; whether all is in."""
        self.loose.end()
        with trio.move_on_after(LAST_TRIES_S):
            while self._ended is not None and self.failed is None and self._waits():
                await self.do(Job(lambda: None)).event.wait()
        if self.failed is None and self._waits():
            self._dead(DatabaseFault("a commit does not come back"))
        return self._ended is not None and self.failed is None

    async def close(self, *, rescue: Path | None = None) -> None:
        """Write what is left, and end."""
        with trio.CancelScope(shield=True):
            await self.drain()
            self._scope.cancel()
            if self._ended is not None:
                await self._ended.wait()
            if not self.abandoned and (many := self.depth()):
                why = self.failed or "they took too long"
                log.critical("the last %d changes were not written and are lost: %s", many, why)
        self.store.close()

    def abandon(self) -> None:
        """What is not in need not come in."""
        self.abandoned = True
        if self.failed is None:
            self._dead(DatabaseFault("given up"))

    def lose(self, error: BaseException) -> None:
        self._dead(error)

    def stuck(self) -> bool:
        return False

    def fold_log(self) -> None:
        """PostgreSQL folds its own."""

    async def compact(self, most: int | None) -> str | None:
        """Why the database was not written anew."""
        return "PostgreSQL writes tables anew by itself (autovacuum); VACUUM FULL does it at once"


def _woken(batch: Batch) -> None:
    if batch.event is not None:
        batch.event.set()
        batch.event = None
