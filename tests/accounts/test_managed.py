"""What operators do with accounts: pages of them, changes and their audit rows, passwords, the last of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.accounts import Accounts, managed
from ftgate.accounts.passwords import Hasher, verify_password
from ftgate.app import commands
from ftgate.core.books import Entry
from ftgate.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound
from ftgate.ports import PlanOffer, SiteSettings
from ftgate.ports.site import Doer
from tests.accounts.opened import opened
from tests.store.faulty import read

ROOT = Doer(1, "root", "api", "10.0.0.1", "req_1")
SITE = SiteSettings(plans={"default": PlanOffer(), "gold": PlanOffer()}, password_min=8)
AUDIT = "SELECT actor, via, action, target, before, after FROM audit ORDER BY id"


async def people(accounts: Accounts) -> None:
    """Seven accounts: the first an operator."""
    await accounts.managed.make("root", {"role": "admin"}, ROOT)
    for name, email in (("Ann", "a_n@x.test"), ("bob", "50%@x.test"), ("cy", ""), ("dan", "ann@y.test"), ("eve", "")):
        await accounts.managed.make(name, {"email": email, "name": f"The {name}"}, ROOT)
    await accounts.managed.make("annie", {}, ROOT)
    await accounts.managed.change(4, {"status": "disabled"}, ROOT)


def names(rows: Sequence[Any]) -> str:
    return " ".join(row["username"] for row in rows)


@pytest.mark.parametrize(
    ("q", "status", "found"),
    [
        (None, None, "annie eve dan cy bob Ann root"), ("ANN", None, "annie dan Ann"), ("the b", None, "bob"),
        ("%", None, "bob"), ("_", None, "Ann"), ("a_n", None, "Ann"), ("x.test", "active", "bob Ann"), ("no", None, ""),
        (None, "disabled", "cy"), ("c", "active", ""), ("\u017f", None, "dan bob Ann"),
    ],
)  # fmt: skip
async def test_accounts_are_found(
    path: Path, monkeypatch: pytest.MonkeyPatch, q: str | None, status: str | None, found: str
) -> None:
    monkeypatch.setattr(managed, "STEP", 3)
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        page = accounts.managed.page
        rows, total, last = await page(q=q, status=status, after=None, skipped=0, size=100)
        assert (names(rows), total, last) == (found, len(found.split()), None)
        walked, after = list[Any](), None
        while len(walked) < total:
            rows, again, after = await page(q=q, status=status, after=after, skipped=0, size=2)
            assert again == total and (after is None) == (len(walked) + len(rows) == total)
            walked += rows
        assert names(walked) == found
        for skipped in range(total + 2):
            assert names((await page(q=q, status=status, after=None, skipped=skipped, size=2))[0]) == " ".join(
                found.split()[skipped : skipped + 2]
            )


async def test_how_an_account_pays_and_by_whose_word(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        assert (accounts.managed.own_mode(2), accounts.managed.mode_of("default")) == ("", "prepaid")
        await accounts.managed.change(2, {"mode": "metered"}, ROOT)
        assert accounts.managed.own_mode(2) == accounts.managed.shown(2)["mode"] == "metered"


async def test_what_is_wrong_is_told_before_who_is_not_there(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        managed = accounts.managed
        with pytest.raises(InvalidRequest, match="no plan 'x'"):
            await managed.change(99, {"plan": "x"}, ROOT)
        with pytest.raises(InvalidRequest, match="8 to 1024 bytes"):
            await managed.set_password(99, "short", ROOT)
        with pytest.raises(InvalidRequest, match="8 to 1024 bytes"):
            await managed.make("root", {"password": "short"}, ROOT)
        with pytest.raises(InvalidRequest, match="no plan 'x'"):
            await managed.make("root", {"plan": "x"}, ROOT)
        with pytest.raises(NotFound, match="no user with the id '99'"):
            managed.shown(99)
        for asked in (managed.change(99, {}, ROOT), managed.set_password(99, None, ROOT), managed.logout(99, ROOT)):
            with pytest.raises(NotFound, match="no user with the id '99'"):
                await asked
        assert len(accounts.directory.users) == 7


async def test_the_last_operator_stays(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        for changes in ({"role": "user"}, {"status": "disabled"}, {"role": "admin", "status": "disabled"}):
            with pytest.raises(Conflict, match="the last active operator") as refused:
                await accounts.managed.change(1, changes, ROOT)
            assert refused.value.code == "last_admin"
        await accounts.managed.change(4, {"role": "admin"}, ROOT)  # a disabled one does not count
        with pytest.raises(Conflict):
            await accounts.managed.change(1, {"role": "user"}, ROOT)
        await accounts.managed.change(1, {"name": "R", "status": "active", "role": "admin"}, ROOT)
        await accounts.managed.change(2, {"role": "admin"}, ROOT)
        assert (await accounts.managed.change(1, {"status": "disabled"}, ROOT))["status"] == "disabled"
    async with opened(path, site=SITE) as accounts:
        assert [user.role for user in accounts.directory.users.values()][:4] == ["admin", "admin", "user", "admin"]


async def test_a_password_given_and_one_made(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        user = accounts.directory.users[2]
        user_generation = user.generation
        assert await accounts.managed.set_password(2, "given by root", ROOT) is None
        assert verify_password("given by root", user.password.reveal()) and user.generation == user_generation + 1
        made = await accounts.managed.set_password(2, None, ROOT)
        assert made is not None and len(made) == 20 and verify_password(made, user.password.reveal())
        assert await accounts.managed.set_password(2, None, ROOT) != made
        said = await accounts.managed.password(username="ANN", password="by command")
        assert said == {"id": "2", "username": "Ann"} and verify_password("by command", user.password.reveal())
        with pytest.raises(InvalidRequest, match="8 to 1024"):
            await accounts.managed.password(username="ann", password="short")
    rows = read(path, "SELECT actor, via, before, after FROM audit WHERE action = 'user.password'")
    assert rows == [(1, "api", "", "")] * 3 + [(None, "cli", "", "")]


async def test_logging_out_counts_what_holds(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await people(accounts)
        for _ in range(2):
            accounts.sessions.open(accounts.directory.users[2], accounts.credits.writer.changed())
        accounts.sessions.open(accounts.directory.users[3], accounts.credits.writer.changed())
        assert await accounts.managed.logout(2, ROOT) == 2
        assert await accounts.managed.logout(2, ROOT) == 0
        assert [kept.account for kept in accounts.sessions.sessions.values()] == [3]
    assert read(path, "SELECT account FROM sessions") == [(3,)]


async def test_every_change_has_its_audit_row(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await accounts.managed.make("root", {"role": "admin", "credits": 15 * 10**11}, ROOT)
        await accounts.managed.change(1, {"plan": "gold", "mode": "metered", "name": ""}, ROOT)
        await accounts.managed.change(1, {"plan": "gold"}, ROOT)  # nothing is another than it was
        await accounts.credits.grant(username="root", amount="0.25", note="by hand", ref="r")
        await accounts.credits.grant(username="root", amount="0.25", note="by hand", ref="r")  # done already
        await accounts.credits.corrected(1, -(2 * 10**12), note="back", ref="s", by=ROOT)
        with pytest.raises(Conflict):
            await accounts.credits.granted(1, 1, note="", ref="s", by=ROOT)
        with pytest.raises(InvalidRequest):
            await accounts.credits.granted(1, 10**18 + 1, note="", ref="t", by=ROOT)
    rows = [(*row[:4], *(json.loads(said) if said else None for said in row[4:])) for row in read(path, AUDIT)]
    fields = {
        "username": "root",
        "status": "active",
        "role": "admin",
        "plan": "default",
        "mode": None,
        "name": "",
        "email": "",
    }
    first = rows[1][5].pop("ref")
    assert first.startswith("grant_") and rows == [
        (1, "api", "user.create", "user:1", None, fields),
        (1, "api", "credit.grant", "user:1", {"balance": "0.00"},
         {"balance": "1.50", "amount": "1.5", "note": "first credits", "entry": 1}),
        (1, "api", "user.update", "user:1", {"plan": "default", "mode": None}, {"plan": "gold", "mode": "metered"}),
        (None, "cli", "credit.grant", "user:1", {"balance": "1.50"},
         {"balance": "1.75", "amount": "0.25", "ref": "r", "note": "by hand", "entry": 2}),
        (1, "api", "credit.correct", "user:1", {"balance": "1.75"},
         {"balance": "-0.25", "amount": "-2", "ref": "s", "note": "back", "entry": 3}),
    ]  # fmt: skip


async def test_an_entry_and_its_audit_row_are_of_one_transaction(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        await accounts.managed.make("root", {}, ROOT)
        accounts.credits.give(accounts.directory.users[1], 5, "n", "r", ROOT)
        batch = accounts.credits.unwritten["r"]
        assert [entry.ref for entry in batch.entries if isinstance(entry, Entry)] == ["r"]
        assert [row[5:7] for sql, row in batch.statements if "INTO audit" in sql] == [("credit.grant", "user:1")]


class Slow:
    """A hasher whose checks of passwords come back when they are told to."""

    def __init__(self, hasher: Hasher) -> None:
        self.hasher, self.checked, self.go_on = hasher, trio.Event(), trio.Event()

    async def hash(self, password: str) -> str:
        return await self.hasher.hash(password)

    async def verify(self, password: str, hashed: str, *names: str, known: bool) -> bool:
        right = await self.hasher.verify(password, hashed)
        self.checked.set()
        await self.go_on.wait()
        return right


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("how", ["login", "change"])
async def test_a_password_that_is_changed_meanwhile_lets_nobody_in(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str, weak: bool
) -> None:
    async with opened(path, site=SITE) as accounts:
        await accounts.managed.make("ann", {"password": "the old one"}, ROOT)
        user, slow = accounts.directory.users[1], Slow(accounts.users.hasher)
        monkeypatch.setattr(accounts.entrance, "hasher", slow)
        monkeypatch.setattr("ftgate.accounts.entrance.is_weak", lambda _: weak)
        refused: list[str] = []

        async def come_in() -> None:
            try:
                if how == "login":
                    await accounts.entrance.login(username="ann", password="the old one", address="10.0.0.9")
                else:
                    await accounts.entrance.change_password(
                        1, current="the old one", new="of a thief", by=ROOT, browser=False
                    )
            except NotAuthenticated as error:
                refused.append(error.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_in)
            await slow.checked.wait()
            await accounts.managed.set_password(1, "the new one", ROOT)
            slow.go_on.set()
        assert refused == ["invalid_credentials"] and user.last_login_at_us is None
        assert verify_password("the new one", user.password.reveal())


async def test_a_password_given_on_a_command_line_obeys_the_config_too(path: Path) -> None:
    async with opened(path, site=SITE) as accounts:
        create: Any = commands(accounts)["users.create"]
        for password in ("seven77", "", "\u00e4\u00e4\u00e4a", "x" * 1025, "half \udce9 a pair"):
            with pytest.raises(InvalidRequest):
                await create(username="ann", password=password)
        assert not accounts.directory.users
        assert (await create(username="ann", password="eight888", admin=True))["role"] == "admin"
        assert (await create(username="bob"))["username"] == "bob"  # who has none cannot log in
        user = accounts.directory.by_name["ann"]
        assert verify_password("eight888", user.password.reveal())
