"""The verification of the ledger: every balance recomputed from the first entry on, every request's row held against
the entries of its call and against its own arithmetic, and what is kept of requests in sums against the rows.

A verification reads one moment (the last entry's and the last request's id and all balances) in one short transaction
and then pages through the entries and the requests up to it, which never change: so no reader keeps the write-ahead log
from being folded back.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

import msgspec

from ftgate.core import receipt
from ftgate.core.audit import Audit, Disagreement, State
from ftgate.store import pruning, rollups
from ftgate.store.database import balances_in, last_entry, last_request, months_in, read_only, spent_in
from ftgate.store.entries import entries_after
from ftgate.store.schema import show_newest
from ftgate.store.source import Connection, Source

PAGE = 20_000
"""Entries or requests in one read of a verification: some tens of milliseconds."""


class Rows(msgspec.Struct):
    """How many requests were held against their entries: those whose charge was worked out again from the row alone,
    and those where it cannot be, because they were written before rows held their arithmetic (`older`) or because the
    process that knew it was killed (`crashed`, held against their expire)."""

    recomputed: int = 0
    older: int = 0
    crashed: int = 0

    def said(self) -> dict[str, object]:
        """As `ledger verify` shows it."""
        return {
            "requests": self.recomputed + self.older + self.crashed,
            "recomputed": self.recomputed,
            "not_recomputable": {"older": self.older, "crashed": self.crashed},
        }


Told = Callable[[int, int], None]
"""Hears how many of how many rows have been looked at, after each page of them."""


def _nobody(done: int, whole: int) -> None:
    """Who does not ask."""


def verify_ledger(source: Source, told: Told = _nobody) -> dict[str, object]:
    """Recompute every balance from the first entry on, look at every checkpoint on the way, and hold every request's
    row against its entries and its own arithmetic. {"ok", "accounts", "entries", "open_holds"}, and "disagreement"
    where not ok, else what Rows says, and how many requests are `pruned`, if any."""
    with closing(read_only(source)) as connection:
        return verify(connection, told)


def verify(connection: Connection, told: Told = _nobody) -> dict[str, object]:
    """As verify_ledger, by what a connection sees."""
    audit = Audit()
    try:
        show_newest(connection)
        connection.execute("BEGIN")
        last, newest = last_entry(connection), last_request(connection)
        balances, spent = balances_in(connection), spent_in(connection)
        months, gone_months = months_in(connection), pruning.months_in(connection)
        kinds, quarters = rollups.kinds_in(connection), rollups.quarters_in(connection)
        held, gone = pruning.held_in(connection), rollups.gone_in(connection)
        checkpoints = connection.execute(
            "SELECT last_id, id, CAST(state AS BLOB) FROM checkpoints ORDER BY last_id, id"
        ).fetchall()
        compare_payments(connection)  # they change, so within this one moment
        connection.execute("COMMIT")
        _read_all(connection, audit, last, checkpoints, lambda: told(audit.last_id, last + newest))
        audit.finish(balances, spent)
        rows = compare_requests(connection, audit, newest, held=held, told=lambda id: told(last + id, last + newest))
        compare_months(connection, months, gone_months, newest)
        rollups.compare(connection, kinds, quarters, gone, newest)
    except Disagreement as found:
        return {
            "ok": False,
            "accounts": len(audit.posted),
            "entries": audit.entries,
            "open_holds": len(audit.open),
            "disagreement": str(found),
        }
    said = {"ok": True, "accounts": len(balances), "entries": audit.entries, "open_holds": len(audit.open)}
    pruned = sum(int(str(many)) for *_, many in kinds.values())
    return {**said, **rows.said(), **({"pruned": pruned} if pruned else {})}


def _read_all(
    connection: Connection, audit: Audit, last: int, checkpoints: list[tuple[int, int, bytes]],
    told: Callable[[], None],
) -> None:  # fmt: skip
    """Read to the entry `last`; where a checkpoint (its entry, its id, its state) stands, it must say what this reading
    says."""
    for stop, id, state in [*checkpoints, (last, None, b"")]:
        while audit.last_id < stop and (page := entries_after(connection, audit.last_id, min(stop, last), PAGE)):
            for entry in page:
                audit.note(entry)
            told()
        if id is not None and not (audit.last_id == stop and _says(state, audit)):
            raise Disagreement(
                f"checkpoint {id}, which stands at entry {stop}, does not say what the entries up to there say"
            )


def _says(state: bytes, audit: Audit) -> bool:
    try:
        return msgspec.json.decode(state, type=State) == audit.state()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def compare_requests(
    connection: Connection, audit: Audit, last: int | None = None, *, held: pruning.Held | None = None,
    told: Callable[[int], None] = lambda id: None,
) -> Rows:  # fmt: skip
    """The requests up to the row `last` (by default the newest) against the entries up to where `audit` stands, both of
    one moment, and each against its own arithmetic. A row with a hold is the row of that hold's call: its account, key,
    id and what its end charged and lost. A row without one cost nothing. Every post and void has its row, and every
    expire that says its boot (an older version wrote none), or is among those that are gone: of that moment too,
    `held` of them had a hold. Raises Disagreement with the first row that is wrong.

    No hold has two rows: each must carry its hold's ref, and no two rows carry the same id. So where there are as many
    rows with a hold, there or gone, as calls that ended, no row is missing either. Rows may go while this is read; see
    rollups.compare."""
    last = last_request(connection) if last is None else last
    held = pruning.held_in(connection) if held is None else held
    found, rows, after = Rows(), 0, 0
    while after < last:
        until = _next(connection, "SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, last)
        unequal = connection.execute(_UNEQUAL, (after, until)).fetchone()
        _work_out(connection, found, after, until if unequal is None else unequal[0] - 1)
        if unequal is not None:
            raise Disagreement(f"request {unequal[1]}: {_unequal(*unequal[2:])}")
        rows += connection.execute(_WITH_HOLD, (after, until)).fetchone()[0]
        after = until
        told(until)
    ended = after = 0
    while after < audit.last_id:
        until = min(after + PAGE, audit.last_id)
        ended += connection.execute(_ENDED, (after, until)).fetchone()[0]
        after = until
    now = pruning.held_in(connection)
    if not rows + held.many <= ended <= rows + now.many:
        raise Disagreement(
            _missing(connection, now.last, audit.last_id)
            or f"{rows} requests have a hold, {held.many} that had one are gone, and {ended} calls have ended"
        )
    return found


_OF_BYOK = (
    "SELECT account, strftime('%Y-%m', created_at_us / 1000000, 'unixepoch'), sum(prompt_tokens + completion_tokens),"
    " max(abs(cost) + abs(lost)) FROM requests WHERE id > ? AND id <= ? AND mode = 'byok' GROUP BY 1, 2"
)


def compare_months(
    connection: Connection,
    months: Mapping[tuple[int, str], int],
    gone: Mapping[tuple[int, str], int],
    last: int,
) -> None:
    """The tokens of every month's BYOK calls against the rows up to `last` and those that are `gone`, all of one
    moment; no such call costs anything. Rows may go while this is read; see rollups.compare. Raises Disagreement."""
    found: dict[tuple[int, str], int] = dict.fromkeys(months.keys() | gone.keys(), 0)
    after = 0
    while after < last:
        until = _next(connection, "SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, last)
        for account, month, tokens, money in connection.execute(_OF_BYOK, (after, until)):
            if money:
                raise Disagreement(f"account {account} has paid for a BYOK call in {month}")
            found[account, month] = found.get((account, month), 0) + tokens
        after = until
    now = pruning.months_in(connection)
    for place, tokens in sorted(found.items()):
        said, before = months.get(place, 0), gone.get(place, 0)
        if not tokens + before <= said <= tokens + now.get(place, 0):
            account, month = place
            raise Disagreement(
                f"account {account}: {said} tokens of BYOK calls are remembered of {month}; its requests say"
                f" {tokens + before}"
            )


_MOVED = "SELECT ref, account, amount, debit FROM entries WHERE kind IN ('grant', 'topup', 'refund', 'correct')"


def compare_payments(connection: Connection) -> None:
    """Every payment against its entries, of one moment: credited once and just so, taken back what it says, of its own
    account. A topup's ref is the payment's session, that of a refund is the payment's id and a number: pay_…:1. Raises
    Disagreement."""
    topups = {ref: (account, amount) for ref, account, amount, _ in connection.execute(f"{_MOVED} AND kind = 'topup'")}
    refunds: dict[tuple[str, int], tuple[int, int]] = {}
    for ref, account, amount, debit in connection.execute(f"{_MOVED} AND kind = 'refund'"):
        place = ref.rpartition(":")[0], account
        taken, moves = refunds.get(place, (0, 0))
        refunds[place] = taken + (amount if debit == "credits" else -amount), moves + 1
    for id, account, session, *said in connection.execute(
        "SELECT id, account, session, credited, taken, moves FROM payments ORDER BY number"
    ):
        payer, credited = topups.get(session, (account, 0))
        entered = [credited, *refunds.get((id, account), (0, 0))]
        if payer != account:
            raise Disagreement(f"payment {id}: its entries are of another account")
        if said != entered:
            raise Disagreement(f"payment {id}: it says credited, taken, times = {said}, its entries say {entered}")


class _Said(NamedTuple):
    """A row's own arithmetic (receipt.Arithmetic), and the boot of its hold (0: none, or from before entries said)."""

    id: int
    request_id: str
    status: str
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    completion_tokens: int
    price: str
    multiplier: str
    earlier: str
    cost: int
    lost: int
    boot: int


