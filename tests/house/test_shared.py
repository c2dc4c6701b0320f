"""Houses of two gateways on one PostgreSQL, in one process: what one changes, the other decides by."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate import app
from ftgate.accounts import Accounts
from ftgate.accounts.acting import CLI
from ftgate.accounts.payments import Payments
from ftgate.app import open_house
from ftgate.core.limits import Limits, Rates, Ticket, take_requests
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.errors import Conflict, NotFound
from ftgate.house.shared import SharedHouse
from ftgate.ports import Held, HoldRequest
from ftgate.ports.payments import Checkout
from ftgate.store.postgres.connection import close_idle, connect
from ftgate.store.postgres.opening import Opened, open_ledger
from ftgate.store.source import Postgres
from ftgate.store.switches import switched_off
from ftgate.store.verify import verify_ledger
from tests.accounts.test_payments import TEN, terms
from tests.config.reading import CHANNEL, ENVIRON, load
from tests.core.offers import offers
from tests.fakes.stripe import FakeStripe
from tests.patience import SOON_S
from tests.postgres import Server
from tests.store.either import read
from tests.store.faulty import row

House = SharedHouse[Accounts]
QUOTE = Quote(price=Price(1, 2, 1, 1, 1), prompt_tokens=10, answers=1, cap=100, model_limit=4000, likely_tokens=10)


@pytest.fixture
def source(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


@asynccontextmanager
async def opened(source: Postgres, place: Path, more: str = "") -> AsyncIterator[House]:
    text = f'{CHANNEL}[database]\nurl = "env:DATABASE"\n{more}'
    house: Any = open_house(load(text, {**ENVIRON, "DATABASE": source.url}), place, serving=True)
    try:
        assert await house.begin() == 0
        yield house
    finally:
        await house.close()


@asynccontextmanager
async def two(source: Postgres, folder: Path) -> AsyncIterator[tuple[House, House]]:
    async with opened(source, folder / "a") as a, opened(source, folder / "b") as b:
        yield a, b
    assert verify_ledger(source)["ok"]


async def ann(house: House) -> int:
    """An account with a key, both of the number 1."""
    await house.accounts.users.create(username="ann", credits="1")
    await house.accounts.keys.create(username="ann")
    return 1


class Line:
    """What takes holds of a house: at most so many of a key in a minute."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.limits = Limits(lambda scope, name: Rates(requests_per_minute=9, concurrent=9))
        self.ledger = house.ledger(self.limits)

    async def hold(self, ref: str) -> tuple[Held, Ticket]:
        ticket = Ticket()
        assert not take_requests(self.limits.scopes(("key", 1)), self.house.clock.now(), ticket)
        held = await self.ledger.hold(HoldRequest(1, 1, offers(QUOTE), ONE, 1, ref, ticket=ticket))
        assert isinstance(held, Held)
        return held, ticket

    async def settle(self, ref: str, taken: tuple[Held, Ticket]) -> None:
        await self.ledger.settle(taken[0].id, 5, row(ref, cost=5))
        taken[1].release(self.house.clock.now(), 12)

    def counted(self) -> tuple[int, int]:
        """Calls in flight elsewhere, and those that came within a minute, here and elsewhere."""
        meters = self.limits.meters("key", 1)
        return meters.elsewhere, meters.minute.used


async def test_limits_know_what_the_others_let_in(source: Postgres, tmp_path: Path) -> None:
    """What was told before a start, and what memory was read anew past: once."""
    async with opened(source, tmp_path / "a") as a:
        await ann(a)
        one = Line(a)
        await one.settle("r1", await one.hold("r1"))
        taken = {"r2": await one.hold("r2")}
        async with opened(source, tmp_path / "b") as b:
            taken["r3"] = await one.hold("r3")
            assert await b.refresh()
            other = Line(b)
            assert other.counted() == (2, 3)
            taken["r4"] = await one.hold("r4")
            await b.lane._read_anew()
            assert other.counted() == (3, 4)
            b.lane.seen, b.lane.heard_us = 0, b.clock.wall_us()  # numbers say nothing after a fail-over
            await b.lane._read_anew()
            assert other.counted() == (3, 4)
            for ref, held in taken.items():
                await one.settle(ref, held)
            assert await b.refresh() and other.counted() == (0, 4)


async def test_a_start_counts_calls_that_are_in_flight_for_long(source: Postgres, tmp_path: Path) -> None:
    """They were begun before all that it hears of."""
    async with opened(source, tmp_path / "a") as a:
        await ann(a)
        one = Line(a)
        taken = await one.hold("long")
        with closing(connect(source, readonly=False)) as connection:
            for table in ("changes", "holds"):
                connection.execute(f"UPDATE {table} SET at_us = at_us - 120000000")
        a.lane._known = None
        async with opened(source, tmp_path / "b") as b:
            other = Line(b)
            assert other.counted()[0] == 1
            await one.settle("long", taken)
            assert await b.refresh() and other.counted()[0] == 0


async def test_keys_that_are_made_at_two_gateways_at_once(source: Postgres, tmp_path: Path) -> None:
    async with two(source, tmp_path) as (a, b):
        await ann(a)
        assert await b.refresh()
        made: list[dict[str, object]] = []

        async def make(house: House) -> None:
            made.append(await house.accounts.keys.create(username="ann"))

        async with trio.open_nursery() as nursery:
            for house in (a, b) * 5:
                nursery.start_soon(make, house)
        assert sorted(int(str(key["id"])) for key in made) == [*range(2, 12)]
        for house in (a, b):
            assert house.lane.failed is None and await house.refresh()
            assert [key.id for key in house.accounts.directory.keys.values()] == [*range(1, 12)]


