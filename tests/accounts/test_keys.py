"""Keys: what they look like, what is kept of them, what they may, and how they end."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from ftgate.accounts import Accounts
from ftgate.accounts.directory import StoredKey
from ftgate.core.throttle import Throttle
from ftgate.errors import Forbidden, InvalidRequest, NotFound, RateLimited
from ftgate.ports.site import Doer
from tests.accounts.opened import found, opened
from tests.store.faulty import read
from tests.swift import swift

ROOT = Doer(1, "root", "api", "10.0.0.1", "req_1")


async def test_what_a_key_looks_like_and_what_is_kept_of_it(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        made = [await accounts.keys.create(username="ann", name=f"k{n}") for n in range(20)]
        secrets = [str(one["key"]) for one in made]
        assert len(set(secrets)) == 20
        for one, secret in zip(made, secrets, strict=True):
            assert re.fullmatch(r"sk-ft_[A-Za-z0-9_-]{43}", secret)
            assert one["keyPrefix"] == secret[:12]
            key = await found(accounts, secret)
            assert key is not None and str(key.id) == one["id"] and key.active and key.account_active
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert (path.parent / (path.name + "-wal")).stat().st_size  # the newest are there
        for secret in secrets:
            assert hashlib.sha256(secret.encode()).digest() in files and secret[:12].encode() in files
            assert secret.encode() not in files and secret[12:].encode() not in files
        listed = repr(await accounts.keys.list())
        assert not any(secret[12:] in listed for secret in secrets)


async def test_the_life_of_a_key(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        secret = (await accounts.keys.create(username="ann"))["key"]
        assert (await accounts.keys.set_status(key_id="1", status="disabled"))["status"] == "disabled"
        assert not (await found(accounts, secret)).active
        await accounts.keys.set_status(key_id="1", status="active")
        assert (await found(accounts, secret)).active
        await accounts.keys.set_status(key_id="1", status="deleted")
        assert await found(accounts, secret) is None and await accounts.keys.list() == []
        with pytest.raises(NotFound, match="no key with the id '1'"):
            await accounts.keys.set_status(key_id="1", status="active")
        assert (await accounts.keys.create(username="ann"))["id"] == "2"  # a number is never given again
    async with opened(path) as accounts:
        assert await found(accounts, secret) is None
        with pytest.raises(NotFound):
            await accounts.keys.set_status(key_id="1", status="active")
        await accounts.users.set_status(username="ann", status="disabled")
        await accounts.users.set_status(username="ann", status="active")
        assert await found(accounts, secret) is None
        assert (await accounts.keys.create(username="ann"))["id"] == "3"


@pytest.mark.parametrize("key_id", ["", "x", "-1", "1.0", "²", "9" * 30, "1 OR 1=1", " 1"])
async def test_odd_key_ids(path: Path, key_id: str) -> None:
    async with opened(path) as accounts:
        await accounts.keys.create(username=None)
        with pytest.raises(NotFound):
            await accounts.keys.set_status(key_id=key_id, status="deleted")


async def test_odd_statuses(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.keys.create(username=None)
        with pytest.raises(InvalidRequest, match="active, disabled or deleted"):
            await accounts.keys.set_status(key_id="1", status="gone")
        with pytest.raises(InvalidRequest, match="active or disabled"):
            await accounts.users.set_status(username="owner", status="deleted")
        assert [key["status"] for key in await accounts.keys.list()] == ["active"]


async def test_what_a_key_may(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        made = await accounts.keys.create(
            username="ANN",
            name="n" * 100,
            models=[" m1 ", "m2*", "", "m1"],
            quota="0.000000000001",
            expires="2030-01-31T12:00:00+02:00",
        )
        assert made["models"] == ["m1", "m2*"] and made["quota"] == "0.000000000001" and made["name"] == "n" * 100
        assert made["expiresAt"] == "2030-01-31T10:00:00.000Z" and made["used"] == "0.00"
        key = await found(accounts, made["key"])
        assert key.models == ("m1", "m2*") and key.expires_at_us == 1_896_084_000_000_000
        assert accounts.books.quotas[1].limit == 1


FAULTY_KEYS: list[dict[str, Any]] = [
    {"quota": "-1"},
    {"quota": "1e-13"},
    {"quota": "nan"},
    {"quota": "much"},
    {"expires": "tomorrow"},
    {"expires": "0001-01-01T00:00:00+14:00"},  # before the first year: could not be shown again
    {"name": "\udcff"},  # a byte of the command line that is not UTF-8
    {"models": ["a\ud800"]},
    {"name": "a\0b"},  # the database would keep "a"
    {"name": "two\nlines"},
    {"name": "\x1b[2J"},
    {"name": "\x9b2J"},
    {"name": "a\u2028b"},
    {"models": []},  # no leave to call everything
    {"models": ["", " "]},
    {"models": ["m\0"]},
    {"models": ["m", "n\t"]},
]


@pytest.mark.parametrize("fields", FAULTY_KEYS, ids=repr)
async def test_a_faulty_key_is_refused_and_nothing_is_kept(path: Path, fields: dict[str, Any]) -> None:
    async with opened(path) as accounts:
        with pytest.raises(InvalidRequest):
            await accounts.keys.create(**{"username": None, **fields})
        assert (
            not accounts.directory.keys
            and not accounts.directory.users
            and not accounts.directory.by_hash
            and not accounts.books.quotas
        )
        await accounts.keys.create(username=None)  # the writer lives
    assert read(path, "SELECT count(*) FROM keys") == [(1,)]


async def test_whose_key_it_is(path: Path) -> None:
    async with opened(path) as accounts:
        assert (await accounts.keys.create())["user"] == "owner"  # nobody is there: the owner is made
        assert (await accounts.users.list())[0]["mode"] == "metered"
        await accounts.users.create(username="ann")
        assert (await accounts.keys.create())["user"] == "owner"
    other = path.with_name("other.sqlite3")
    async with opened(other) as accounts:
        await accounts.users.create(username="ann")
        assert (await accounts.keys.create())["user"] == "ann"  # the only one
        await accounts.users.create(username="bob")
        with pytest.raises(InvalidRequest, match="--user NAME"):
            await accounts.keys.create()


async def test_its_audit_rows_are_in_the_words_of_the_wire(path: Path) -> None:
    by = Doer(1, "ann", "api")
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        accounts.plans.adopt()
        fields = {
            "name": "k", "plan_id": 1, "quota": 25 * 10**9, "quota_reset": "day", "models": ("m",),
            "allowed_ips": ("10.0.0.0/8",), "expires_at_us": 1_896_084_000_000_000,
        }  # fmt: skip
        await accounts.keys.make(1, fields, by)
        await accounts.keys.change(1, 1, {"quota": None, "expires_at_us": None, "plan_id": None}, by)
        await accounts.keys.delete(1, 1, by)
    rows = read(path, "SELECT action, target, before, after FROM audit WHERE action LIKE 'token.%' ORDER BY id")
    until = "2030-01-31T10:00:00.000Z"
    assert [(*row[:2], *(json.loads(said or "null") for said in row[2:])) for row in rows] == [
        ("token.create", "token:1", None, {
            "user": "1", "name": "k", "status": "active", "planId": 1, "quota": "2.5", "quotaReset": "day",
            "models": ["m"], "allowedIps": ["10.0.0.0/8"], "expiresAt": until,
        }),
        ("token.update", "token:1", {"planId": 1, "quota": "2.5", "expiresAt": until},
         {"planId": None, "quota": None, "expiresAt": None}),
        ("token.delete", "token:1", {"status": "active"}, {"status": "deleted"}),
    ]  # fmt: skip


# Very many of them


async def ids(accounts: Accounts, account: int | None, **asked: Any) -> tuple[list[int], int, int | None]:
    wanted = {"status": None, "after": None, "skipped": 0, "size": 100} | asked
    rows, total, last = await accounts.keys.page(account, **wanted)
    return [int(row["id"]) for row in cast(Any, rows)], total, last


async def test_pages_of_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.accounts.keys.STEP", 2)
    async with opened(path) as accounts:
        for name in ("ann", "bob"):
            await accounts.users.create(username=name)
        for n in range(1, 10):
            await accounts.keys.make(1 + n % 2, {"name": f"key {n}"}, ROOT)
        for gone in (2, 9, 5):
            await accounts.keys.delete(gone, None, ROOT)
        await accounts.keys.change(6, None, {"status": "disabled"}, ROOT)
        assert await ids(accounts, None) == ([8, 7, 6, 4, 3, 1], 6, None)
        assert await ids(accounts, 1) == ([8, 6, 4], 3, None)
        assert await ids(accounts, 2, size=1) == ([7], 3, 7)
        assert await ids(accounts, 3) == ([], 0, None)
        assert await ids(accounts, None, status="active") == ([8, 7, 4, 3, 1], 5, None)
        assert await ids(accounts, 1, status="disabled") == ([6], 1, None)
        for status in (None, "active"):
            every, total, _ = await ids(accounts, None, status=status)
            for skipped in range(total + 2):
                rows, said, last = await ids(accounts, None, status=status, skipped=skipped, size=2)
                assert rows == every[skipped : skipped + 2] and said == total
                assert last == (rows[-1] if skipped + 2 < total else None)
            for after in range(11):
                behind = [id for id in every if id < after]
                assert (await ids(accounts, None, status=status, after=after, size=3))[0] == behind[:3]
        assert [row["id"] for row in await accounts.keys.list(username="bob")] == ["1", "3", "7"]
    async with opened(path) as accounts:
        assert await ids(accounts, None) == ([8, 7, 6, 4, 3, 1], 6, None)
        made, _ = await accounts.keys.make(1, {"name": "next"}, ROOT)
        assert made["id"] == "10"  # a number is never given again
        assert accounts.users.account(accounts.directory.users[1])["keys"] == 4


async def test_keys_that_are_deleted_cost_nobody_anything(path: Path) -> None:
    async with opened(path) as accounts:
        for name in ("ann", "bob"):
            await accounts.users.create(username=name)
        directory = accounts.directory
        for n in range(1, 30_001):
            key = StoredKey(n, 1, "", "sk-ft_", str(n).encode(), "deleted", (), None, None, 0)
            accounts.books.open_key(n, limit=None)
            directory.drop_key(key)
        for n in range(30_001, 60_001):
            key = StoredKey(n, 2, "", "sk-ft_", str(n).encode(), "active", (), None, None, 0)
            accounts.books.open_key(n, limit=None)
            directory.keep_key(key)
        with swift(0.2):  # some milliseconds; seconds where all are looked at
            for _ in range(10):
                await ids(accounts, 1)
                await ids(accounts, None, size=20)
                await ids(accounts, None, after=45_000, size=20)
                accounts.users.account(directory.users[1])
                accounts.users.account(directory.users[2])
        assert directory.plan_of_key(1) == "default"  # its calls may still be open


async def test_keys_are_changed_only_so_often(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        await accounts.users.create(username="bob")
        accounts.throttles.accounts["token"] = Throttle(3, 3600)
        await accounts.keys.make(1, {"name": "a"}, ROOT)
        await accounts.keys.change(1, 1, {"name": "b"}, ROOT)
        await accounts.keys.delete(1, 1, ROOT)
        for refused in (
            lambda: accounts.keys.make(1, {"name": "a"}, ROOT),
            lambda: accounts.keys.change(1, 1, {"name": "b"}, ROOT),
            lambda: accounts.keys.delete(1, 1, ROOT),
        ):
            with pytest.raises(RateLimited):
                await refused()
        await accounts.keys.make(2, {"name": "bob's"}, ROOT)
        for _ in range(5):
            await accounts.keys.change(2, None, {"status": "disabled"}, ROOT)  # an operator


async def test_the_playground_s_key_has_no_text_and_is_made_when_it_is_needed(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        ann = accounts.directory.user("ann").id
        key = await accounts.keys.playground(ann, ROOT)
        assert await accounts.keys.playground(ann, ROOT) == key
        assert (key.account, key.name, key.prefix) == (ann, "playground", "playground")
        stored = accounts.directory.keys[key.id]
        assert len(stored.hash) == 32
        for text in (stored.hash, b"playground", b"no text hashes to this: "):
            assert await accounts.directory.find(text) is None
    async with opened(path) as accounts:
        assert (await accounts.keys.playground(ann, ROOT)).id == key.id
        await accounts.keys.change(key.id, ann, {"status": "disabled"}, ROOT)
        with pytest.raises(Forbidden, match="is disabled"):
            await accounts.keys.playground(ann, ROOT)
        await accounts.keys.change(key.id, ann, {"status": "active", "expires_at_us": 1}, ROOT)
        with pytest.raises(Forbidden, match="is expired"):
            await accounts.keys.playground(ann, ROOT)
        await accounts.keys.delete(key.id, ann, ROOT)
        assert (await accounts.keys.playground(ann, ROOT)).id > key.id
    async with opened(path) as accounts:
        assert (await accounts.keys.playground(ann, ROOT)).id > key.id
        assert len(accounts.directory.keys_of[ann]) == 1
