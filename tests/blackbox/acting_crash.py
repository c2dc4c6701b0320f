"""Rounds of calls that end in a SIGKILL, as crashing.py has them, while people do all that they do with accounts: keys
are disabled and enabled, limited, expire and are deleted, accounts too, credits are granted and put right, people pay
and take it back. The house's clock runs so fast that quotas begin anew every few seconds.

What was said of a key or an account may hold from when it was asked for, and holds from when it was answered until
something else was asked for. A kill leaves in doubt what was not answered: after the restart it is the one or the
other. All that was answered is there, and nothing is there twice.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import httpx

from ftgate.store.database import read_only
from tests.blackbox import crashing, paying_crash
from tests.blackbox.crashing import SCRIPTS, USD, Books, Shown, check_calls, locked
from tests.blackbox.harness import Account, House
from tests.blackbox.paying import Shop, settings
from tests.blackbox.paying_crash import Seen, tell_again
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

DAY_S = 4.0
"""How long a day lasts."""
FASTER = 86_400 / DAY_S
STARTED = time.time()
EPOCH_US = 1_750_000_000 * 1_000_000
HELD_UP_S = 0.4
"""How long the database takes no commits before a kill: so short that nobody is told."""
LATE_S = 30_000
"""Stripe's clock is so much behind: sessions live for an hour, of which the way there takes minutes here."""
FAST_CLOCK = f"""
import time
from ftgate.accounts import signed
from ftgate.house.house import SystemClock
SystemClock.wall_us = lambda self: {EPOCH_US} + int((time.time() - {STARTED}) * {FASTER} * 1_000_000)
signed.TOLERANCE_S = {10**9}
from ftgate.cli.group import main
main()
"""
ADMIN, PASSWORD = "root", "operator-pass"
PEOPLE = 4
STEADY = 2
"""Keys of each that keep the quota with which they were made, and are there to the end."""
CENTS = ("0.065", "0.08", "0.12")
"""Quotas of a day: a call sets 0.06 aside and takes a thousandth or some."""
CREDITS = Decimal(3)
DAY_US = 86_400 * 10**6


def wall_us() -> int:
    """What the house's clock says."""
    return EPOCH_US + int((time.time() - STARTED) * FASTER * 1_000_000)


class Said:
    """What somebody has set one thing to: each value with when it was asked for, and when that was answered."""

    def __init__(self, value: object) -> None:
        self.said: list[list[Any]] = [[-inf, -inf, value]]

    def ask(self, value: object) -> None:
        self.said.append([time.monotonic(), inf, value])

    def answered(self) -> None:
        self.said[-1][1] = time.monotonic()

    def may_be(self, since: float, until: float) -> set[Any]:
        """The values that may hold at some time between."""
        values: set[Any] = set()
        for asked, answered, value in list(self.said):
            if answered <= since:
                values = {value}
            elif asked <= until:
                values.add(value)
        return values

    def found(self, value: object) -> None:
        """A start has found it so. Raises AssertionError."""
        now = time.monotonic()
        assert value in self.may_be(now, now), f"{value!r} is found, of {self.said[-3:]}"
        self.said = [[-inf, -inf, value]]


@dataclass
class Key:
    id: str
    secret: str
    quota: Said
    status: Said = field(default_factory=lambda: Said("active"))
    over: Said = field(default_factory=lambda: Said(False))  # it has expired


@dataclass
class Somebody:
    """An account, and what was said about it. Its purse is a key that nobody touches."""

    id: str
    purse: Account
    keys: list[Key] = field(default_factory=list)
    status: Said = field(default_factory=lambda: Said("active"))
    token: str = ""


@dataclass
class Town:
    """All that was shown and said, over all rounds."""

    till: Shop
    people: list[Somebody] = field(default_factory=list)
    shown: Shown = field(default_factory=Shown)
    seen: Seen = field(default_factory=Seen)
    asked: dict[str, tuple[str, int]] = field(default_factory=dict)  # refs of credits -> account, units
    moved: set[str] = field(default_factory=set)  # those that were answered
    acts: Counter[str] = field(default_factory=Counter)
    days: dict[str, int] = field(default_factory=dict)  # of each steady key: in how many it was used
    admin: str = ""  # the operator's token

    @property
    def house(self) -> House:
        return self.till.house

    def login(self, name: str) -> str:
        said = self.house.http.post("/v1/auth/login", json={"username": name, "password": PASSWORD})
        assert said.status_code == 200, said.text
        return str(said.json()["token"])

    def wrong(self, words: str) -> None:
        self.shown.wrong.append(words)


