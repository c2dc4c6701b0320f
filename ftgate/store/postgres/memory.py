"""What a gateway keeps in memory of a shared ledger: how it is brought up to what the others have changed.

A turn's *note* is JSON: where the entries are, and of every account and key that the turn changed what it came to. It
is made from the books after the decisions, and read into those of the others before theirs.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
import trio

from ftgate.core.books import Books, Entry, Hold, Quota
from ftgate.core.limits_shared import SharedLimits, Told
from ftgate.ports import BYOK
from ftgate.store.batch import Batch
from ftgate.store.postgres.opening import Orphan
from ftgate.store.postgres.turns import Stamp, Turned
from ftgate.store.postgres.wire import Away, Step
from ftgate.store.postgres.writing import written
from ftgate.store.recovery import expire

log = logging.getLogger("ftgate.store")

Read = Callable[[], Turned]
"""What takes in all that was read anew."""
MOVES = frozenset({"grant", "topup", "refund", "correct"})


class Note(msgspec.Struct, array_like=True):
    """`balances`: account, posted, held, used. `quotas`: key, used, held, before, until_us, seen_us. `moved`: ref,
    kind, account, signed amount, entry. `months`: account, month, tokens in it. `limits`: what was admitted, as the
    shared limits write it."""

    next_id: int
    balances: list[tuple[int, int, int, int]]
    quotas: list[tuple[int, int, int, int, int | None, int | None]]
    moved: list[tuple[str, str, int, int, int]]
    months: list[tuple[int, str, int]]
    limits: list[Told] = []


class People(Protocol):
    """The accounts room, as it is kept up to date."""

    def wanted(self, table: str, ids: Sequence[str]) -> str:
        """SQL, with nothing to fill in, that reads these rows of a table anew."""
        ...

    def renewed(self, table: str, ids: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Take them in; an id without a row is gone."""
        ...

    def moved(self, ref: str, entry: int) -> None:
        """Credits were moved under this ref."""
        ...


