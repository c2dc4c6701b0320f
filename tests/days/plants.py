"""Bugs to plant, so that the simulation can show that it would catch them. Each is a patch of the house, undone by the
caller."""

import contextlib
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import ftgate.errors
import ftgate.line.charge
import ftgate.line.gate
import ftgate.line.words
import ftgate.ports
from ftgate.core import audit, limits, pricing, receipt, retrying, verdicts
from ftgate.core.books import Books, Ended, Entry, Hold, Quota, Refusal
from ftgate.core.routing import Model
from ftgate.core.usage import Measured, Usage
from ftgate.dialects import openai_chat
from ftgate.dialects.talk import Meter
from ftgate.line.attempt import Attempts
from ftgate.line.call import Call, Exchange
from ftgate.line.gate import Gate
from ftgate.line.planning import Planner
from ftgate.store import recovery
from ftgate.store.ledger import MemoryLedger
from tests.days.plants_people import PEOPLE

Patch = tuple[Any, str, Any]


def settle_twice() -> Patch:
    """An answer is charged a second time, as a late retry of the settle would without ids."""
    real = Books.post

    def post(self: Books, hold_id: int, amount: int, **more: Any) -> Ended | Refusal:
        hold = self.open.get(hold_id)
        first = real(self, hold_id, amount, **more)
        balance = self.accounts[hold.account] if hold else None
        if (
            isinstance(first, Ended)
            and hold
            and balance
            and not hold.metered
            and balance.posted >= amount
            and hold.id % 3 == 0
        ):
            self.open[hold_id] = hold
            balance.held += hold.amount
            self.quotas[hold.key].held += hold.quota_held
            second = real(self, hold_id, min(amount, hold.amount), **more)
            assert isinstance(second, Ended)
            return Ended(first.entries + second.entries, first.charged, first.lost, second.posted)
        return first

    return Books, "post", post


def forget_a_void() -> Patch:
    """A failed call's hold is left open."""
    real = MemoryLedger.settle

    async def settle(self: MemoryLedger, hold: int, charge: int | None, row: Any) -> Any:
        if charge is None and hold % 5 == 0:
            return ftgate.ports.Settled(0, 0, 0, self.log.changed())
        return await real(self, hold, charge, row)

    return MemoryLedger, "settle", settle


def float_rounding() -> Patch:
    """The multiplier is applied in binary floating point."""

    def total(charges: list[int], multiplier: pricing.Multiplier = pricing.ONE) -> int:
        return int(sum(charges) * (multiplier.numerator / multiplier.denominator))

    return pricing, "total", total


def hold_below_price() -> Patch:
    """The hold forgets that the prompt costs, too."""
    real = pricing.Quote.bound

    def bound(self: pricing.Quote, cap: int) -> int:
        return max(real(self, cap) - self.prompt_tokens * self.price.input, 0)

    return pricing.Quote, "bound", bound


def retry_after_first_byte() -> Patch:
    """A stream that breaks after content is tried again."""
    real = Attempts.run

    async def run(self: Attempts, x: Exchange, tried: Any, index: int) -> retrying.Outcome | None:
        try:
            return await real(self, x, tried, index)
        except ftgate.errors.ProviderError:
            return retrying.Outcome(index, verdicts.Verdict.unreachable, "broke off")

    return Attempts, "run", run


def ignore_quotas() -> Patch:
    """A key may spend what it likes."""
    return Quota, "left", property(lambda self: None)


def ignore_concurrency() -> Patch:
    """Calls in flight are not counted."""
    real = limits.take_requests

    def take(scopes: list[Any], now: float, ticket: limits.Ticket) -> limits.Refused | None:
        free = [(scope, limits.Meters(limits.Rates())) for scope, _ in scopes]
        return real(free, now, ticket)

    return limits, "take_requests", take


def charge_the_cut_too_much() -> Patch:
    """Whoever is cut or leaves pays for far more than came."""
    real = Meter.output

    def output(self: Meter, counted: Any = None) -> int:
        return real(self, counted) * 1000 + 5000

    return Meter, "output", output


def _measuring(change: Callable[[Any, Any, Any], Any]) -> Patch:
    """What an attempt is charged for goes through `change(exchange, tried, measured)`."""
    real = ftgate.line.charge._measure
    return ftgate.line.charge, "_measure", lambda x, tried: change(x, tried, real(x, tried))


def _with_output(measured: Any, tokens: int) -> Any:
    return msgspec.structs.replace(measured, usage=msgspec.structs.replace(measured.usage, output=tokens))


def one_token_for_a_cut() -> Patch:
    """A stream that breaks off after content pays for its prompt and one token."""

    def change(x: Exchange, tried: Any, measured: Any) -> Any:
        return _with_output(measured, 1) if measured and x.head_sent and not tried.complete else measured

    return _measuring(change)


def leaving_is_free() -> Patch:
    """Whoever leaves before content pays nothing, whatever the channel says."""

    def change(x: Exchange, tried: Any, measured: Any) -> Any:
        return None if x.call.left and not tried.complete and not tried.meter.content_seen else measured

    return _measuring(change)