@contextmanager
def town(base: Path) -> Iterator[Town]:
    """A house with a fast clock, a Stripe, and people with keys."""
    with FakeStripe() as stripe:
        stripe.clock = lambda: wall_us() / 1_000_000 - LATE_S
        with House(base, settings(stripe) + crashing.CONFIG, SCRIPTS, serving=False) as house:
            house.canaries += [SECRET_KEY, WEBHOOK_SECRET]
            house.start(script=FAST_CLOCK)
            house.cli("users", "create", ADMIN, "--admin", "--password", "-", stdin=PASSWORD + "\n")
            found = Town(Shop(house, stripe))
            for number in range(PEOPLE):
                name = f"p{number}"
                house.cli("users", "create", name, "--credits", str(CREDITS), "--password", "-", stdin=PASSWORD + "\n")
                purse = house.another_key(name)
                found.people.append(Somebody(str(house.user(purse)["id"]), purse))
            yield found


class Caller(crashing.Client):
    """Calls with one key after another of an account."""

    def __init__(self, town: Town, somebody: Somebody, seed: int) -> None:
        super().__init__(town.house.url, somebody.purse, town.shown, seed)
        self.town, self.somebody = town, somebody

    def _call(self, client: httpx.Client, model: str) -> None:
        keys = self.somebody.keys
        self.key = self.rng.choice(self.rng.choice([keys[:STEADY], keys[:STEADY], keys[-6:]]))
        client.headers["Authorization"] = f"Bearer {self.key.secret}"
        super()._call(client, model)

    def may_get(self, answer: httpx.Response, began: float) -> bool:
        now, key = time.monotonic(), self.key
        status, over = key.status.may_be(began, now), key.over.may_be(began, now)
        account = self.somebody.status.may_be(began, now)
        code = ""
        if answer.status_code != 200:
            answer.read()
            code = str(answer.json()["error"]["code"])
            self.town.acts[f"refused: {code}"] += 1
        if answer.status_code == 200:
            return "active" in status and "active" in account and False in over
        if code == "key_quota_exceeded":
            return key.quota.may_be(began, now) != {None}
        refused = {
            "key_disabled": "disabled" in status | account,
            "invalid_api_key": "deleted" in status,
            "rate_limit_exceeded": "deleted" in status,  # too many that are not there, from one address
            "key_expired": True in over,
        }
        return refused.get(code, False)


class Actor(threading.Thread):
    """An account's owner and its operator, one thing after the other, until the server is gone."""

    def __init__(self, town: Town, somebody: Somebody, seed: int) -> None:
        super().__init__(daemon=True)
        self.town, self.somebody, self.rng, self.seed = town, somebody, random.Random(seed), seed

    def run(self) -> None:
        with httpx.Client(base_url=self.town.house.url, trust_env=False, timeout=20) as self.http:
            try:
                while True:
                    self._step()
                    threading.Event().wait(self.rng.uniform(0, 0.03))
            except httpx.TransportError:
                return
            except Exception as error:  # a thread's own would be lost
                self.town.wrong(f"{self.somebody.purse.name}: {error!r}")

    def _say(self, method: str, path: str, body: object, *, operator: bool = False) -> Any:
        """Ask for something that is right; its answer."""
        token = self.town.admin if operator else self.somebody.token
        said = self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert said.status_code == 200, f"{method} {path} {body} got {said.status_code}: {said.text}"
        return said.json()

    def _step(self) -> None:
        act = self.rng.choice(
            [self._status, self._status, self._quota, self._quota, self._expiry, self._make, self._remove,
             self._account, self._credits, self._credits]
        )  # fmt: skip
        act()

    def _a_key(self) -> Key:
        return self.rng.choice([key for key in self.somebody.keys if "deleted" not in key.status.may_be(inf, inf)])

    def _change(
        self, key: Key, said: Said, value: object, fields: dict[str, object], *, operator: bool = False
    ) -> None:
        said.ask(value)
        where = "/v1/admin/tokens" if operator else "/v1/tokens"
        self._say("PATCH", f"{where}/{key.id}", fields, operator=operator)
        said.answered()

    def _status(self) -> None:
        key, status = self._a_key(), self.rng.choice(["active", "active", "active", "disabled"])
        self._change(key, key.status, status, {"status": status}, operator=self.rng.random() < 0.3)
        self.town.acts[f"keys {status}"] += 1

    def _quota(self) -> None:
        key = self._a_key()
        if key not in self.somebody.keys[:STEADY]:
            cents = self.rng.choice([None, "0", *CENTS])
            self._change(key, key.quota, cents, {"quota": cents})
            self.town.acts["quotas set"] += 1

    def _expiry(self) -> None:
        key, over = self._a_key(), self.rng.random() < 0.2
        self._change(key, key.over, over, {"expiresAt": "2001-01-01" if over else None})
        self.town.acts["expiries set"] += 1

    def _make(self) -> None:
        cents = self.rng.choice(CENTS if len(self.somebody.keys) < STEADY else (None, None, *CENTS))
        fields = {"name": "k", "quota": cents, "quotaReset": "day"}
        made = self._say("POST", "/v1/tokens", fields)
        self.town.house.canaries.append(made["key"])
        self.somebody.keys.append(Key(made["apiKey"]["id"], made["key"], Said(cents)))
        self.town.acts["keys made"] += 1

    def _remove(self) -> None:
        there = [key for key in self.somebody.keys[STEADY:] if key.status.may_be(inf, inf) != {"deleted"}]
        if len(there) > 2:
            key = self.rng.choice(there)
            key.status.ask("deleted")
            self._say("DELETE", f"/v1/tokens/{key.id}", None)
            key.status.answered()
            self.town.acts["keys deleted"] += 1

    def _account(self) -> None:
        """Disabled for a moment, which ends what its owner is signed in with."""
        if self.rng.random() < 0.7:
            return
        for status in ("disabled", "active"):
            self.somebody.status.ask(status)
            self._say("PATCH", f"/v1/admin/users/{self.somebody.id}", {"status": status}, operator=True)
            self.somebody.status.answered()
            self.town.acts[f"accounts {status}"] += 1
            threading.Event().wait(0.02)
        body = {"username": self.somebody.purse.name, "password": PASSWORD}
        said = self.http.post("/v1/auth/login", json=body)
        assert said.status_code == 200, said.text
        self.somebody.token = said.json()["token"]

    def _credits(self) -> None:
        """A grant or a correction, often told twice."""
        units = self.rng.randint(1, 10**9)
        ref = f"ours-{self.seed}-{len(self.town.asked)}"
        what = self.rng.choice(["", "/correct"])
        units *= -1 if what and self.rng.random() < 0.5 else 1
        self.town.asked[ref] = self.somebody.id, units
        body = {"user": self.somebody.id, "amount": f"{Decimal(units) / USD:f}", "ref": ref, "note": "n"}
        for again in range(self.rng.choice([1, 1, 2])):
            said = self._say("POST", f"/v1/admin/credits{what}", body, operator=True)
            assert said["already_done"] == bool(again), said
            self.town.moved.add(ref)
        self.town.acts["corrections" if what else "grants"] += 1


