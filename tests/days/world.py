"""Days: a random history of the whole gateway, made from one seed, lived on Trio's mock clock.

What is real: the gate, the books, the limits, the ledger, accounts, keys and payments, the SQL that remembers them (an
in-memory database), the recovery after a crash. What is made up: upstreams, clients, Stripe, time, and when a commit
becomes durable. Everything random
comes from one `random.Random(seed)`, and tasks are scheduled by it too, so a seed replays its history exactly.

A history is a few *boots*. In each, clients come and go for a while; then the process stops cleanly or crashes: what
was not durable is gone, and the next boot begins with what was. The auditor (auditor.py) watches from outside and knows
only what each upstream was told to say and what each client saw.
"""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import trio
import trio.testing

from ftgate import dialects
from ftgate.accounts import Accounts
from ftgate.core.books import Books, Entry, Refusal
from ftgate.core.limits import Limits, Rates
from ftgate.core.money import parse_price
from ftgate.core.pricing import Multiplier, Price, Tier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model, Routes, Timeouts
from ftgate.core.secret import Secret
from ftgate.line.call import Call
from ftgate.line.gate import Gate
from ftgate.ports import (
    GateSettings,
    Headers,
    PlanOffer,
    SiteSettings,
    Terms,
)
from ftgate.store import checkpoint
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import last_entry
from ftgate.store.recovery import expire_orphans
from ftgate.store.writer import Writer
from tests.days.auditor import ATTEMPTS, Auditor
from tests.days.callers import BROUGHT, CALLERS, CHAT, MESSAGES, PROVIDER, TAKER
from tests.days.log import SlowLog, Watched, WatchedLedger, empty_database
from tests.days.office import Office
from tests.days.people import EPOCH, People, Plan
from tests.days.seen import FALLBACK, Seen
from tests.days.till import Till
from tests.days.upstreams import Upstreams
from tests.fakes.ports import Forgetful, Still, addresses

MODELS = ("small", "large")