class BooksMemory:
    """turns.Memory over the books and the accounts. `statement` puts one of a batch's own into PostgreSQL's words;
    `read` reads all anew, in a thread, given the last turn that was heard, and gives what takes it in; `limits` are
    kept together with others, once there are any."""

    people: People
    """Given before the first turn: accounts are made over what writes them."""

    def __init__(
        self, books: Books, statement: Callable[[str, Sequence[Any]], str], read: Callable[[int, Stamp | None], Read]
    ) -> None:  # fmt: skip
        self.books = books
        self.statement = statement
        self.read = read
        self.charge_estimate = False
        self.limits: SharedLimits | None = None
        self._unheard: list[Told] = []  # what was told before there were any
        self._untold: list[Told] = []  # what others are to hear all the same

    def wanted(self, touched: Sequence[tuple[str, str]]) -> Sequence[Step]:
        return [Step(self.people.wanted(table, ids), prepared=False) for table, ids in _by_table(touched)]

    def renew(
        self, touched: Sequence[tuple[str, str]], rows: Sequence[Sequence[tuple[Any, ...]]], notes: Sequence[str]
    ) -> None:
        for (table, ids), found in zip(_by_table(touched), rows, strict=True):
            self.people.renewed(table, ids, found)
        for text in notes:
            self._take(msgspec.json.decode(text, type=Note))

    def _take(self, note: Note) -> None:
        books = self.books
        books.next_id = note.next_id
        for account, posted, held, used in note.balances:
            balance = books.accounts[account]
            balance.posted, balance.held, balance.used = posted, held, used
            balance.lowered = posted < held
        for key, used, held, before, until_us, seen_us in note.quotas:
            quota = books.quotas[key]
            quota.used, quota.held, quota.before = used, held, before
            quota.until_us, quota.seen_us = until_us, seen_us
        for ref, kind, account, amount, entry in note.moved:
            if ref not in books.moved:
                books.moved[ref] = (kind, account, amount)
                books.accounts[account].credited += amount
                self.people.moved(ref, entry)
        for account, when, tokens in note.months:
            if when >= books.months.get(account, ("", 0))[0]:
                books.months[account] = when, tokens
        self._hear(note.limits)

    def _hear(self, told: list[Told]) -> None:
        (self._unheard.extend if self.limits is None else self.limits.hear)(told)

    def _end(self, ref: str) -> None:
        """A call of a process that has ended counts nowhere any more."""
        if self.limits is not None:
            self.limits.ended(ref, 0)
        else:
            for told in (self._unheard, self._untold):
                told.append(["e", ref, 0])

    def _told(self) -> list[Told]:
        if self.limits is not None:
            return self.limits.told()
        told, self._untold = self._untold, []
        return told

    def share(self, limits: SharedLimits) -> None:
        """Keep these together with the others' from now on, what they have told before included."""
        self.limits = limits
        limits.hear(self._unheard)
        self._unheard.clear()

    def in_flight(self, holds: Iterable[tuple[str, int, int, int]]) -> None:
        """Calls of others that were begun before all that is read of what they have told: ref, time, key, account of
        each. At which model they are, their holds do not say."""
        self._hear(
            [["h", ref, at_us, [["key", key, 0], ["account", account, 0]]] for ref, at_us, key, account in holds]
        )

    def passed(self, notes: Iterable[tuple[int, str]], open: Collection[str] | None = None) -> None:
        """Memory was read anew, past these notes of turns, each with its boot: what the others have told of limits
        counts all the same. `open` are the refs of all holds that are open anywhere; None at a start, which has heard
        of no other."""
        for boot, note in notes:
            if boot != self.books.boot:
                self._hear(msgspec.json.decode(note, type=Note).limits)
        if open is None:
            return
        if self.limits is not None:
            self.limits.keep(open)
        else:
            begun = {ref for kind, ref, *_ in self._unheard if kind == "h"}
            self._unheard.extend(["e", ref, 0] for ref in begun - set(open))

    def steps(self, batch: Batch) -> Iterator[Step]:
        spent, open = self.spent(batch), self.opened(batch)
        for sql, values in batch.statements:
            yield Step(self.statement(sql, values), prepared=False)
        yield from written(batch, spent, open)

    def spent(self, batch: Batch) -> list[tuple[int, int, int]]:
        """Key, used and held of each key that a batch touched."""
        return [(quota.key, quota.used, quota.held) for quota in self._quotas(batch)]

    def _quotas(self, batch: Batch) -> list[Quota]:
        keys = {entry.key for entry in batch.entries if entry.key} | batch.spent.keys()
        return [self.books.quotas[key] for key in sorted(keys)]

    def opened(self, batch: Batch) -> list[Hold]:
        """The holds that a batch took and that are open after it."""
        open = self.books.open
        return [open[entry.id] for entry in batch.entries if entry.kind == "hold" and entry.id in open]

    def note(self, batch: Batch) -> str:
        """What the others must know of it."""
        books = self.books
        moved = [
            (entry.ref, entry.kind, entry.account, books.moved[entry.ref][2], entry.id)
            for entry in batch.entries if entry.kind in MOVES
        ]  # fmt: skip
        quotas = [(q.key, q.used, q.held, q.before, q.until_us, q.seen_us) for q in self._quotas(batch)]
        months = [(account, *books.months[account]) for account in _byok(batch) if account in books.months]
        said = Note(
            books.next_id,
            list(batch.balances.values()),
            quotas,
            moved,
            months,
            self._told(),
        )
        return msgspec.json.encode(said).decode()

    def expire(self, orphans: Sequence[tuple[Any, ...]], batch: Batch, at_us: int) -> None:
        """End holds of boots that have ended, as a start beside a file does (store.recovery)."""
        for one in msgspec.convert(orphans, list[Orphan]):
            books, metered = self.books, bool(one.metered)
            books.open[one.id] = Hold(
                one.id, one.account, one.key, one.amount, one.quota_held, metered, one.ref, bool(one.unlimited)
            )
            entry = Entry(
                one.id, "hold", one.account, one.key, "usage" if metered else "credits", "revenue", one.amount, 0,
                one.ref, one.estimate, one.at_us, one.note, one.boot,
            )  # fmt: skip
            expire(
                books, batch, entry, at_us=at_us, charge_estimate=self.charge_estimate, has_row=bool(one.has_row)
            )  # fmt: skip
            self._end(one.ref)
            log.warning("the hold of call %s was left open by a process that ended; it is ended", one.ref)

    async def reload(self, seen: int, known: Stamp | None) -> Turned:
        try:
            take = await trio.to_thread.run_sync(self.read, seen, known, abandon_on_cancel=True)
        except sqlite3.Error as error:
            raise Away(str(error)) from None
        return take()


def _byok(batch: Batch) -> set[int]:
    """Accounts that have BYOK calls among a batch's rows."""
    return {row.account for row in batch.rows if row.mode == BYOK}


def _by_table(touched: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Users before keys, which are theirs."""
    found: dict[str, list[str]] = {}
    for table, id in touched:
        found.setdefault(table, []).append(id)
    return sorted(found.items(), key=lambda one: (one[0] != "users", one[0]))