class Payer(paying_crash.Payer):
    """A payer whose account may be disabled at the moment."""

    later = frozenset({401, 429})


def run_until_dead(town: Town, *, kill_after_s: float, seed: int) -> None:
    """Let everybody do what they do, and kill the server; every other time while it waits for the database."""
    town.admin = town.login(ADMIN)
    for place, somebody in enumerate(town.people):
        somebody.token = somebody.token or town.login(somebody.purse.name)
        actor = Actor(town, somebody, seed * 1000 + place)
        with httpx.Client(base_url=town.house.url, trust_env=False, timeout=20) as actor.http:
            while len(somebody.keys) < STEADY + 1:
                actor._make()
    people = town.people
    purses = [somebody.purse for somebody in people]
    threads: list[threading.Thread] = [Caller(town, one, seed * 100 + n) for n, one in enumerate(people * 2)]
    threads += [Actor(town, one, seed * 100 + 50 + n) for n, one in enumerate(people)]
    threads += [Payer(town.till, purses, town.seen, seed * 100 + 80 + n) for n in range(2)]
    for thread in threads:
        thread.start()
    wait = threading.Event().wait
    try:
        wait(kill_after_s)
        if seed % 2:  # nothing is committed any more: what is answered now is lost
            with locked(town.house):
                wait(HELD_UP_S)
                town.house.kill()
    finally:
        town.house.process.kill()
        for thread in threads:
            thread.join(30)
    town.shown.rounds += 1


def start(town: Town) -> None:
    town.house.start(script=FAST_CLOCK)