def leaving_is_charged() -> Patch:
    """Whoever leaves before content pays for the prompt, whatever the channel says."""
    real = ftgate.line.charge._measure

    def measure(x: Exchange, tried: Any) -> Any:
        measured = real(x, tried)
        if measured is None and x.call.left and tried.sending.sent and not tried.failed:
            return Measured(
                Usage(input=ftgate.line.charge.prompt_of(x, tried.candidate.model).whole.likely), exact=False
            )
        return measured

    return ftgate.line.charge, "_measure", measure


def one_token() -> Patch:
    """The meter counts every answer as one token."""
    return Meter, "output", lambda self, counted=None: 1


def leaving_is_dear() -> Patch:
    """Whoever leaves a stream pays for three times what came."""

    def change(x: Exchange, tried: Any, measured: Any) -> Any:
        return (
            _with_output(measured, 3 * measured.usage.output)
            if measured and x.call.left and not tried.complete
            else measured
        )

    return _measuring(change)


def forget_usage_at_a_cut() -> Patch:
    """What an upstream said to have used before it was cut is not looked at."""
    real = ftgate.line.charge._measure

    def measure(x: Exchange, tried: Any) -> Any:
        if not tried.complete:
            tried.meter.reported = None
        return real(x, tried)

    return ftgate.line.charge, "_measure", measure


def drain_nothing() -> Patch:
    """A channel that is to be drained is given up at once."""

    def client_gone(self: Call, why: str = "client_gone") -> None:
        self.left = True
        self.cancel(why)

    return Call, "client_gone", client_gone


def free_cache_writes() -> Patch:
    """Tokens that are written to a cache cost nothing."""
    real = pricing.charge
    return pricing, "charge", lambda price, usage: real(price, msgspec.structs.replace(usage, cache_write=0))


def leak_at_the_fallback() -> Patch:
    """A call that falls back still counts among those that run at the model it left."""
    real = Planner.enter

    async def enter(self: Gate, x: Exchange, model: Any) -> Any:
        if x.entered and x.entered != model.name:
            x.model_ticket = limits.Ticket()
        return await real(self, x, model)

    return Planner, "enter", enter


def _settling(change: Callable[[MemoryLedger, Any, Any], Any]) -> Patch:
    """What a settlement says goes through `change(ledger, row, settled)`."""
    real = MemoryLedger.settle

    async def settle(self: MemoryLedger, hold: int, charge: int | None, row: Any) -> Any:
        return change(self, row, await real(self, hold, charge, row))

    return MemoryLedger, "settle", settle


def show_what_is_available() -> Patch:
    """The balance that is shown leaves out what other calls hold."""

    def change(ledger: MemoryLedger, row: Any, settled: Any) -> Any:
        available = ledger.books.accounts[row.account].available
        return settled if settled.balance is None else msgspec.structs.replace(settled, balance=available)

    return _settling(change)


def show_another_cost() -> Patch:
    """The cost in a stream's usage is not what was charged; the comment beside it is right."""
    real = openai_chat.StreamReader.tail

    def tail(self: Any, usage: Any, *, exact: bool, cost: int, note: str) -> bytes:
        return real(self, usage, exact=exact, cost=cost + 1, note=note)

    return openai_chat.StreamReader, "tail", tail


