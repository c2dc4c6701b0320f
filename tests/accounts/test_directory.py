"""Users and keys: what is kept of a secret, who is found by what, amounts to the last digit, and the same after a
restart."""

import hashlib
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.accounts import Accounts
from ftgate.accounts.passwords import verify_password
from ftgate.core.books import Books
from ftgate.errors import DatabaseBusy, InvalidRequest, NotFound
from ftgate.store.database import DatabaseFault, connect, last_entry
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.fakes.ports import TrioClock
from tests.store.faulty import FaultyConnection, read, row, sqlite_error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


@asynccontextmanager
async def opened(path: Path, *, metered_plans: tuple[str, ...] = ()) -> AsyncIterator[Accounts]:
    connection = connect(path, durability="process")
    writer = Writer(connection)
    accounts = Accounts(
        Books(next_id=last_entry(connection) + 1), writer, TrioClock(), lambda plan: plan in metered_plans
    )
    accounts.load(connection)
    writer.start()
    try:
        yield accounts
    finally:
        await writer.close()
        assert verify_ledger(path)["ok"]


async def found(accounts: Accounts, secret: object) -> Any:
    return await accounts.directory.find(str(secret).encode())


# Keys


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
            name="n" * 200,
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


# Users


@pytest.mark.parametrize("name", ["a", "Ann", "ann.b-c_d@example.org", "0", "x" * 64])
async def test_names(path: Path, name: str) -> None:
    async with opened(path) as accounts:
        assert (await accounts.users.create(username=name))["username"] == name
        assert accounts.directory.user(name.upper()) is accounts.directory.user(name.lower())
        for again in (name, name.upper(), name.lower()):
            with pytest.raises(InvalidRequest, match="exists already"):
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
            except InvalidRequest:
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


async def test_a_password_is_kept_as_scrypt_only(path: Path) -> None:
    async with opened(path) as accounts:
        for name in ("ann", "bob"):
            await accounts.users.create(username=name, password="correct horse battery")
        await accounts.users.create(username="cat")
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"correct horse" not in files
    kept = [text for (text,) in read(path, "SELECT password FROM users ORDER BY id")]
    assert all(
        re.fullmatch(r"scrypt\$131072\$8\$1\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{86}==", text) for text in kept[:2]
    )
    assert kept[0] != kept[1] and kept[2] == ""
    assert verify_password("correct horse battery", kept[0])


# Credits


@pytest.mark.parametrize(
    ("amount", "shown", "units"),
    [
        ("9.5", "9.50", 9_500_000_000_000),
        ("0.1", "0.10", 100_000_000_000),
        ("0.000000000001", "0.000000000001", 1),
        ("999999.999999999999", "999999.999999999999", 999_999_999_999_999_999),
        ("1000000", "1000000.00", 10**18),
        ("1e3", "1000.00", 10**15),
        (5, "5.00", 5 * 10**12),
        ("0", "0.00", 0),
    ],
)
async def test_amounts_are_kept_to_the_last_digit(path: Path, amount: str, shown: str, units: int) -> None:
    async with opened(path) as accounts:
        assert (await accounts.users.create(username="ann", credits=amount))["balance"] == shown
        await accounts.users.create(username="bob")
        said = await accounts.credits.grant(username="bob", amount=amount, note="x" * 600)
        assert said["balance"] == shown
    async with opened(path) as accounts:
        assert [user["balance"] for user in await accounts.users.list()] == [shown, shown]
    assert read(path, "SELECT account, posted FROM balances ORDER BY account") == [(1, units), (2, units)]
    assert read(path, "SELECT max(length(note)) FROM entries")[0][0] == 500


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("-1", "negative"),
        ("-0.000000000001", "negative"),
        ("0.0000000000001", "finer than 12 decimals"),
        ("1000000.01", "more than \\$1,000,000"),
        ("1e400", "more than \\$1,000,000"),
        ("nan", "finite"),
        ("Infinity", "finite"),
        ("ten", "not a decimal amount"),
        ("", "not a decimal amount"),
        ("1,5", "not a decimal amount"),
        ("0x10", "not a decimal amount"),
        ("5_000", "not a decimal amount"),
        ("٣", "not a decimal amount"),
    ],
)
async def test_odd_amounts_are_refused_with_words(path: Path, amount: str, words: str) -> None:
    async with opened(path) as accounts:
        with pytest.raises(InvalidRequest, match=words):
            await accounts.users.create(username="ann", credits=amount)
        assert not accounts.directory.users and not accounts.books.accounts
        await accounts.users.create(username="ann", credits="1")
        with pytest.raises(InvalidRequest, match=words):
            await accounts.credits.grant(username="ann", amount=amount)
        assert accounts.books.accounts[1].posted == 10**12


