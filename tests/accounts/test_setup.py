"""The link that makes the first operator: how long it holds, for how many, and what it leaves behind."""

from pathlib import Path

import pytest
import trio

from ftgate.accounts import Accounts
from ftgate.accounts.setup import SETUP_S
from ftgate.errors import Conflict, GateError, InvalidRequest, NotFound
from ftgate.ports.site import Doer
from tests.accounts.opened import opened
from tests.store.faulty import read

BY = Doer(None, "ada", "session", "10.0.0.1", "req_1")


async def make(accounts: Accounts, token: str, name: str = "ada", password: str = "secret") -> None:
    await accounts.setup.make(token, name, password, metered=True, by=BY)


def link(accounts: Accounts) -> str:
    token = accounts.setup.issue()
    assert token is not None and len(token) >= 43  # 256 bits
    return token


async def test_it_makes_one_operator_and_ends(path: Path) -> None:
    async with opened(path) as accounts:
        token = link(accounts)
        await make(accounts, token)
        ada = accounts.directory.by_name["ada"]
        assert (ada.role, ada.mode) == ("admin", "metered") and not accounts.setup.needed()
        with pytest.raises(NotFound):
            await make(accounts, token, "eve")
        assert accounts.setup.issue() is None and "eve" not in accounts.directory.by_name
    (row,) = read(path, "SELECT actor_name, via, address, action FROM audit WHERE action = 'user.create'")
    assert row == ("ada", "session", "10.0.0.1", "user.create")


async def test_of_many_with_the_link_at_once_one_comes_in(path: Path) -> None:
    async with opened(path) as accounts:
        token, refused = link(accounts), []

        async def come(name: str) -> None:
            try:
                await make(accounts, token, name)
            except GateError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for n in range(5):
                nursery.start_soon(come, f"ada{n}")
        assert len(accounts.directory.users) == 1 and [type(error) for error in refused] == [NotFound] * 4


@pytest.mark.parametrize(
    ("name", "password", "error"), [("a/b", "secret", InvalidRequest), ("ada", "short", InvalidRequest),
                                    ("ada", "", InvalidRequest), ("BOB", "secret", Conflict)],
)  # fmt: skip
async def test_what_is_refused_leaves_the_link(path: Path, name: str, password: str, error: type[GateError]) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="bob", password="secret")
        token = link(accounts)
        with pytest.raises(error):
            await make(accounts, token, name, password)
        assert accounts.setup.needed()
        await make(accounts, token)


@pytest.mark.parametrize("shown", ["", "x", "\udcff", "right" * 1000])
async def test_another_token_is_none(path: Path, shown: str) -> None:
    async with opened(path) as accounts:
        with pytest.raises(NotFound):
            accounts.setup.check(shown)  # none was printed
        link(accounts)
        with pytest.raises(NotFound):
            accounts.setup.check(shown)


async def test_it_holds_for_half_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    async with opened(path) as accounts:
        monkeypatch.setattr(accounts.setup.clock, "now", lambda: now)
        token = link(accounts)
        now += SETUP_S - 1
        accounts.setup.check(token)
        now += 1
        with pytest.raises(NotFound, match="30 minutes"):
            await make(accounts, token)


@pytest.mark.parametrize(
    ("change", "needed"),
    [({"role": "user"}, True), ({}, False), ({"status": "disabled"}, True)],
)
async def test_who_counts_as_an_operator(path: Path, change: dict[str, str], needed: bool) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="keyless", admin=True)  # cannot sign in
        await accounts.users.create(username="eve", password="secret")
        assert accounts.setup.needed()
        ada = await accounts.users.make("ada", by=BY, password="secret", role="admin")
        await accounts.users.change(ada, change)
        assert accounts.setup.needed() is needed