class World:
    """One seed's history."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.connection = empty_database()
        self.acts: Counter[str] = Counter()  # what happened beside the calls, and to them
        self.theme = self.rng.choice(["", "", "spans", "plans"])  # what is about to happen often
        self.span = self.rng.choice(["day", "week", "month"])
        self.wall0_us = near_a_border(self.rng, self.span)
        self.rates: dict[tuple[str, str], Rates] = {}
        self.calls = 0
        self.boots = 0
        self._make()
        limited = any(self.rates["model", name] != Rates() for name in MODELS)
        self.people = People(self.plans)
        self.auditor = Auditor(
            self.people, self.wall_us, self._rates_of, self.acts, limited=limited
        )  # fmt: skip
        self.upstreams = Upstreams(self.rng, self.auditor, self.failing)
        self.office = Office(self)
        self.till = Till(self.rng, self, self.acts) if self.rng.random() < 0.6 else None

    # The operator's choices

    def _make(self) -> None:
        rng = self.rng
        self.plans = {
            "default": Plan(byok_tokens=rng.choice([1, 200, 10**9])),
            "dear": Plan(Multiplier(rng.randint(1, 400), 100), byok_tokens=rng.choice([0, 200])),
            "narrow": Plan(models=(rng.choice(["small", "large", "l*", "s*"]),), metered=rng.random() < 0.3),
        }
        self.channels = tuple(self._channel(name) for name in ("one", "two", "three")[: rng.randint(1, 3)])
        # The limits of [plan.*] or [limits] for keys, of [limits.account], of [limits.model.*]; in many histories there
        # are none.
        places = [*(("key", plan) for plan in self.plans), ("account", ""), *(("model", name) for name in MODELS)]
        quiet = rng.random() < (0.0 if self.theme == "plans" else 0.4)
        self.rates = {place: Rates() if quiet or rng.random() < 0.5 else self._some_rates() for place in places}
        self.bringing = rng.choice([0.1, 0.1, 0.6])  # how often a chat comes with a provider key of its own
        self.failing = 0.15  # how often an upstream answers with an error
        if rng.random() < 0.15:  # few at a time at each model, and providers that often fail: calls fall back
            self.rates = {
                place: Rates(concurrent=rng.randint(1, 3)) if place[0] == "model" else Rates() for place in places
            }
            self.failing = 0.5

    def _some_rates(self) -> Rates:
        choice = self.rng.choice
        return Rates(
            requests_per_second=choice([0, 0, 0, 1, 3, 10]),
            requests_per_minute=choice([0, 0, 0, 3, 10, 30]),
            tokens_per_minute=choice([0, 0, 0, 500, 5000, 50_000]),
            concurrent=choice([0, 0, 0, 1, 3]),
        )

    def _price(self) -> Price:
        rng = self.rng

        def units() -> int:
            return parse_price(f"{rng.randint(0, 20)}.{rng.randint(0, 999_999):06d}") if rng.random() < 0.95 else 0

        tiers: tuple[Tier, ...] = ()
        if rng.random() < 0.2:
            tiers = (Tier(rng.randint(10, 500), units(), units(), units(), units(), units()),)
        per_request = rng.choice([0, 0, 0, rng.randint(1, 10**9)])
        return Price(units(), units(), units(), units(), units(), per_request=per_request, tiers=tiers)

    def _channel(self, name: str) -> Channel:
        rng = self.rng
        models = {
            m: Model(
                m,
                m + "-up",
                self._price(),
                context=rng.choice([None, 4096, 131_072]),
                max_output=rng.choice([None, 64, 4096]),
            )
            for m in MODELS
            if rng.random() < 0.9
        } or {"small": Model("small", "small-up", self._price(), context=4096, max_output=64)}
        times = Timeouts(connect=2, head=5, answer=20, first_token=8, idle=6, total=60)
        return Channel(
            name, name, addresses(f"http://{name}.invalid", "openai_chat"),
            tuple(Secret(f"sk-{name}-{i}") for i in range(rng.randint(1, 2))),
            models, priority=rng.randint(0, 1), weight=rng.randint(1, 3), timeouts=times, drain=rng.random() < 0.35,
            charge_left_before_content=rng.random() < 0.8,
        )  # fmt: skip

    def _change_prices(self) -> None:
        """The operator edits the config while calls are in flight: new calls see new prices, running ones keep
        theirs."""
        rng = self.rng
        chosen = rng.choice(self.channels)
        models = {
            name: Model(name, m.upstream, self._price(), m.context, m.max_output) for name, m in chosen.models.items()
        }
        fields = {f: getattr(chosen, f) for f in chosen.__struct_fields__}
        changed = Channel(**{**fields, "models": models})
        self.channels = tuple(changed if c is chosen else c for c in self.channels)
        self.gate.live.gate = self._settings()

    def _settings(self) -> GateSettings:
        retry = Retry(attempts=ATTEMPTS, max_retry_after=3, backoff=0.5, backoff_cap=2)
        terms = {name: Terms(plan.multiplier, plan.models, plan.byok_tokens) for name, plan in self.plans.items()}
        limited = frozenset(name for name in MODELS if self.rates["model", name] != Rates())
        return GateSettings(
            Routes(self.channels, fallback=FALLBACK), retry, 60.0, terms, limited=limited, takers={PROVIDER: TAKER}
        )  # fmt: skip

    def _site(self) -> SiteSettings:
        return SiteSettings(plans={name: PlanOffer(selectable=True) for name in self.plans})

    # One boot

    async def boot(self, *, crash: bool) -> None:
        rng = self.rng
        self.boots += 1
        self.books = Books(next_id=last_entry(self.connection) + 1, boot=self.boots)
        self.log = SlowLog(self.connection, rng, rng.choice([0.0, 0.01, 0.5, 3.0]), self.auditor)
        self.accounts = Accounts(
            self.books, cast(Writer, self.log), self, lambda plan: self.plans[plan].metered, b"secret", self._site
        )
        self.accounts.load(self.connection)
        self.accounts.plans.adopt()
        self._recover()
        self.gate = Gate(
            live=Still(self._settings()), keys=self.accounts.directory,
            ledger=WatchedLedger(self.books, self.log, self, self.auditor), upstream=self.upstreams,
            limits=Limits(self._rates),
            clock=self, jitter=rng.random,
        )  # fmt: skip
        self.accounts.directory.replanned = lambda key: self.gate.limits.renew("key", key)
        self.gate.standing.health = Forgetful()  # the auditor knows limits and money, not who rests
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.log.work)
            if self.boots == 1:
                await self.office.open()
            if self.till is not None:
                nursery.start_soon(self.till.payments.run)
            for account in self.people.now.people:
                if rng.random() < 0.8:
                    self._move("grant", account, rng.choice([10**9, 10**10, 10**11, 10**12]))
            async with trio.open_nursery() as clients:
                for _ in range(rng.randint(1, 4)):
                    clients.start_soon(self._client, clients)
                for _ in range(2):
                    clients.start_soon(self._act, self.office.step, rng.randint(1, 6), 4.0)
                    if self.till is not None:
                        clients.start_soon(self._act, self.till.step, rng.randint(3, 12), 1.0)
                if crash:
                    await trio.sleep(rng.uniform(0, 20))
                    clients.cancel_scope.cancel()
                    nursery.cancel_scope.cancel()
                    self.crashed()
            if not crash:
                self.finish()
            nursery.cancel_scope.cancel()

    def _recover(self) -> None:
        """What a start does with what an earlier boot left open, and the auditor with what it finds."""
        rng = self.rng
        charge = rng.random() < 0.5
        open_holds = self.auditor.booting(self.connection, charge_estimate=charge)
        self.office.started(self.connection)
        if self.till is not None:
            self.till.open(self.accounts)
            self.till.started(self.connection)
        first = Watched(self.auditor)
        for id in self.people.now.people:
            first.remember((), self.books.accounts[id])
        known = open_holds if rng.random() < 0.5 else None
        expire_orphans(
            self.connection, self.books, first, at_us=self.wall_us(), charge_estimate=charge, open_holds=known
        )
        write_batch(self.connection, first)
        assert not self.books.open
        self.auditor.booted(self.connection)

    async def _act(self, step: Callable[[], Awaitable[None]], times: int, most_s: float) -> None:
        """What people do beside the calls."""
        for _ in range(times):
            await trio.sleep(self.rng.choice([0.0, 0.01, self.rng.uniform(0, most_s)]))
            await step()

    async def close(self) -> None:
        """The last boot: nobody calls any more, and all that is due of payments is told."""
        if self.till is not None:
            await self._quiet(self.till.ended)

    async def _quiet(self, last: Callable[[Callable[[], sqlite3.Connection]], Awaitable[None]]) -> None:
        self.boots += 1
        self.books = Books(next_id=last_entry(self.connection) + 1, boot=self.boots)
        self.log = SlowLog(self.connection, self.rng, 0.0, self.auditor)
        self.accounts = Accounts(
            self.books, cast(Writer, self.log), self, lambda plan: self.plans[plan].metered, b"secret", self._site
        )
        self.accounts.load(self.connection)
        self._recover()

        def written() -> sqlite3.Connection:
            self.log.write_all()
            return self.connection

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.log.work)
            await last(written)
            nursery.cancel_scope.cancel()
        self.log.write_all()
        self.auditor.stopped(self.connection)

    def crashed(self) -> None:
        """From here on nothing more is written: whatever the unwinding tasks still decide is lost with the process."""
        self.auditor.crashed = True
        self.log.filling = Batch()
        dead = Batch()
        self.log.changed = lambda **soon: dead  # type: ignore[method-assign]
        self.log.dead = True
        self.log.trouble = "crashed"

    def finish(self) -> None:
        if self.rng.random() < 0.5:
            self.log.write_all()
            self._checkpoint()
        self.log.write_all()
        assert not self.gate.calls and not self.upstreams.open_answers
        self.auditor.stopped(self.connection)

    def _checkpoint(self) -> None:
        """Queue a checkpoint of the audit, as the house does once a minute and at its end."""
        audit = checkpoint.resume(self.connection)
        checkpoint.catch_up(self.connection, audit, checkpoint.last_entry(self.connection))
        self.log.changed().statements += checkpoint.statements(audit, self.wall_us())

    def _rates_of(self, scope: str, name: str) -> Rates:
        """As the config says; none of a model that only a caller's own provider knows."""
        return self.rates.get((scope, name), Rates())

    def _rates(self, scope: str, name: str) -> Rates:
        if scope == "key":
            name = self.accounts.directory.plan_of_key(int(name)) or ""
        return self.rates[scope, "" if scope == "account" else name]

    # ports.Clock

    def now(self) -> float:
        return trio.current_time()

    def wall_us(self) -> int:
        return self.wall0_us + int(trio.current_time() * 1_000_000)

    def wait(self) -> None:
        """Nobody is there for a while."""
        rng = self.rng
        if self.theme == "spans" or rng.random() < 0.3:
            self.wall0_us = near_a_border(rng, self.span, self.wall_us()) - int(trio.current_time() * 1_000_000)
        else:
            days = rng.choice([0, 0, rng.randint(1, 8), 31])
            self.wall0_us += rng.choice([0, rng.randint(0, 3600), days * 86_400]) * 1_000_000

    # Clients

    async def _client(self, nursery: trio.Nursery) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 8)):
            await trio.sleep(rng.choice([0.0, 0.01, rng.uniform(0, 5)]))
            chance = rng.random()
            if chance < 0.15:
                self._grant()
            elif chance < 0.2:
                self._change_prices()
            elif chance < 0.25:
                self._checkpoint()
            await self._call()

    def _grant(self) -> None:
        """Money moves beside the calls: grants, payments told twice, refunds of what may be spent (and what of
        them failed), corrections both ways."""
        rng = self.rng
        account = rng.choice(list(self.people.now.people))
        kind = rng.choice(["grant", "grant", "grant", "topup", "refund", "correct"])
        amount = rng.choice(
            [0, rng.randint(1, 10**6), rng.randint(1, 10**10), 10**12 if kind in {"grant", "topup"} else 1]
        )
        if kind == "correct":
            amount *= rng.choice([1, -1])
        self._move(kind, account, amount)
        if kind == "refund" and amount and rng.random() < 0.5:  # a part of it has failed
            self._move("give_back", account, rng.randint(1, amount))

    def _move(self, kind: str, account: int, amount: int) -> None:
        rng = self.rng
        ref = f"{kind}_{rng.getrandbits(64)}"
        move = getattr(self.books, kind)
        entry = move(account, amount, ref=ref, at_us=self.wall_us())
        if entry is Refusal.amount_out_of_range:
            return
        assert isinstance(entry, Entry)
        self.log.changed().remember((entry,), self.books.accounts[account])
        if rng.random() < 0.5:  # told again, with the same values and with others
            before = self.books.accounts[account].posted
            assert move(account, amount, ref=ref, at_us=self.wall_us()) is Refusal.already_done
            assert move(account, amount + 1, ref=ref, at_us=self.wall_us()) in {
                Refusal.id_reused,
                Refusal.amount_out_of_range,
            }
            assert self.books.accounts[account].posted == before

    async def _call(self) -> None:
        rng = self.rng
        keys = list(self.office.secrets)
        good = [key for key in keys if not self.people.barred(key, self.wall_us())]
        key = rng.choice(good if good and rng.random() < 0.8 else keys)
        self.calls += 1
        body: dict[str, Any] = {
            "model": rng.choice(["small", "large"] * 4 + ["small", "nothing"]),
            "messages": [{"role": "user", "content": "word " * rng.randint(1, 60)}],
            "stream": rng.random() < 0.6,
        }
        caller = rng.choice(CALLERS)
        if rng.random() < 0.5 or caller is MESSAGES:
            body["max_tokens"] = rng.choice([1, 20, 500, 5000])
        if rng.random() < 0.1 and caller is CHAT:
            body["n"] = 2
        if rng.random() < 0.3 and caller is CHAT:
            body["stream_options"] = {"include_usage": True}
        byok = caller is CHAT and rng.random() < self.bringing
        words = {"provider_key": {"provider": PROVIDER, "api_key": "sk-of-the-caller"}} if byok else {}
        call = Call(
            id=f"req_{self.seed}_{self.calls}",
            dialect=dialects.ALL[caller.dialect],
            secret=self.office.secrets[key].encode(),
            body=json.dumps({**caller.words(body), **words}).encode(),
        )
        account, plan = self.people.key(key).account, self.people.plan(key)
        seen = Seen(
            call, account, key, plan, self.people.metered(account), self.plans[plan].multiplier, body, caller,
            self.people.lists(key), byok,
        )  # fmt: skip
        self.auditor.began(seen, (BROUGHT,) if byok else self.channels, self.now())
        client = SimClient(self, seen)
        async with trio.open_nursery() as nursery:
            if rng.random() < 0.3:
                how = rng.choice(["client_gone", "client_gone", "write_timeout", "shutdown", "operator"])
                nursery.start_soon(self._interfere, seen, rng.uniform(0, 12), how)
            await self.gate.relay(call, client)
            self.auditor.released(seen, self.now())
            nursery.cancel_scope.cancel()
        self.auditor.returned(seen, self.books)
        assert seen.status != 500, f"{call.id}: an internal error"

    async def _interfere(self, seen: Seen, after_s: float, how: str) -> None:
        await trio.sleep(after_s)
        self.auditor.left(seen, how, self.now())
        if how in {"client_gone", "write_timeout"}:
            seen.call.client_gone(how)
        else:
            seen.call.cancel(how)


