"""The directory: a key is found by its whole text, and everything is the same after a restart."""

from pathlib import Path
from typing import Any

import pytest

from ftgate.accounts import Accounts
from tests.accounts.opened import found, opened
from tests.store.faulty import row


async def test_a_key_is_found_by_its_whole_text_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = iter(["A" * 42 + "B", "A" * 42 + "C"])
    monkeypatch.setattr("ftgate.accounts.keys.secrets.token_urlsafe", lambda n: next(twins))
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        await accounts.users.create(username="bob")
        first, second = [await accounts.keys.create(username=name) for name in ("ann", "bob")]
        assert first["keyPrefix"] == second["keyPrefix"]
        assert (await found(accounts, first["key"])).account == 1
        assert (await found(accounts, second["key"])).account == 2
        await accounts.keys.set_status(key_id="1", status="deleted")
        assert await found(accounts, first["key"]) is None
        assert (await found(accounts, second["key"])).active
        secret = str(second["key"])
        for wrong in (secret[:-1], secret + "A", secret[:12], secret.upper(), " " + secret, "", "sk-ft_"):
            assert await found(accounts, wrong) is None
        assert await accounts.directory.find(b"\xff\x00" * 100) is None


async def test_a_restart_changes_nothing(path: Path) -> None:
    def state(accounts: Accounts) -> Any:
        books = accounts.books
        return (
            accounts.directory.users,
            {
                id: (key.prefix, key.hash, key.status, key.models, key.quota)
                for id, key in accounts.directory.keys.items()
            },
            accounts.directory.by_hash,
            {id: (b.posted, b.held, b.used, b.metered) for id, b in books.accounts.items()},
            {id: (q.limit, q.used, q.held) for id, q in books.quotas.items()},
            books.next_id,
        )

    async with opened(path) as accounts:
        for n, name in enumerate(("ann", "bob", "cat", "dan")):
            await accounts.users.create(username=name, credits=f"{n}.5", metered=name == "dan", admin=name == "ann")
            await accounts.keys.create(
                username=name, quota=f"{n}" if n else None, models=["m", "ä'\"]"], expires="2030-01-01"
            )
            await accounts.keys.create(username=name)
        for account, key, units in ((2, 3, 1000), (2, 4, 1), (4, 7, 12345)):
            held = accounts.books.hold(account, key, units, ref=f"r{key}", estimate=1, at_us=0)
            assert isinstance(held, tuple)
            ended = accounts.books.post(held[0].id, units, at_us=0)
            batch = accounts.credits.writer.changed()
            batch.remember((held[1],), accounts.books.accounts[account])
            batch.remember(ended.entries, accounts.books.accounts[account], accounts.books.quotas[key])  # type: ignore[union-attr]
            batch.rows.append(row(held[0].ref, held[0].id, account=account, key=key, cost=units))
        await accounts.users.set_status(username="bob", status="disabled")
        await accounts.keys.set_status(key_id="2", status="disabled")
        await accounts.keys.set_status(key_id="4", status="deleted")
        users, keys = await accounts.users.list(), await accounts.keys.list()
        before = state(accounts)
    async with opened(path) as accounts:
        assert state(accounts) == before
        assert (await accounts.users.list(), await accounts.keys.list()) == (users, keys)


@pytest.mark.parametrize(
    ("mode", "plan_metered", "metered"),
    [("", False, False), ("", True, True), ("metered", False, True), ("prepaid", True, False)],
)
async def test_who_is_metered(path: Path, mode: str, plan_metered: bool, metered: bool) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        secret = (await accounts.keys.create())["key"]
        accounts.credits.writer.changed().statements.append(("UPDATE users SET mode = ?", (mode,)))
    async with opened(path, metered_plans=("default",) if plan_metered else ()) as accounts:
        assert (await found(accounts, secret)).metered is metered is accounts.books.accounts[1].metered


async def test_plans_that_change_bill_from_the_next_call_on(path: Path) -> None:
    """A user's own mode stays; open calls end as they began; deleted keys stay away."""
    async with opened(path) as accounts:
        made = {}
        for name, own in (("ann", False), ("bob", True)):
            await accounts.users.create(username=name, metered=own)
            made[name] = str((await accounts.keys.create(username=name))["key"])
        gone = str((await accounts.keys.create(username="ann"))["key"])
        await accounts.keys.set_status(key_id="3", status="deleted")
        directory, books = accounts.directory, accounts.books

        async def modes() -> list[tuple[bool, bool]]:
            keys = [await directory.find(made[name].encode()) for name in ("ann", "bob")]
            return [(key.metered, books.accounts[key.account].metered) for key in keys if key]

        assert await modes() == [(False, False), (True, True)]
        directory.metered_plan = lambda plan: True
        directory.adopt()
        assert await modes() == [(True, True), (True, True)]
        assert await directory.find(gone.encode()) is None
        held = books.hold(1, 1, 1000, ref="r", estimate=1, at_us=0)
        assert isinstance(held, tuple)
        directory.metered_plan = lambda plan: False
        directory.adopt()
        assert await modes() == [(False, False), (True, True)]
        books.post(held[0].id, 700, at_us=0)
        assert (books.accounts[1].used, books.accounts[1].posted) == (700, 0)
        assert not isinstance(books.hold(1, 1, 1000, ref="s", estimate=1, at_us=0), tuple)