def ask_for_too_little() -> Patch:
    """A 402 names a lower sum than the call needs."""
    real = ftgate.line.words._poor
    return (
        ftgate.line.words,
        "_poor",
        lambda poor: real(msgspec.structs.replace(poor, required=poor.required * 9 // 10)),
    )


def refuse() -> Patch:
    """A hold sets aside twenty times what the call can cost, and whoever has less is refused."""
    real = pricing.Quote.bound
    return pricing.Quote, "bound", lambda self, cap: 20 * real(self, cap)


def refuse_the_rich() -> Patch:
    """Now and then a call is refused for money that is there."""
    real = Books.hold

    def hold(self: Books, account: int, key: int, amount: int, **more: Any) -> tuple[Hold, Entry] | Refusal:
        return Refusal.insufficient_credits if self.next_id % 7 == 0 else real(self, account, key, amount, **more)

    return Books, "hold", hold


def small_caps() -> Patch:
    """A call without a cap of its own gets half of the cap that it could have."""
    real = pricing.Quote.largest_cap
    return pricing.Quote, "largest_cap", lambda self, budget: real(self, budget) // 2


def overrunfree() -> Patch:
    """What an upstream used past a hold is a loss, whatever the account has."""

    def overrun(
        self: Books, hold: Hold, balance: Any, excess: int, room: int, entries: list[Entry], at_us: int
    ) -> tuple[int, int]:
        return 0, self._loss(hold, excess, entries, at_us)

    return Books, "_overrun", overrun


def expirefree() -> Patch:
    """A hold that a crash left open is free, whatever the operator chose."""
    real = Books.expire
    return Books, "expire", lambda self, hold_id, amount, **more: real(self, hold_id, 0, **more)


def ignore_model_limit() -> Patch:
    """The limits of a model over all its callers are not looked at."""
    real = limits.Limits.meters

    def meters(self: limits.Limits, scope: limits.Scope, name: str) -> limits.Meters:
        return limits.Meters(limits.Rates()) if scope == "model" else real(self, scope, name)

    return limits.Limits, "meters", meters


def ignore_the_fallback() -> Patch:
    """A call that falls back to another model is not counted there."""
    real = Planner.enter

    async def enter(self: Planner, x: Exchange, model: Model) -> limits.Refused | None:
        return None if x.entered else await real(self, x, model)

    return Planner, "enter", enter


def ignore_windows() -> Patch:
    """Rolling windows always have room."""
    return limits.Window, "wait_s", lambda self, now, weight=1: 0.0


def fixed_windows() -> Patch:
    """Windows stand on a grid, as buckets do: at its lines twice the limit comes through."""

    def expire(self: limits.Window, now: float) -> None:
        while self.admitted and self.admitted[0][0] // self.span_s < now // self.span_s:
            self.used -= int(self.admitted.popleft()[1])

    return limits.Window, "_expire", expire


def wait_too_long() -> Patch:
    """Whoever is over a limit is sent away for longer than it needs."""
    real = limits.Window.wait_s

    def wait_s(self: limits.Window, now: float, weight: int = 1) -> float:
        wait = real(self, now, weight)
        return wait + 1.5 if wait else 0.0

    return limits.Window, "wait_s", wait_s


def forget_at_checkpoint() -> Patch:
    """An audit that goes on from a checkpoint has forgotten which holds were open."""
    real = audit.Audit.resume.__func__  # type: ignore[attr-defined]

    def resume(cls: type[audit.Audit], state: audit.State) -> audit.Audit:
        found: audit.Audit = real(cls, state)
        found.held.clear()
        return found

    return audit.Audit, "resume", classmethod(resume)


def no_row_after_a_crash() -> Patch:
    """A call that a kill ended leaves no trace in the log."""
    return recovery, "_has_row", lambda connection, ref: True


def forget_the_multiplier() -> Patch:
    """A row says that its plan's factor is 1."""
    return receipt, "multiplier_text", lambda multiplier: "1/1"


def price_of_the_first() -> Patch:
    """A row holds the price of the first candidate tried, whichever was charged."""
    real = ftgate.line.gate.row

    def row(x: Exchange, *words: Any, **more: Any) -> ftgate.ports.Row:
        said = real(x, *words, **more)
        return msgspec.structs.replace(said, price=said.price and receipt.price_text(x.tried[0].candidate.model.price))

    return ftgate.line.gate, "row", row


def unnumbered_boots() -> Patch:
    """Every boot is the first: nobody could tell whose holds are whose."""
    real = Books._entry

    def entry(self: Books, *words: Any, **more: Any) -> Entry:
        return msgspec.structs.replace(real(self, *words, **more), boot=1)

    return Books, "_entry", entry


PLANTS: dict[str, Callable[[], Patch]] = {
    plant.__name__: plant
    for plant in (
        settle_twice,
        forget_a_void,
        float_rounding,
        hold_below_price,
        retry_after_first_byte,
        ignore_quotas,
        ignore_concurrency,
        charge_the_cut_too_much,
        refuse,
        refuse_the_rich,
        small_caps,
        overrunfree,
        expirefree,
        ignore_model_limit,
        ignore_the_fallback,
        ignore_windows,
        fixed_windows,
        wait_too_long,
        forget_at_checkpoint,
        one_token_for_a_cut,
        leaving_is_free,
        leaving_is_charged,
        one_token,
        leaving_is_dear,
        forget_usage_at_a_cut,
        drain_nothing,
        free_cache_writes,
        leak_at_the_fallback,
        show_what_is_available,
        show_another_cost,
        ask_for_too_little,
        no_row_after_a_crash,
        forget_the_multiplier,
        price_of_the_first,
        unnumbered_boots,
    )
} | PEOPLE


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """The house with one bug in it."""
    place, attribute, broken = PLANTS[name]()
    sound = vars(place)[attribute]
    setattr(place, attribute, broken)
    try:
        yield
    finally:
        setattr(place, attribute, sound)


AUDITORS = {"auditor.py", "tally.py", "windows.py", "batch.py", "office.py", "people.py", "till.py"}


def found_by(wrong: BaseException) -> set[str]:
    """The files of ours in which something was found wrong: the auditor's, or the database's own unique index, met
    where a batch is written. Empty when a plant broke by itself."""
    if isinstance(wrong, BaseExceptionGroup):
        return set().union(*(found_by(inner) for inner in wrong.exceptions))
    if not isinstance(wrong, (AssertionError, sqlite3.IntegrityError)):
        return set()
    return {Path(frame.filename).name for frame in traceback.extract_tb(wrong.__traceback__)[-1:]} & AUDITORS
