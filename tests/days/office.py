"""What owners and operators do in a history, beside the calls: keys are made, limited, disabled, enabled and deleted,
they expire, their quotas begin anew; accounts are disabled, change their plan and how they are billed; credits are
granted and put right. Through the house's own commands, each noted for the auditor in the moment in which it is
decided.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any, Protocol

import msgspec
import trio

from ftgate.accounts import Accounts
from ftgate.core.books import Books
from ftgate.core.moments import parse_time
from ftgate.errors import Conflict
from ftgate.ports.site import Doer
from tests.days.auditor import Auditor
from tests.days.people import Pass, People, Person, State

BY = Doer()
CENT = 10**10


class Place(Protocol):
    """The history, as far as it is seen from here."""

    rng: random.Random
    acts: Counter[str]
    people: People
    auditor: Auditor
    accounts: Accounts
    books: Books
    theme: str
    span: str

    def wall_us(self) -> int: ...


class Office:
    def __init__(self, world: Place) -> None:
        self.world = world
        self.secrets: dict[int, str] = {}  # of each key that its owner was shown
        self.asked: dict[str, tuple[str, int, int]] = {}  # refs of credits -> kind, account, amount
        self.moved: dict[str, tuple[str, int, int]] = {}  # those that were answered
        self.refs = 0

    @property
    def _last_entry(self) -> int:
        return self.world.books.next_id - 1

    # What the database says after a start

    def started(self, connection: sqlite3.Connection) -> None:
        world = self.world
        found = State()
        for id, status, plan, mode in connection.execute("SELECT id, status, plan, mode FROM users"):
            found.people[id] = Person(status, plan, mode)
        columns = "id, account, status, plan, models, quota, quota_reset, expires_at_us"
        for id, account, status, plan, models, *rest in connection.execute(f"SELECT {columns} FROM keys"):
            found.passes[id] = Pass(account, status, plan, tuple(msgspec.json.decode(models)), *rest)
        world.people.started(found, world.auditor.tally.last)
        entered = {
            ref: (kind, account, -amount if debit == "credits" else amount)
            for ref, kind, account, amount, debit in connection.execute(
                "SELECT ref, kind, account, amount, debit FROM entries WHERE ref LIKE 'ours-%'"
            )
        }
        lost = {ref: said for ref, said in self.moved.items() if entered.get(ref) != said}
        assert not lost, f"credits were answered and are not in the books: {lost}"

    # What people do

    async def open(self) -> None:
        """The operator sets the first accounts and keys up."""
        rng, world = self.world.rng, self.world
        for id in range(1, rng.randint(2, 4)):
            person = Person(plan=self._a_plan(), mode=rng.choice(["", "", "", "metered"]))
            said = world.people.act(
                self._last_entry, lambda state, id=id, person=person: state.people.update({id: person})
            )
            await world.accounts.users.make(f"u{id}", by=BY, mode=person.mode, plan=person.plan)
            said.answered = True
            for _ in range(rng.randint(1, 2)):
                await self._make(id)

    def _a_plan(self) -> str:
        return self.world.rng.choice(["default", "default", "dear", "dear", "narrow"])

    async def step(self) -> None:
        often: dict[str, list[Callable[[], Awaitable[None]]]] = {
            "spans": [self._look] * 20, "plans": [self._plan, self._terms] * 8
        }  # fmt: skip
        acts = [
            *[self._status] * 4, *[self._limit] * 3, self._reset, self._models, self._expiry, self._plan, self._account,
            self._account, self._terms, self._make, self._delete, self._credits, self._credits, self._look,
            *often.get(self.world.theme, ()),
        ]  # fmt: skip
        await self.world.rng.choice(acts)()

    async def _make(self, account: int | None = None) -> None:
        world, rng = self.world, self.world.rng
        if account is None:
            account = rng.choice(list(world.people.now.people))
        made = Pass(account, quota=rng.choice([None, None, int(10 ** rng.uniform(8, 11))]), since=self._last_entry)
        made.reset = rng.choice(["none", "day", world.span, world.span, "month"])
        if world.theme == "spans" and rng.random() < 0.7:
            made.quota, made.reset = int(10 ** rng.uniform(9, 12)), world.span
        id = max(world.people.now.passes, default=0) + 1
        said = world.people.act(self._last_entry, lambda state: state.passes.update({id: made}))
        fields = {"name": f"k{id}", "quota": made.quota, "quota_reset": made.reset}
        shown, secret = await world.accounts.keys.make(account, fields, BY)
        said.answered = True
        assert shown["id"] == str(id)
        self.secrets[id] = secret
        world.acts["keys made"] += 1

    async def _change(self, what: str, fields: dict[str, Any], change: Callable[[Pass], None]) -> None:
        """Change one key."""
        world = self.world
        keys = [id for id in self.secrets if world.people.key(id).status != "deleted"]
        if not keys:
            return
        id = world.rng.choice(keys)
        await self._said(
            what, lambda state: change(state.passes[id]), lambda: world.accounts.keys.change(id, None, fields, BY)
        )

    async def _said(
        self, what: str, change: Callable[[State], None], command: Callable[[], Awaitable[object]]
    ) -> None:  # fmt: skip
        said = self.world.people.act(self._last_entry, change)
        await command()
        said.answered = True
        self.world.acts[what] += 1

    async def _status(self) -> None:
        status = self.world.rng.choice(["disabled", "active", "active"])
        what = "keys disabled" if status == "disabled" else "keys enabled"
        await self._change(what, {"status": status}, lambda one: setattr(one, "status", status))

    async def _limit(self) -> None:
        quota = self.world.rng.choice([None, None, 0, *(int(10 ** self.world.rng.uniform(7, 12)) for _ in range(3))])
        await self._change("quotas set", {"quota": quota}, lambda one: setattr(one, "quota", quota))

    async def _reset(self) -> None:
        reset = self.world.rng.choice(["none", "day", "day", "week", "month"])
        last = self._last_entry

        def change(one: Pass) -> None:
            if one.reset != reset:
                one.reset, one.since = reset, 0 if reset == "none" else last

        await self._change("resets chosen", {"quota_reset": reset}, change)

    async def _models(self) -> None:
        models = self.world.rng.choice([(), (), (), ("small", "large"), ("small",), ("l*", "other")])
        await self._change("keys held to models", {"models": models}, lambda one: setattr(one, "models", models))

    async def _expiry(self) -> None:
        rng, now_us = self.world.rng, self.world.wall_us()
        at_us = rng.choice([None, now_us, now_us - 1, now_us + int(rng.uniform(0, 20) * 1_000_000)])
        await self._change("expiries set", {"expires_at_us": at_us}, lambda one: setattr(one, "expires_us", at_us))

    async def _plan(self) -> None:
        world = self.world
        name = world.rng.choice(["", self._a_plan()])
        number = world.accounts.plans.ids[name] if name else None
        people = world.people.now.people

        def change(one: Pass) -> None:
            if not name or name != (one.plan or people[one.account].plan):  # what is put back as it was read stays
                one.plan = name

        await self._change("keys' plans changed", {"plan_id": number}, change)

    async def _delete(self) -> None:
        world = self.world
        keys = [id for id in self.secrets if world.people.key(id).status != "deleted"]
        if len(keys) < 2:
            return
        id = world.rng.choice(keys)
        await self._said(
            "keys deleted", lambda state: setattr(state.passes[id], "status", "deleted"),
            lambda: world.accounts.keys.delete(id, None, BY),
        )  # fmt: skip

    async def _account(self) -> None:
        status = self.world.rng.choice(["disabled", "active", "active", "active"])
        what = "accounts disabled" if status == "disabled" else "accounts enabled"
        await self._of_account(what, {"status": status})

    async def _terms(self) -> None:
        world = self.world
        fields = world.rng.choice(
            [
                {"plan": self._a_plan()},
                {"mode": world.rng.choice(["", "prepaid", "metered"])},
            ]
        )
        await self._of_account("accounts' plans and modes changed", fields)

    async def _of_account(self, what: str, fields: dict[str, str]) -> None:
        world = self.world
        id = world.rng.choice(list(world.people.now.people))

        def change(state: State) -> None:
            shown = "metered" if world.people.metered(id) else "prepaid"
            for name, value in fields.items():
                if (name, value) != ("mode", shown):  # what is put back as it was read stays
                    setattr(state.people[id], name, value)

        user = world.accounts.directory.users[id]
        async with trio.open_nursery() as nursery:
            for _ in range(world.rng.choice([1, 1, 2])):  # who is not answered at once asks again
                nursery.start_soon(self._said, what, change, lambda: world.accounts.users.change(user, fields, BY))
                await trio.sleep(world.rng.uniform(0, 0.1))

    async def _credits(self) -> None:
        """A grant or a correction, perhaps told again, also by another value."""
        world, rng = self.world, self.world.rng
        if self.asked and rng.random() < 0.3:
            ref = rng.choice(list(self.asked))
            kind, account, units = self.asked[ref]
        else:
            self.refs += 1
            ref, kind = f"ours-{self.refs}", rng.choice(["grant", "correct"])
            account, units = rng.choice(list(world.people.now.people)), int(10 ** rng.uniform(3, 11.5))
            units *= rng.choice([1, -1]) if kind == "correct" else 1
            self.asked[ref] = kind, account, units
        credits = world.accounts.credits
        command = credits.granted if kind == "grant" else credits.corrected
        if ref in self.moved and rng.random() < 0.3:
            try:
                await command(account, units + 1, note="why", ref=ref, by=BY)
            except Conflict:
                return
            raise AssertionError(f"{ref} was done twice, by another amount")
        done = ref in self.moved
        said = await command(account, units, note="why", ref=ref, by=BY)
        assert said["already_done"] or not done, f"{ref}: {said}"
        self.moved[ref] = kind, account, units
        world.acts["grants" if kind == "grant" else "corrections"] += not said["already_done"]

    async def _look(self) -> None:
        """The owner looks at a key: what it has used, by the auditor's sums."""
        world = self.world
        id = world.rng.choice(list(self.secrets))
        one = world.people.key(id)
        if one.status == "deleted":
            return
        shown: Any = world.accounts.keys.shown(id, None)
        tally, quota = world.auditor.tally, world.auditor.quota(id)
        used = tally.used_within(id, quota.since, quota.from_us) + tally.aside(id)
        assert Fraction(shown["usedQuota"]) * CENT == used, f"key {id} shows {shown}, and has used {used}"
        barred = world.people.barred(id, world.wall_us())
        status = "disabled" if one.status == "disabled" else "expired" if barred == "key_expired" else "active"
        status = "expired" if status == "active" and _past(one, world.wall_us()) else status
        assert shown["status"] == status, f"key {id} shows {shown}, and is {status}"
        if one.reset != "none":
            assert parse_time(shown["resetAt"]) > world.wall_us(), shown
        world.acts["keys looked at"] += 1


def _past(one: Pass, now_us: int) -> bool:
    return one.expires_us is not None and one.expires_us <= now_us