def check(town: Town) -> None:
    """After the restart. Raises AssertionError."""
    _what_was_said(town)
    books = check_calls(town.house, town.shown)
    listed = tell_again(town.till, town.seen)
    books = Books.read(town.house)
    with closing(read_only(town.house.data / "ftgate.sqlite3")) as connection:
        entered = connection.execute(
            "SELECT ref, account, (CASE debit WHEN 'credits' THEN -1 ELSE 1 END) * amount FROM entries"
            " WHERE ref LIKE 'ours-%'"
        ).fetchall()
        charges = connection.execute(
            "SELECT key, at_us, amount FROM entries WHERE kind IN ('post', 'overrun', 'expire') AND amount > 0"
        ).fetchall()
    refs = Counter(ref for ref, _, _ in entered)
    twice, lost = [ref for ref in refs if refs[ref] > 1], [ref for ref in town.moved if ref not in refs]
    assert not twice and not lost, f"credits: twice {twice[:5]}, lost {lost[:5]}"
    others = [ref for ref, account, units in entered if town.asked[ref] != (str(account), units)]
    assert not others, f"credits that nobody asked for so: {others[:5]}"
    for somebody in town.people:
        number, name = int(somebody.id), somebody.purse.name
        own = [id for id, one in listed.items() if one["account_name"] == name and id in town.till.stripe.sessions]
        owed = sum(map(town.till.stripe.owes, own)) * USD // 100
        given = int(CREDITS * USD) + owed + sum(units for _, account, units in entered if account == number)
        spent = sum(cost for owner, cost in books.rows.values() if owner == number)
        shown = town.house.user(somebody.purse)
        assert books.has[number] == Decimal(shown["balance"]) * USD == given - spent, (
            f"{name}: {books.has[number]} by its entries, {shown}, given {given}, spent {spent}"
        )
        topups = [cents for kind, cents in town.till.entries(somebody.purse) if kind == "topup"]
        sessions = [town.till.stripe.sessions[id] for id in own]
        assert sorted(topups) == sorted(one["amount_total"] for one in sessions if one["payment_status"] == "paid")
        _quotas_are_right(town, somebody, charges)


def _what_was_said(town: Town) -> None:
    with closing(read_only(town.house.data / "ftgate.sqlite3")) as connection:
        keys = {str(id): said for id, *said in connection.execute("SELECT id, status, quota, expires_at_us FROM keys")}
        users = dict(connection.execute("SELECT id, status FROM users"))
    for somebody in town.people:
        somebody.status.found(users[int(somebody.id)])
        if users[int(somebody.id)] == "disabled":  # so that the next round finds it as it was
            town.house.cli("users", "enable", somebody.purse.name)
            somebody.status = Said("active")
        lost = [key.id for key in somebody.keys if key.id not in keys]
        assert not lost, f"keys that were shown are gone: {lost}"
        for key in somebody.keys:
            status, quota, expires_us = keys[key.id]
            key.status.found(status)
            key.over.found(expires_us is not None)
            key.quota.found(next((cents for cents in (None, "0", *CENTS) if _units(cents) == quota), ""))


def _units(cents: str | None) -> int | None:
    return None if cents is None else int(Decimal(cents) * USD / 100)


def _quotas_are_right(town: Town, somebody: Somebody, charges: list[tuple[int, int, int]]) -> None:
    """No day had more than a quota that was always the same, and what is shown is what the entries of today say."""
    days: dict[str, Counter[int]] = {key.id: Counter() for key in somebody.keys}
    for id, at_us, units in charges:
        if str(id) in days:
            days[str(id)][at_us // DAY_US] += units
    for key in somebody.keys[:STEADY]:
        (cents,) = key.quota.may_be(inf, inf)
        limit, most = _units(cents) or 0, max(days[key.id].values(), default=0)
        assert most <= limit, f"key {key.id} has spent {most} of {limit} in a day"
        town.days[key.id] = len(days[key.id])
    somebody.token = town.login(somebody.purse.name)
    headers = {"Authorization": f"Bearer {somebody.token}"}
    for _ in range(10):
        today = wall_us() // DAY_US
        said = town.house.http.get("/v1/tokens?page_size=100", headers=headers)
        if wall_us() // DAY_US == today:
            break
    for one in said.json()["data"]:
        if one["quotaReset"] == "day":
            used = Decimal(one["usedQuota"]) * USD / 100
            assert used == days.get(one["id"], Counter())[today], f"{one}: {days.get(one['id'])} and today is {today}"
            town.acts["quotas looked at"] += 1


def report(town: Town, kills: int, took_s: float) -> str:
    """What happened, in words."""
    stripe = town.till.stripe
    acts = "".join(f"\n{times:>9,} {what}" for what, times in sorted(town.acts.items()))
    return (
        f"{kills} kills, {town.shown.words()}; {len(stripe.sessions)} sessions, {len(stripe.events)} events of "
        f"Stripe's, of which {town.seen.resent} were cut and came again; nothing lost, nothing twice, "
        f"{took_s:.0f} s; {len(town.days)} keys with a quota were used in {sum(town.days.values())} of their days{acts}"
    )


def main(rounds: int, seed: int) -> None:
    """`scripts/crash --people`."""
    rng, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as base, town(Path(base)) as found:
        for number in range(rounds):
            run_until_dead(found, kill_after_s=rng.uniform(0.2, 3.0), seed=seed * 10_000 + number)
            start(found)
            check(found)
        print(report(found, rounds, time.monotonic() - began))