def near_a_border(rng: random.Random, span: str, after_us: int | None = None) -> int:
    """A moment shortly before a day, a week or a month ends: somewhere in some years, or the next one."""
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=rng.randint(0, 1500))
    day = (start if after_us is None else EPOCH + timedelta(microseconds=after_us)) + timedelta(days=1)
    while (span == "week" and day.weekday()) or (span == "month" and day.day > 1):
        day += timedelta(days=1)
    border = day.replace(hour=0, minute=0, second=0, microsecond=0)
    at_us = (border - EPOCH) // timedelta(microseconds=1) - int(rng.uniform(0, rng.choice([15, 60])) * 1_000_000)
    return max(at_us, after_us or 0)


class SimClient:
    """ports.Client that tells the auditor what came, now and then slowly."""

    def __init__(self, world: World, seen: Seen) -> None:
        self.world = world
        self.seen = seen
        self.immediate = world.rng.random() < 0.7
        self.waiting = b""

    def send_now(self, data: bytes) -> bool:
        if self.world.rng.random() < 0.2:
            self.waiting = data
            return False
        self.seen.answer += data
        return True

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.seen.tail_at = self.world.now()
        await self.start(status, headers, body)
        await self.send(body)
        await self.end()

    async def start(self, status: int, headers: Headers, body: bytes = b"") -> None:
        assert self.seen.status is None, "two heads for one call"
        self.seen.status = status
        self.seen.headers = dict(headers)
        world = self.world
        world.auditor.answered(self.seen, body, world.now(), world.connection, busy=world.log.busy() is not None)
        await trio.lowlevel.checkpoint()

    async def send(self, data: bytes) -> None:
        self.seen.answer += self.waiting + data
        self.waiting = b""
        await trio.sleep(self.world.rng.choice([0.0] * 9 + [3.0]))

    async def end(self, data: bytes = b"") -> None:
        self.seen.tail_at = self.seen.tail_at or self.world.now()
        if data:
            await self.send(data)
        self.seen.ended = True
        await trio.lowlevel.checkpoint()


def live(seed: int) -> World:
    """Live one history to its end; raises AssertionError where the auditor disagrees."""
    world = World(seed)

    async def main() -> None:
        for _ in range(world.rng.randint(1, 3)):
            await world.boot(crash=world.rng.random() < (0.6 if world.theme == "spans" else 0.4))
            world.wait()
        await world.close()
        world.auditor.booting(world.connection, charge_estimate=False)

    # Trio shuffles its run queue with its own generator; seeding it makes the schedule part of the seed.
    from trio._core import _run

    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    world.connection.close()
    return world
