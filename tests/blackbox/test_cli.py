"""The fixed command lines, beside a running server and without one: JSON shapes, exit codes, amounts to the last
digit."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from tests.blackbox.harness import Account, House, channel, environment, error

CONFIG = channel("lab", ["plain"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("cli"), CONFIG) as house:
        yield house


@pytest.fixture(params=["beside a server", "alone"])
def place(request: pytest.FixtureRequest, house: House, tmp_path: Path) -> Iterator[House]:
    """The same commands on the served data directory and on one that no command has made yet."""
    if request.param == "beside a server":
        yield house
        return
    with House(tmp_path / "alone", CONFIG, serving=False, upstream=False) as alone:
        alone.data = tmp_path / "new" / "data"
        yield alone


def test_the_life_of_an_account(place: House) -> None:
    name = f"ann-{place.count}"
    user = place.cli("users", "create", name, "--credits", "9.50", "--json")
    assert (
        user["username"] == name
        and isinstance(user["id"], str)
        and user["balance"] == "9.50"
        and user["role"] == "user"
    )
    assert stat.S_IMODE(place.data.stat().st_mode) == 0o700
    key = place.cli(
        "keys", "create", "--user", name, "--name", "laptop", "--models", "plain,other", "--quota", "0.000001", "--json"
    )
    assert (
        key["key"].startswith("sk-ft_")
        and len(key["key"]) == 49
        and key["key"].startswith(key["keyPrefix"])
        and key["id"]
    )
    assert (key["name"], key["models"], key["quota"]) == ("laptop", ["plain", "other"], "0.000001")
    assert (
        place.cli("credit", "grant", name, "0.000000000001", "--note", "a pico", "--json")["balance"]
        == "9.500000000001"
    )
    assert place.cli("credit", "grant", name, "0.499999999999", "--json")["balance"] == "10.00"
    found = next(user for user in place.cli("users", "list", "--json") if user["username"] == name)
    assert found["balance"] == "10.00"
    listed = next(row for row in place.cli("keys", "list", "--json") if row["user"] == name)
    assert listed["id"] == key["id"] and "key" not in listed and key["key"] not in json.dumps(listed)
    verified = place.cli("ledger", "verify", "--json")
    assert verified.keys() == {
        "ok", "accounts", "entries", "open_holds", "requests", "recomputed", "not_recomputable",
    } and verified["ok"] is True  # fmt: skip
    assert verified["entries"] >= 3 and verified["open_holds"] == 0
    assert (verified["requests"], verified["not_recomputable"]) == (0, {"older": 0, "crashed": 0})
    assert place.cli("logs", "--json", "--limit", "5")["data"] == []
    assert place.cli("stats", "--json")["requests"] == 0
    place.count += 1


def test_amounts_and_dates_are_taken_as_they_are(place: House) -> None:
    name = f"bob-{place.count}"
    assert place.cli("users", "create", name, "--credits", "0", "--json")["balance"] == "0.00"
    assert place.cli("credit", "grant", name, "0.0000001", "--json")["balance"] == "0.0000001"
    assert place.cli("keys", "create", "--user", name, "--quota", "0", "--json")["quota"] == "0.00"
    assert (
        place.cli("keys", "create", "--user", name, "--expires", "2020-01-01", "--json")["expiresAt"]
        == "2020-01-01T00:00:00.000Z"
    )
    key = place.cli("keys", "create", "--user", name, "--expires", "2099-12-31T12:00:00+02:00", "--json")
    assert key["expiresAt"] == "2099-12-31T10:00:00.000Z" and key["quota"] is None and key["models"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["credit", "grant", "nobody", "1", "--json"], "nobody"),
        (["keys", "create", "--user", "nobody", "--json"], "nobody"),
        (["users", "create", "x", "--credits", "-1", "--json"], "negative"),
        (["users", "create", "x", "--credits", "much", "--json"], "much"),
        (["users", "create", "x", "--credits", "0.0000000000001", "--json"], "decimals"),
        (["users", "create", "x", "--credits", "NaN", "--json"], "finite"),
        (["users", "create", "x", "--credits", "5_000", "--json"], "the digits 0 to 9 and one dot"),
        (["users", "create", "x", "--credits", "1e3", "--json"], "write 1e3 in plain digits"),
        (["keys", "create", "--quota", "1e3", "--json"], "write 1e3 in plain digits"),
        (["keys", "create", "--name", "n" * 101, "--json"], "the name is 101 characters long"),
        (["keys", "create", "--quota", "٣", "--json"], "the digits 0 to 9 and one dot"),
        (["keys", "create", "--name", "a\x1b[2J", "--json"], "the name holds a control character (U+001B)"),
        (["credit", "grant", "nobody", "1", "--ref", "r", "--json"], "nobody"),
        (["users", "create", "x y", "--json"], "username"),
        (["keys", "create", "--expires", "tomorrow", "--json"], "ISO 8601"),
        (["keys", "disable", "999", "--json"], "999"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place: House, arguments: list[str], words: str) -> None:
    if arguments[1] == "disable" and not place.data.exists():  # which needs something to be there
        words = "there is no ftgate data in"
    out, err = place.cli(*arguments, code=1)
    assert out == "" and err.startswith("Error: ") and words in err and err.count("\n") == 1, err


@pytest.mark.parametrize("first", [["users", "create", "ann", "--json"], ["keys", "create", "--json"]])
def test_what_makes_the_data_directory_makes_it_for_one_s_own_eyes(
    house: House, tmp_path: Path, first: list[str]
) -> None:
    data = tmp_path / "deep" / "data"
    said, _ = house.cli(*first, "--config", str(house.file), "--data", str(data), places=False), None
    assert said is not None and stat.S_IMODE(data.stat().st_mode) == 0o700
    made = list(data.iterdir())
    assert made and all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in made)


def test_many_commands_at_once_beside_a_server(house: House) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(
            pool.map(
                lambda number: house.cli(
                    "users", "create", f"many-{number}", "--credits", "0.1", "--json", process=True
                ),
                range(12),
            )
        )
    assert len({user["id"] for user in made}) == 12 and {user["balance"] for user in made} == {"0.10"}


def test_no_balance_passes_a_million(house: House) -> None:
    house.cli("users", "create", "rich", "--credits", "1000000", "--json")
    assert "out of range" in house.cli("credit", "grant", "rich", "0.000000000001", "--json", code=1)[1]
    assert "1,000,000" in house.cli("credit", "grant", "rich", "1000001", "--json", code=1)[1]


def test_a_grant_is_repeated_with_its_ref(place: House) -> None:
    name = f"fay-{place.count}"
    place.count += 1
    place.cli("users", "create", name, "--json")
    first = place.cli("credit", "grant", name, "5", "--json")
    assert first["already_done"] is False and first["ref"].startswith("grant_")
    again = place.cli("credit", "grant", name, "5.0", "--ref", first["ref"], "--json")
    assert again == {**first, "already_done": True}
    out, err = place.cli("credit", "grant", name, "5", "--ref", first["ref"])
    assert (
        out
        == f"already done: ref {first['ref']} is entry {first['entry']}; nothing was changed. {name}: balance $5.00\n"
        and err == ""
    )
    assert "is that of a grant of $5" in place.cli("credit", "grant", name, "6", "--ref", first["ref"], code=1)[1]
    for balance in ("3.00", "3.00"):
        said = place.cli("credit", "correct", name, "-2", "--note", "too much", "--ref", f"mend-{name}", "--json")
        assert said["balance"] == balance
    assert (
        said["already_done"] is True
        and "a ref is" in place.cli("credit", "grant", name, "1", "--ref", "a b", code=1)[1]
    )
    assert [row["kind"] for row in place.cli("ledger", "entries", "--user", name, "--json")] == ["correct", "grant"]


def test_a_name_is_taken_once(place: House) -> None:
    name = f"eve-{place.count}"
    place.count += 1
    place.cli("users", "create", name, "--json")
    assert "exists" in place.cli("users", "create", name.upper(), "--json", code=1)[1]


def test_admin_with_a_password(place: House) -> None:
    name = f"root-{place.count}"
    place.count += 1
    place.canaries.append("canary-password-81c0")
    made = place.cli(
        "users", "create", name, "--admin", "--password", "-", "--json", stdin="canary-password-81c0\n", process=True
    )
    assert made["role"] == "admin"
    assert "standard input" in place.cli("users", "create", "z", "--password", "canary-password-81c0", code=2)[1]
    place.check_secrets()


def test_what_the_command_line_does_counts_at_once(house: House) -> None:
    name = f"now-{house.count}"
    house.cli("users", "create", name, "--credits", "0.5", "--json")
    key = house.cli("keys", "create", "--user", name, "--models", "plain", "--json")
    account = Account(name, key["key"])
    answer = house.chat(account)
    assert answer.headers["x-findtoken-balance"] == "0.49999"
    (row, *_) = house.cli("logs", "--json", "--limit", "1")["data"]
    assert row["request_id"] == answer.headers["x-request-id"] and row["cost"] == "0.00001"
    stats = house.cli("stats", "--json")
    assert (
        stats["requests"] >= 1
        and Decimal(stats["cost"]) >= Decimal("0.00001")
        and stats["models"][0]["model"] == "plain"
    )
    house.cli("keys", "disable", key["id"], "--json")
    error(house.chat(account), 401, "key_disabled")
    assert len(house.cli("logs")[0].splitlines()) >= 1  # a table for people


def test_a_key_without_a_user_is_the_owner_s(place: House) -> None:
    key = place.cli("keys", "create", "--json")
    assert key["user"] == "owner"


def test_wrong_use(house: House) -> None:
    for arguments, words in (
        (["serv"], "Did you mean serve?"),
        (["user", "create", "x"], "Did you mean users?"),
        (["frobnicate"], "--help"),
        (["users", "create"], "NAME"),
        (["logs", "--limit", "0"], "--limit"),
        (["keys", "create", "--colour", "red"], "--colour"),
    ):
        assert words in house.cli(*arguments, code=2, places=False)[1]
    assert "Did you mean serve?" in house.cli("serv", code=2, places=False, process=True)[1]


COMMANDS = "serve demo init check users keys credit calls channels models prices ledger logs stats version"


@pytest.mark.parametrize("command", COMMANDS.split())
def test_every_command_has_help(house: House, command: str) -> None:
    out, _ = house.cli(command, "--help", places=False)
    assert out.startswith("Usage: ftgate ")


def test_programs_are_told_where_the_server_is(house: House) -> None:
    said = house.cli("connect", "openai", "--json")
    assert f"OPENAI_BASE_URL={house.url}/v1\n" in said["pieces"][0]["text"]


def test_version_models_prices_channels(house: House) -> None:
    assert house.cli("version", "--json", places=False)["version"]
    assert house.cli("--version", places=False)[0].startswith("ftgate ")
    assert [row["name"] for row in house.cli("channels", "list", "--json")] == ["lab"]
    assert [row["id"] for row in house.cli("models", "list", "--json")] == ["plain"]
    (row,) = house.cli("prices", "list", "--json")
    assert (Decimal(row["input"]), Decimal(row["output"]), Decimal(row["cached"])) == (1, 2, Decimal("0.1"))


def test_a_broken_ledger_is_found(tmp_path: Path) -> None:
    """Exit 1 and the first disagreement: a changed balance, a changed entry (its trigger removed by hand)."""
    import sqlite3

    with House(tmp_path / "broken", CONFIG) as house:
        account = house.account("1")
        house.chat(account)
        assert house.process.terminate() == 0
        database = sqlite3.connect(house.data / "ftgate.sqlite3")
        try:
            for damage, mend in (
                ("UPDATE balances SET posted = posted + 1", "UPDATE balances SET posted = posted - 1"),
                ("UPDATE requests SET cost = cost + 1", "UPDATE requests SET cost = cost - 1"),
            ):
                database.execute(damage)
                database.commit()
                out, _ = house.cli("ledger", "verify", "--json", code=1)
                said = json.loads(out)
                assert said["ok"] is False and said["disagreement"]
                database.execute(mend)
                database.commit()
            with pytest.raises(sqlite3.Error):
                database.execute("UPDATE entries SET amount = 0")
            with pytest.raises(sqlite3.Error):
                database.execute("DELETE FROM entries")
        finally:
            database.close()


def test_without_a_config_or_a_key_it_is_the_demo(tmp_path: Path) -> None:
    """From an empty directory: `python -m ftgate check`, then a first user; nothing but ./ftgate-data is made."""
    for arguments in (["check"], ["users", "create", "first", "--json"]):
        done = subprocess.run([sys.executable, "-m", "ftgate", *arguments], cwd=tmp_path, env=environment(),
        capture_output=True,
                              stdin=subprocess.DEVNULL, text=True, timeout=30)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ftgate-data"]
