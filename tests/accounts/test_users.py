"""Users: their names, their passwords, and what disabling one stops."""

import re
from pathlib import Path

import pytest
import trio

from ftgate.accounts.acting import CLI
from ftgate.accounts.passwords import verify_password
from ftgate.errors import Conflict, InvalidRequest, NotFound
from tests.accounts.opened import found, opened
from tests.store.faulty import read


@pytest.mark.parametrize("name", ["a", "Ann", "ann.b-c_d@example.org", "0", "x" * 64])
async def test_names(path: Path, name: str) -> None:
    async with opened(path) as accounts:
        assert (await accounts.users.create(username=name))["username"] == name
        assert accounts.directory.user(name.upper()) is accounts.directory.user(name.lower())
        for again in (name, name.upper(), name.lower()):
            with pytest.raises(Conflict, match="exists already"):
                await accounts.users.create(username=again)
    assert read(path, "SELECT username FROM users") == [(name,)]


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "ä", "a\n", "x" * 65, "a/b", "a'--", "\udcff", "a\0"])
async def test_odd_names(path: Path, name: str) -> None:
    async with opened(path) as accounts:
        with pytest.raises(InvalidRequest, match="a username is 1 to 64"):
            await accounts.users.create(username=name)
        assert not accounts.directory.users


async def test_an_unknown_user_is_named(path: Path) -> None:
    async with opened(path) as accounts:
        for asked in (
            accounts.credits.grant(username="no", amount="1"),
            accounts.users.set_status(username="no", status="active"),
            accounts.keys.create(username="no"),
            accounts.keys.list(username="no"),
        ):
            with pytest.raises(NotFound, match="no user named 'no'"):
                await asked


async def test_two_at_once_cannot_take_one_name(path: Path) -> None:
    async with opened(path) as accounts:
        ends: list[str] = []

        async def make(name: str) -> None:
            try:
                await accounts.users.create(username=name, password="a password")
                ends.append("made")
            except Conflict:
                ends.append("refused")

        async with trio.open_nursery() as nursery:
            for name in ("ann", "Ann", "ANN"):
                nursery.start_soon(make, name)
        assert sorted(ends) == ["made", "refused", "refused"] and len(accounts.directory.users) == 1


async def test_disabling_a_user_stops_all_its_keys_and_nobody_elses(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        await accounts.users.create(username="bob")
        anns = [(await accounts.keys.create(username="ann"))["key"] for _ in range(3)]
        bobs = (await accounts.keys.create(username="bob"))["key"]
        await accounts.keys.set_status(key_id="2", status="disabled")
        assert (await accounts.users.set_status(username="ann", status="disabled"))["status"] == "disabled"
        assert [(await found(accounts, key)).account_active for key in anns] == [False] * 3
        assert (await found(accounts, bobs)).account_active
        late = (await accounts.keys.create(username="ann"))["key"]
        assert not (await found(accounts, late)).account_active
    async with opened(path) as accounts:
        assert [(await found(accounts, key)).account_active for key in anns] == [False] * 3
        await accounts.users.set_status(username="ann", status="active")
        assert [(await found(accounts, key)).account_active for key in anns] == [True] * 3
        assert [(await found(accounts, key)).active for key in anns] == [True, False, True]


async def test_a_password_is_kept_as_scrypt_only(path: Path) -> None:
    async with opened(path) as accounts:
        for name in ("ann", "bob"):
            await accounts.users.create(username=name, password="correct horse battery")
        await accounts.users.create(username="cat")
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"correct horse" not in files
    kept = [text for (text,) in read(path, "SELECT password FROM users ORDER BY id")]
    assert len(kept) == 3
    assert all(
        re.fullmatch(r"scrypt\$\d+\$\d+\$\d+\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{86}==", text) for text in kept[:2]
    )
    assert kept[0] != kept[1] and kept[2] == ""
    assert verify_password("correct horse battery", kept[0])


async def test_a_change_of_nothing_is_answered_at_once(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        key = int(str((await accounts.keys.create(username="ann"))["id"]))
        with trio.fail_after(5):
            assert (await accounts.users.change(accounts.directory.user("ann"), {})).name == ""
            assert (await accounts.keys.change(key, 1, {}, CLI))["id"] == str(key)
    assert read(path, "SELECT count(*) FROM audit WHERE action LIKE '%.update'") == [(0,)]