async def test_no_balance_past_a_million(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann", credits="999999")
        with pytest.raises(InvalidRequest, match="no balance above"):
            await accounts.credits.grant(username="ann", amount="1.000000000001")
        assert (await accounts.credits.grant(username="ann", amount="1"))["balance"] == "1000000.00"


async def test_what_a_note_may_not_hold(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        with pytest.raises(InvalidRequest, match="the note is not UTF-8"):
            await accounts.credits.grant(username="ann", amount="1", note="caf\udce9")
        with pytest.raises(InvalidRequest, match="the note is not UTF-8"):
            await accounts.credits.correct(username="ann", amount="1", note="caf\udce9")
        with pytest.raises(InvalidRequest, match="the password is not UTF-8"):
            await accounts.users.create(username="bob", password="caf\udce9")
        for note in ("paid\0 in full", "two\nlines", "a\ttab", "\x1b[31mred", "\x7f"):
            for command in (accounts.credits.grant, accounts.credits.correct):
                with pytest.raises(InvalidRequest, match=r"the note holds a control character \(U\+00[0-9A-F]{2}\)"):
                    await command(username="ann", amount="1", note=note)
        await accounts.credits.grant(
            username="ann", amount="1", note="café \U0001f468\u200d\U0001f469 \U0001f4b6'; DROP TABLE entries; --"
        )
    assert read(path, "SELECT note FROM entries") == [
        ("café \U0001f468\u200d\U0001f469 \U0001f4b6'; DROP TABLE entries; --",)
    ]


# Once, whatever is repeated


async def test_with_the_same_ref_it_is_done_once(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann", credits="1")
        first = await accounts.credits.grant(username="ann", amount="2.5", note="a", ref="invoice-7")
        assert first == {
            "username": "ann", "granted": "2.5", "balance": "3.50", "entry": 2, "ref": "invoice-7",
            "already_done": False,
        }  # fmt: skip
        await accounts.credits.grant(username="ann", amount="1")  # none of its own: another one
        taken = await accounts.credits.correct(username="ann", amount="-0.5", note="b", ref="c:1")
        assert (taken["corrected"], taken["balance"], taken["already_done"]) == ("-0.5", "4.00", False)
    for _ in range(2):
        async with opened(path) as accounts:
            again = await accounts.credits.grant(username="ANN", amount="2.50", note="other words", ref="invoice-7")
            assert again == {**first, "balance": "4.00", "already_done": True}
            again = await accounts.credits.correct(username="ann", amount="-0.5", note="b", ref="c:1")
            assert (again["entry"], again["balance"], again["already_done"]) == (4, "4.00", True)
    assert read(path, "SELECT kind, ref IN ('invoice-7', 'c:1') FROM entries ORDER BY id") == [
        ("grant", 0), ("grant", 1), ("grant", 0), ("correct", 1),
    ]  # fmt: skip


async def test_a_ref_with_other_values_is_refused(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        await accounts.users.create(username="bob")
        await accounts.credits.grant(username="ann", amount="2", ref="r")
        await accounts.credits.correct(username="ann", amount="2", note="n", ref="s")
        for asked in (
            accounts.credits.grant(username="ann", amount="2.000000000001", ref="r"),
            accounts.credits.grant(username="bob", amount="2", ref="r"),
            accounts.credits.correct(username="ann", amount="2", note="n", ref="r"),
        ):
            with pytest.raises(
                InvalidRequest, match=r"the ref r is that of a grant of \$2 to ann; nothing was changed"
            ):
                await asked
        for asked in (
            accounts.credits.correct(username="ann", amount="-2", note="n", ref="s"),
            accounts.credits.grant(username="ann", amount="2", ref="s"),
        ):
            with pytest.raises(InvalidRequest, match=r"the ref s is that of a correct of \$2 to ann"):
                await asked
        assert accounts.books.accounts[1].posted == 4 * 10**12 and accounts.books.accounts[2].posted == 0
    assert read(path, "SELECT count(*) FROM entries") == [(2,)]


@pytest.mark.parametrize("ref", ["", " ", "a b", "-a", "a\n", "a\0", "ä", "٣", "x" * 101, "--ref", "a'"])
async def test_odd_refs(path: Path, ref: str) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        for asked in (
            accounts.credits.grant(username="ann", amount="1", ref=ref),
            accounts.credits.correct(username="ann", amount="1", note="n", ref=ref),
        ):
            with pytest.raises(InvalidRequest, match="a ref is 1 to 100 letters"):
                await asked
        assert accounts.books.accounts[1].posted == 0


async def test_what_is_not_written_in_time_is_told_and_repeated_safely(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 0.1)
    monkeypatch.setattr("ftgate.store.writer.LAZY_S", 0.02)
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.01,))
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        accounts.credits.writer.connection.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as other, trio.fail_after(10):
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):  # the repeat waits too, and is told the same
                with pytest.raises(DatabaseBusy) as told:
                    await accounts.credits.grant(username="ann", amount="5", ref="r")
                said = str(told.value)
                assert said.startswith("the grant of $5 to ann, ref r, is decided and not yet written, because")
                for words in (
                    "takes no commits now (database is locked)",
                    "`ftgate ledger entries --user ann`",
                    "--ref r it is done once",
                ):
                    assert words in said
            with pytest.raises(
                DatabaseBusy, match=r"the correction of \$-1 to ann, ref correct_[0-9a-f]{24}, is decided and not yet"
            ):
                await accounts.credits.correct(username="ann", amount="-1", note="n")
            with pytest.raises(
                DatabaseBusy,
                match=r"key 1 \(sk-ft_.{6}...\) of ann, which nobody has seen, .* keys delete 1` removes it",
            ):
                await accounts.keys.create(username="ann")
            with pytest.raises(DatabaseBusy, match=r"the user bob is decided .* `ftgate users list`"):
                await accounts.users.create(username="bob", credits="1")
            with pytest.raises(DatabaseBusy, match="that user bob is disabled is decided"):
                await accounts.users.set_status(username="bob", status="disabled")
            with pytest.raises(DatabaseBusy, match="that key 1 is disabled is decided"):
                await accounts.keys.set_status(key_id="1", status="disabled")
            assert read(path, "SELECT count(*) FROM entries") == [(0,)]
            other.execute("ROLLBACK")
            monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 10)
            again = await accounts.credits.grant(username="ann", amount="5", ref="r")
        assert (again["already_done"], again["balance"], again["entry"]) == (True, "4.00", 1)
        assert (await accounts.keys.set_status(key_id="1", status="deleted"))["status"] == "deleted"
    assert read(path, "SELECT kind, amount FROM entries WHERE account = 1 ORDER BY id") == [
        ("grant", 5 * 10**12),
        ("correct", 10**12),
    ]
    assert read(path, "SELECT status FROM users UNION ALL SELECT status FROM keys") == [
        ("active",),
        ("disabled",),
        ("deleted",),
    ]


async def test_a_database_that_fails_under_a_grant(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
    connection = FaultyConnection(connect(path, durability="process"))
    writer = Writer(connection)  # type: ignore[arg-type]
    accounts = Accounts(Books(), writer, TrioClock(), lambda plan: False)
    accounts.load(connection)  # type: ignore[arg-type]
    writer.start()
    connection.fail(1, sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError))
    with pytest.raises(
        DatabaseFault, match=r"failed: .* Whether the grant of \$5 to ann, ref r, was written is not known.*--ref r "
    ):
        await accounts.credits.grant(username="ann", amount="5", ref="r")
    connection.go_on.set()
    await writer.close()


# The same after a restart


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
