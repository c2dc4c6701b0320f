"""Credits: amounts to the last digit, and once for each ref, whatever is repeated."""

from pathlib import Path

import pytest

from ftgate.errors import Conflict, InvalidRequest
from tests.accounts.opened import opened
from tests.store.faulty import read


@pytest.mark.parametrize(
    ("amount", "shown", "units"),
    [
        ("9.5", "9.50", 9_500_000_000_000),
        ("0.1", "0.10", 100_000_000_000),
        ("0.000000000001", "0.000000000001", 1),
        ("999999.999999999999", "999999.999999999999", 999_999_999_999_999_999),
        ("1000000", "1000000.00", 10**18),
        (5, "5.00", 5 * 10**12),
    ],
)
async def test_amounts_are_kept_to_the_last_digit(path: Path, amount: str, shown: str, units: int) -> None:
    async with opened(path) as accounts:
        assert (await accounts.users.create(username="ann", credits=amount))["balance"] == shown
        await accounts.users.create(username="bob")
        said = await accounts.credits.grant(username="bob", amount=amount, note=" " + "x" * 500)
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
        ("1e3", "write 1e3 in plain digits"),
        (".5", "write .5 in plain digits"),
        ("+5", "in plain digits"),
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


async def test_both_ways_go_by_the_same_rules(path: Path) -> None:
    """What HTTP refuses the command line does too, and nothing is cut off."""
    async with opened(path) as accounts:
        credits, keys = accounts.credits, accounts.keys
        await accounts.users.create(username="ann", credits="0")
        for amount in ("0", "0.00"):
            with pytest.raises(InvalidRequest, match="more than 0"):
                await credits.grant(username="ann", amount=amount)
            with pytest.raises(InvalidRequest, match="another amount than 0"):
                await credits.correct(username="ann", amount=amount, note="x")
        for note, words in (("x" * 501, "501 characters"), (" ", "needs a note")):
            with pytest.raises(InvalidRequest, match=words):
                await credits.correct(username="ann", amount="1", note=note)
        with pytest.raises(InvalidRequest, match="501 characters"):
            await credits.grant(username="ann", amount="1", note="x" * 501)
        for wrong in (
            {"quota": "1e3"},
            {"name": "n" * 101},
            {"models": ["m" * 201]},
            {"models": list(map(str, range(201)))},
        ):
            with pytest.raises(InvalidRequest):
                await keys.create(username="ann", **wrong)  # type: ignore[arg-type]
        assert accounts.books.accounts[1].posted == 0 and not accounts.directory.keys
        await credits.correct(username="ann", amount="-1", note=" why ")
    assert read(path, "SELECT note FROM entries") == [("why",)]


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
        for note in ("paid\0 in full", "two\nlines", "a\ttab", "\x1b[31mred", "\x7f", "\u202ebackwards"):
            for command in (accounts.credits.grant, accounts.credits.correct):
                with pytest.raises(
                    InvalidRequest, match=r"the note holds a control character \(U\+(00[0-9A-F]{2}|202E)\)"
                ):
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
            with pytest.raises(Conflict, match=r"the ref r is that of a grant of \$2 to ann; nothing was changed"):
                await asked
        for asked in (
            accounts.credits.correct(username="ann", amount="-2", note="n", ref="s"),
            accounts.credits.grant(username="ann", amount="2", ref="s"),
        ):
            with pytest.raises(Conflict, match=r"the ref s is that of a correct of \$2 to ann"):
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