_ARITHMETIC = (
    f"SELECT {', '.join('r.' + name for name in _Said._fields[:-1])}, coalesce(h.boot, 0)"  # noqa: S608 - names of ours
    " FROM requests r LEFT JOIN entries h ON h.id = r.hold WHERE r.id > ? AND r.id <= ? ORDER BY r.id"
)


def _work_out(connection: Connection, found: Rows, after: int, until: int) -> None:
    """Recompute what each row of a page came to, and count them in `found`. Raises Disagreement."""
    for said in map(_Said._make, connection.execute(_ARITHMETIC, (after, until))):
        if said.status == "crashed":
            found.crashed += 1
        elif said.multiplier:
            if words := receipt.wrong(said):
                raise Disagreement(f"request {said.request_id}: {words}")
            found.recomputed += 1
        elif said.boot:
            raise Disagreement(f"request {said.request_id}: its row has lost its multiplier")
        else:
            found.older += 1


def _next(connection: Connection, page: str, *between: int) -> int:
    """The last id of the next page; where there is none, the end of all."""
    ids = connection.execute(page, (*between, PAGE)).fetchall()
    return int(ids[-1][0]) if ids else between[-1]


_UNEQUAL = """
SELECT * FROM (
  SELECT r.id, r.request_id, r.status, r.hold, r.account, r.key, r.cost, r.lost, h.account AS of_account,
    h.key AS of_key, h.ref, e.kind,
    e.amount + coalesce((SELECT sum(amount) FROM entries p
      WHERE p.hold = r.hold AND p.kind IN ('overrun', 'loss') AND p.kind = 'overrun'), 0) AS charged,
    coalesce((SELECT sum(amount) FROM entries p
      WHERE p.hold = r.hold AND p.kind IN ('overrun', 'loss') AND p.kind = 'loss'), 0) AS given_up
  FROM requests r LEFT JOIN entries h ON h.id = r.hold AND h.kind = 'hold'
    LEFT JOIN entries e ON e.hold = r.hold AND e.kind IN ('post', 'void', 'expire')
  WHERE r.id > ?1 AND r.id <= ?2 AND r.hold <> 0
  UNION ALL
  SELECT id, request_id, status, 0, account, key, cost, lost, account, key, request_id, 'none', 0, 0 FROM requests
  WHERE id > ?1 AND id <= ?2 AND hold = 0 AND (cost <> 0 OR lost <> 0 OR status = 'crashed')
) AS found WHERE kind IS NULL OR (kind = 'expire') <> (status = 'crashed') OR ref IS NOT request_id
  OR of_account IS NOT account OR of_key IS NOT key OR cost <> charged OR lost <> given_up ORDER BY id LIMIT 1"""