async def test_channels_of_other_gateways_stay_switched_off(source: Postgres, tmp_path: Path) -> None:
    """They may be in their configs alone."""
    async with two(source, tmp_path) as (a, b):
        await a.accounts.switches.turn("elsewhere", False, CLI)
        app._switch(b)
        app._switch(a)
        assert await a.refresh() and await b.refresh()
        assert a.accounts.switches.off == b.accounts.switches.off == {"elsewhere"}
        assert switched_off(source) == {"elsewhere"}


async def test_the_first_operator_is_one_though_two_gateways_print_links(source: Postgres, tmp_path: Path) -> None:
    async with two(source, tmp_path) as (a, b):
        token = a.accounts.setup.issue()
        await b.accounts.managed.make("boss", {"role": "admin", "password": "long enough 1"}, CLI)
        assert token is not None and a.accounts.setup.needed()  # nobody has told it yet
        with pytest.raises(NotFound, match="an operator already"):
            await a.accounts.setup.make(token, "eve", "long enough 2", metered=False, by=CLI)
        assert "eve" not in a.accounts.directory.by_name


async def test_one_idempotency_key_is_one_order_at_all_gateways(source: Postgres, tmp_path: Path) -> None:
    with FakeStripe() as stripe:
        async with two(source, tmp_path) as (a, b):
            await ann(a)
            assert await b.refresh()
            payments = [
                Payments(
                    house.accounts.payment_rows, house.accounts.directory, house.accounts.throttles, house.writer,
                    house.clock, terms=lambda: terms(stripe), own_url="http://127.0.0.1:8400",
                )
                for house in (a, b)
            ]  # fmt: skip
            try:
                first = await payments[0].checkout(1, Checkout(TEN, request="k"))
                assert not b.accounts.payment_rows.all  # nobody has told it yet
                with pytest.raises(Conflict):
                    await payments[1].checkout(1, Checkout(2 * TEN, request="k"))
                assert await payments[1].checkout(1, Checkout(TEN, request="k")) == first
                again = await payments[0].checkout(1, Checkout(TEN, request="l"))
                assert again["id"] != first["id"] and len(b.accounts.payment_rows.all) == 1
                assert await payments[1].checkout(1, Checkout(TEN, request="l")) == again
            finally:
                for one in payments:
                    await one.aclose()  # noqa: ASYNC102 - nothing in it waits
        assert len(stripe.sessions) == 2


async def test_two_gateways_that_start_at_once_make_one_ledger(postgres: Server, tmp_path: Path) -> None:
    name = f"ftgate_{secrets.token_hex(6)}"
    postgres.told(f"CREATE DATABASE {name}")
    source = postgres.at(name)
    try:
        opened: list[Opened] = []
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = ? AND wait_event = 'advisory'"

        def start(gateway: str) -> None:
            opened.append(open_ledger(source, gateway, "1", "", None))

        with closing(connect(source, readonly=False)) as first:
            first.execute("BEGIN")
            first.execute("SELECT pg_advisory_xact_lock(7382919)")  # so that both find no tables
            async with trio.open_nursery() as nursery:
                for gateway in ("a", "b"):
                    nursery.start_soon(trio.to_thread.run_sync, start, gateway)
                with trio.fail_after(SOON_S):
                    while read(source, waits, name) != [(2,)]:
                        await trio.lowlevel.checkpoint()
                first.execute("COMMIT")
        assert sorted(one.boot for one in opened) == [1, 2] and opened[0].secret == opened[1].secret
        assert read(source, "SELECT gateway, ended FROM boots ORDER BY gateway") == [("a", 0), ("b", 0)]
    finally:
        close_idle(source)
        postgres.told(f"DROP DATABASE {name} WITH (FORCE)")


async def test_memory_that_is_read_anew_has_what_has_changed_and_keeps_the_rest(
    source: Postgres, tmp_path: Path
) -> None:
    plan = "[plan.default]\n[plan.slow]\nrequests_per_second = 1\n"
    async with opened(source, tmp_path / "a", plan) as a, opened(source, tmp_path / "b", plan) as b:
        await ann(a)
        await a.accounts.keys.create(username="ann")
        for name in ("bob", "cat"):
            await a.accounts.users.create(username=name)
            await a.accounts.keys.create(username=name)
        assert await b.refresh()
        directory = b.accounts.directory
        keys, before = dict(directory.keys), {key.id: key for key in directory.by_hash.values()}
        replanned: list[int] = []
        directory.replanned = replanned.append
        await a.accounts.keys.set_status(key_id="1", status="disabled")
        await a.accounts.users.set_status(username="bob", status="disabled")
        await a.accounts.managed.edit(username="cat", plan="slow")
        await b.lane._read_anew()
        now = {key.id: key for key in directory.by_hash.values()}
        assert {id: (key.active, key.account_active, key.plan) for id, key in now.items()} == {
            1: (False, True, "default"), 2: (True, True, "default"), 3: (True, False, "default"),
            4: (True, True, "slow"),
        }  # fmt: skip
        assert now[2] is before[2] and replanned == [4] and directory.key_ids == [1, 2, 3, 4]
        assert all(directory.keys[id] is key for id, key in keys.items()) and keys[1].status == "disabled"
        assert directory.users[2].status == "disabled" and b.books.quotas.keys() == keys.keys()
