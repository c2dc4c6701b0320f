"""Crowds at the door: guesses and sign-ups side by side."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ftgate.accounts import Accounts, passwords
from ftgate.accounts.turns import STRANGERS
from ftgate.errors import Conflict, Forbidden, GateError, NotAuthenticated, Overloaded, RateLimited
from ftgate.ports import SiteSettings
from ftgate.ports.site import Doer
from tests.accounts.opened import SITE, opened
from tests.store.faulty import read

HOME, AWAY = "10.0.0.1", "10.0.0.2"


async def sign_up(accounts: Accounts, name: str, *, address: str = HOME, code: str | None = None) -> None:
    await accounts.entrance.register(
        username=name, password="secret", email="", name="", invite_code=code,
        by=Doer(None, name, "api", address, "req_of_" + name),
    )  # fmt: skip


async def log_in(accounts: Accounts, name: str, password: str = "secret", *, address: str = HOME) -> None:
    await accounts.entrance.login(username=name, password=password, address=address)


@asynccontextmanager
async def crowded(accounts: Accounts) -> AsyncIterator[None]:
    """Strangers are at it and wait, as many as there is room for."""

    async def guess(n: int) -> None:
        async with accounts.entrance.hasher.turns.turn(f"name{n}", known=False):
            await trio.sleep_forever()

    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        for n in range(STRANGERS + 1):
            nursery.start_soon(guess, n)
        await trio.testing.wait_all_tasks_blocked()
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def test_in_a_crowd_it_is_not_told_whether_a_name_exists_and_nothing_counts(path: Path) -> None:
    async with opened(path) as accounts:
        await sign_up(accounts, "ann")
        async with crowded(accounts):
            told = []
            for name in ("ann", "nobody") * 6:  # more often than a name may be guessed at
                with pytest.raises(Overloaded) as refused:
                    await log_in(accounts, name, address=AWAY)
                told.append((refused.value.message, refused.value.retry_after_s))
            assert len(set(told)) == 1
            for _ in range(21):  # more often than an address may try to sign up
                with pytest.raises(Overloaded):
                    await sign_up(accounts, "bob", address=AWAY)
        await log_in(accounts, "ann", address=AWAY)
        await sign_up(accounts, "bob", address=AWAY)


async def test_who_has_logged_in_from_there_lately_stands_before_the_crowd(path: Path) -> None:
    async with opened(path) as accounts:
        await sign_up(accounts, "ann")
        async with crowded(accounts):
            await log_in(accounts, "ann")
            with pytest.raises(NotAuthenticated):
                await log_in(accounts, "ann", "wrong")
            with pytest.raises(Overloaded):  # it is the address of another name
                await log_in(accounts, "nobody")
            by = accounts.entrance._entered(accounts.directory.user("ann"))
            assert accounts.sessions.by_token(by.token).username == "ann"


async def test_sign_ups_side_by_side_count_when_they_begin(path: Path) -> None:
    async with opened(path) as accounts:
        came: Counter[str] = Counter()

        async def come(n: int) -> None:
            try:
                await sign_up(accounts, f"name{n}")
                came["in"] += 1
            except GateError as refused:
                came[refused.code] += 1

        async with trio.open_nursery() as nursery:
            for n in range(16):
                nursery.start_soon(come, n)
        assert came == {"in": 10, "rate_limit_exceeded": 6}


async def test_a_token_is_renewed_only_so_often(path: Path) -> None:
    async with opened(path) as accounts:
        await sign_up(accounts, "ann")
        await sign_up(accounts, "bob")
        token, others = (accounts.sessions.token(accounts.directory.user(name))[0] for name in ("ann", "bob"))
        for _ in range(60):
            token = (await accounts.entrance.refresh(token)).token
        with pytest.raises(RateLimited):
            await accounts.entrance.refresh(token)
        assert accounts.sessions.by_token(token).username == "ann"  # it is not ended by that
        assert (await accounts.entrance.refresh(others)).token != others


async def test_a_sign_up_that_fails_makes_no_account(path: Path) -> None:
    site = SiteSettings(registration="open", plans=SITE.plans, signup_credits=0)
    async with opened(path, site=site) as accounts:
        await sign_up(accounts, "taken", address=AWAY)
        for n in range(5):
            with pytest.raises(Conflict):
                await sign_up(accounts, "taken")
            with pytest.raises(Forbidden):
                await sign_up(accounts, f"name{n}", code="NOTACODE")
        for n in range(10):
            await sign_up(accounts, f"name{n}")
        with pytest.raises(RateLimited):
            await sign_up(accounts, "name10")


async def test_the_audit_knows_by_which_request_somebody_signed_up(path: Path) -> None:
    async with opened(path) as accounts:
        await sign_up(accounts, "ann", address=AWAY)
    rows = read(path, "SELECT actor, actor_name, via, address, action, request_id FROM audit")
    assert rows == [(None, "ann", "api", AWAY, "user.create", "req_of_ann")]


@pytest.mark.parametrize("name", ["ann", "nobody", "without"])
async def test_a_wrong_password_costs_as_much_whoever_it_is_of(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else the time that a refusal takes would tell which names there are, and which of them have no password."""
    async with opened(path) as accounts:
        await sign_up(accounts, "ann")
        await accounts.users.create(username="without")
        costs = []
        scrypt = passwords.hashlib.scrypt

        def counted(password: bytes, **said: int) -> bytes:
            costs.append({part: said[part] for part in ("n", "r", "p")})
            return scrypt(password, **said)

        monkeypatch.setattr(passwords.hashlib, "scrypt", counted)
        with pytest.raises(NotAuthenticated):
            await log_in(accounts, name, "wrong")
        assert costs == [passwords._COST]