def _unequal(
    status: str, hold: int, account: int, key: int, cost: int, lost: int, of_account: int | None, of_key: int | None,
    ref: str | None, kind: str | None,
    charged: int, given_up: int,
) -> str:  # fmt: skip
    """What is wrong with a request's row, in words."""
    if not hold and status == "crashed":
        return "its row says that it crashed, and has no hold"
    if not hold:
        return f"its row has no hold and says a cost, lost = {(cost, lost)}"
    if ref is None:
        return f"its row points at hold {hold}, which is not there"
    if kind is None:
        return f"its row points at hold {hold}, which has not ended"
    if status == "crashed" and kind != "expire":
        return f"its row says that it crashed, and its hold {hold} ended by a {kind}"
    if kind == "expire" and status != "crashed":
        return f"its row points at hold {hold}, which expired: no call of it came to an end"
    if (account, key) != (of_account, of_key):
        return f"its row says account {account} and key {key}, its hold {hold} account {of_account} and key {of_key}"
    if (cost, lost) != (charged, given_up):
        return f"its row says a cost, lost = {(cost, lost)}, its entries say {(charged, given_up)}"
    return f"its row points at hold {hold}, which is of request {ref}"


_WITH_HOLD = "SELECT count(*) FROM requests WHERE id > ? AND id <= ? AND hold > 0"
_HAS_ROW = "(kind IN ('post', 'void') OR (kind = 'expire' AND boot > 0))"
_ENDED = f"SELECT count(*) FROM entries WHERE id > ? AND id <= ? AND hold > 0 AND {_HAS_ROW}"  # noqa: S608 - words of ours
_WITHOUT_ROW = (
    f"SELECT id, kind, hold, ref FROM entries e WHERE id > ? AND id <= ? AND hold > ? AND {_HAS_ROW}"  # noqa: S608 - as above
    " AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request_id = e.ref AND r.hold = e.hold) ORDER BY id LIMIT 1"
)


def _missing(connection: Connection, pruned: int, last: int) -> str | None:
    """The first end of a hold that should have a row and has none, in words; but for holds up to `pruned`, whose rows
    may be gone."""
    after = pruned
    while after < last:
        until = min(after + PAGE, last)
        if (found := connection.execute(_WITHOUT_ROW, (after, until, pruned)).fetchone()) is not None:
            id, kind, hold, ref = found
            return f"entry {id}: the {kind} of hold {hold} has no row of request {ref}"
        after = until
    return None
