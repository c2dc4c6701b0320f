"""Looking after the data from the command line: entries, export, corrections, backup and restore, the doctor; and what
a server says and does when its ledger does not verify or its disk is full."""

import csv
import io
import json
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import PROVIDER_KEY, House, channel, error

CONFIG = channel("lab", ["plain", "slow"])
SCRIPTS: dict[str, dict[str, Any]] = {"slow": {"content": ["x"] * 20, "piece_delay_s": 0.1}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("care"), CONFIG) as house:
        yield house


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one account and one settled call."""
    kept = tmp_path_factory.mktemp("kept") / "data"
    with House(tmp_path_factory.mktemp("settled"), CONFIG) as house:
        house.chat(house.account("1"))
        assert house.process.terminate() == 0
        shutil.copytree(house.data, kept)  # as it was left, before anybody reads it
    return kept


@pytest.fixture
def alone(tmp_path: Path, settled: Path) -> Iterator[House]:
    """A copy of it, and no server."""
    with House(tmp_path / "alone", CONFIG, serving=False, upstream=False) as house:
        shutil.copytree(settled, house.data)
        house.count = 1
        yield house


def change(house: House, sql: str) -> None:
    with closing(sqlite3.connect(house.data / "ftgate.sqlite3")) as database:
        assert database.execute(sql).rowcount > 0
        database.commit()


# Entries and export


def test_entries(house: House) -> None:
    account, other = house.account("1"), house.account("2")
    house.chat(account)
    house.row(account)
    rows = house.cli("ledger", "entries", "--user", account.name.upper(), "--json")
    assert [row["kind"] for row in rows] == ["post", "hold", "grant"] and {row["user"] for row in rows} == {
        account.name
    }
    assert rows[0]["hold"] == rows[1]["id"] and rows[0]["amount"] == "0.00001" and rows[0]["ref"] == rows[1]["ref"]
    assert [row["user"] for row in house.cli("ledger", "entries", "--limit", "3", "--json")][-1] == other.name
    assert len(house.cli("ledger", "entries", "--limit", "2", "--json")) == 2
    assert "0.00001" in house.cli("ledger", "entries", "--user", account.name)[0]  # a table for people
    assert (
        json.loads(house.cli("ledger", "export", "--user", account.name, "--format", "json")[0].splitlines()[0])["kind"]
        == "grant"
    )


def test_entries_of_nobody(house: House, tmp_path: Path) -> None:
    """The same words as everywhere, and a file that is there is left as it is."""
    target = tmp_path / "out.csv"
    target.write_text("an older export")
    for arguments in (
        ["entries", "--user", "nosuch", "--json"], ["entries", "--user", ""], ["export", "--user", "nosuch"],
        ["export", "--user", "nosuch", str(target)], ["export", "--user", "nosuch", "--format", "json", str(target)],
    ):  # fmt: skip
        out, err = house.cli("ledger", *arguments, code=1)
        assert out == "" and err.startswith(f"Error: no user named {arguments[2]!r}; `ftgate users list` shows them"), (
            err
        )
    assert target.read_text() == "an older export"
    assert "no user named 'caf\\udce9'" in house.cli("ledger", "entries", "--user", "caf\udce9", code=1)[1]
    house.cli("users", "create", "poor", "--json")
    assert house.cli("ledger", "entries", "--user", "poor", "--json") == []
    house.cli("ledger", "export", "--user", "poor", "--format", "json", str(target))
    assert target.read_text() == ""


def test_export(house: House, tmp_path: Path) -> None:
    account = house.account("1")
    house.cli("credit", "grant", account.name, "0.5", "--note", '=HYPERLINK("http://evil")', "--json")
    house.cli("credit", "correct", account.name, "-0.25", "--note", "+1, a comma", "--json")
    target = tmp_path / "out.csv"
    assert house.cli("ledger", "export", "--user", account.name, str(target)) == ("", "")
    head, *rows = csv.reader(io.StringIO(target.read_text(encoding="utf-8"), newline=""))
    said = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["kind"] for row in said] == ["grant", "grant", "correct"] and {row["user"] for row in said} == {
        account.name
    }
    assert [row["amount"] for row in said] == ["1", "0.5", "0.25"]
    # A spreadsheet takes nothing of it for a formula.
    assert [row["note"] for row in said] == ["first credits", '\'=HYPERLINK("http://evil")', "'+1, a comma"]
    lines = house.cli("ledger", "export", "--format", "json", "--user", account.name)[0].splitlines()
    exact = [json.loads(line) for line in lines]
    assert [row["note"] for row in exact] == ["first credits", '=HYPERLINK("http://evil")', "+1, a comma"]
    assert (exact[2]["debit"], exact[2]["credit"]) == ("credits", "corrections") and "user" in exact[0]
    printed, _ = house.cli("ledger", "export", "--format", "json", process=True)
    everything = [json.loads(line) for line in printed.splitlines()]
    assert [row["id"] for row in everything] == list(range(1, house.verified()["entries"] + 1))


def test_corrections(house: House) -> None:
    account = house.account("1")
    assert (
        house.cli("credit", "correct", account.name, "-0.4", "--note", "counted twice", "--json")["balance"] == "0.60"
    )
    assert house.cli("credit", "correct", account.name, "0.1", "--note", "too much", "--json")["corrected"] == "0.1"
    assert "--note" in house.cli("credit", "correct", account.name, "1", code=2)[1]
    assert "needs a note" in house.cli("credit", "correct", account.name, "1", "--note", "  ", code=1)[1]
    assert "1,000,000" in house.cli("credit", "correct", account.name, "-1000001", "--note", "x", code=1)[1]
    assert "not a decimal amount" in house.cli("credit", "correct", account.name, "--5", "--note", "x", code=1)[1]
    assert (
        "control character (U+000A)" in house.cli("credit", "correct", account.name, "5", "--note", "x\ny", code=1)[1]
    )
    assert house.balance(account) == Decimal("0.7")
    assert house.cli("credit", "correct", account.name, "-1", "--note", "a charge back", "--json")["balance"] == "-0.30"
    error(house.chat(account), 402, "insufficient_credits")
    house.cli("credit", "grant", account.name, "0.5", "--json")
    assert house.chat(account).status_code == 200
    assert house.verified()["ok"]


# Backup and restore


def test_backup_and_restore(alone: House, tmp_path: Path) -> None:
    place = tmp_path / "copies"
    place.mkdir()
    alone.start()
    made = alone.cli("backup", str(place), "--json", process=True)  # into a directory: a dated name
    file = Path(made["backup"])
    assert file.parent == place and file.name.startswith("ftgate-") and made["ok"] and made["entries"] == 3
    assert "exists already" in alone.cli("backup", str(file), code=1)[1]
    before = {path.name for path in alone.data.iterdir()}
    assert "stop it first" in alone.cli("restore", str(file), code=1)[1]
    assert {path.name for path in alone.data.iterdir()} == before
    account = alone.account("5")
    assert alone.process.terminate() == 0
    said = alone.cli("restore", str(file), "--json")
    assert Path(said["kept"]).parent == alone.data
    assert "verified" in alone.cli("backup", str(tmp_path / "again"))[0]
    alone.start()
    error(alone.chat(account), 401, "invalid_api_key")  # as it was when the backup was made
    assert [user["username"] for user in alone.cli("users", "list", "--json")] == ["owner", "u1"]


def test_a_backup_that_is_no_good_is_not_restored(alone: House, tmp_path: Path) -> None:
    file = tmp_path / "b"
    alone.cli("backup", str(file))
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE balances SET posted = 0")
        database.commit()
    before = (alone.data / "ftgate.sqlite3").read_bytes()
    err = alone.cli("restore", str(file), code=1)[1]
    assert "does not verify: account 2" in err and "Nothing was changed." in err and err.count("\n") == 1
    assert (alone.data / "ftgate.sqlite3").read_bytes() == before
    assert alone.cli("restore", str(tmp_path / "none"), code=2)


# The doctor


def findings(house: House, code: int = 0) -> dict[str, list[str]]:
    """state -> "subject: words" of what the doctor found."""
    said = house.cli("doctor", "--json", code=code)
    said = json.loads(said[0]) if code else said
    assert said["ok"] is (code == 0)
    found: dict[str, list[str]] = {}
    for row in said["findings"]:
        found.setdefault(row["state"], []).append(f"{row['subject']}: {row['words']}")
    return found


def test_the_doctor_finds_nothing(house: House, alone: House) -> None:
    for place, running in ((house, "running, process"), (alone, "not running")):
        found = findings(place)
        assert "wrong" not in found and any(running in words for words in found["ok"])
        assert any("entries add up" in words for words in found["ok"])
    assert "quick_check ok" in alone.cli("doctor")[0]


def test_the_doctor_finds_open_doors(alone: House) -> None:
    alone.data.chmod(0o755)
    assert any("chmod 700" in words for words in findings(alone, 1)["wrong"])
    alone.data.chmod(0o700)


def test_the_doctor_finds_a_bent_server_key(alone: House) -> None:
    path = alone.data / "server.key"
    own = path.read_bytes()
    path.write_bytes(own[:31])
    (found,) = findings(alone, 1)["wrong"]
    assert "holds 31 bytes in place of 32" in found
    path.write_bytes(own)


def test_the_doctor_finds_damaged_pages(alone: House) -> None:
    path = alone.data / "ftgate.sqlite3"
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xa5" * 4096 * 3)
    found = findings(alone, 1)["wrong"]
    assert any(words.startswith("pages: ") and "restore a backup" in words for words in found), found
    path.write_bytes(whole)
    assert "wrong" not in findings(alone)


def test_the_doctor_finds_a_wrong_ledger_and_a_faulty_config(alone: House) -> None:
    change(alone, "UPDATE balances SET posted = posted + 1")
    assert any(words.startswith("ledger: account 1: balance says") for words in findings(alone, 1)["wrong"])
    change(alone, "UPDATE balances SET posted = posted - 1")
    good = alone.file.read_text()
    alone.file.write_text(good + "\n[servr]\nport = 1\n")
    assert any("servr" in words for words in findings(alone, 1)["wrong"])
    alone.file.write_text(good)


def test_the_doctor_looks_at_the_running_server_s_config(house: House, tmp_path: Path) -> None:
    """From a shell that says nothing of a config, which is not the demo's either."""
    said = house.cli("doctor", "--json", "--data", str(house.data), places=False, cwd=tmp_path)["findings"]
    words = [row["words"] for row in said if row["subject"] == "config"]
    assert words[:2] == [f"looked at is that of the running server: {house.file}", "1 channel, 2 models"]


def test_a_secret_of_the_service_s_alone_keeps_nobody_from_looking(alone: House) -> None:
    good = alone.file.read_text()
    assert f'"{PROVIDER_KEY}"' in good
    alone.file.write_text(good.replace(f'"{PROVIDER_KEY}"', '"env:ONLY_THE_SERVICE_HAS_IT"'))
    found = findings(alone, 1)
    (unset,) = found["wrong"]
    assert "ONLY_THE_SERVICE_HAS_IT is not set" in unset and "/etc/ftgate/env" in unset
    subjects = {row.partition(":")[0] for rows in found.values() for row in rows}
    assert {"files", "data", "disk", "ledger", "schema", "backup"} <= subjects, found
    assert any(row.startswith("look channel: none was called") for row in findings_of(alone, "--calls", code=1))
    foretold = findings_of(alone, command="upgrade-check")
    assert any("a start changes nothing of it" in row for row in foretold), foretold
    alone.file.write_text(good + "\n[servr]\nport = 1\n")
    assert any(row.startswith("ledger:") for row in findings(alone, 1)["ok"])
    alone.file.write_text(good)


def test_the_doctor_calls_each_channel(house: House, alone: House) -> None:
    found = findings_of(house, "--calls")
    assert any(row.startswith("ok channel: lab (plain) answered in") for row in found), found
    found = findings_of(alone, "--calls", code=1)  # nobody answers at its address
    assert any(row.startswith("wrong channel: lab (plain) failed:") for row in found), found
    assert PROVIDER_KEY not in "".join(found)


def findings_of(house: House, *more: str, command: str = "doctor", code: int = 0) -> list[str]:
    """ "state subject: words" of each."""
    said = house.cli(command, *more, "--json", code=code)
    said = json.loads(said[0]) if code else said
    return [f"{row['state']} {row['subject']}: {row['words']}" for row in said["findings"]]


# An upgrade


def test_an_upgrade_is_foretold_and_has_a_way_back(alone: House) -> None:
    path = alone.data / "ftgate.sqlite3"
    with closing(sqlite3.connect(path)) as database:  # as the version before has left it
        database.execute("ALTER TABLE requests DROP COLUMN upstream_id")
        database.execute("DELETE FROM _sqlite_migrations WHERE name LIKE '0011%'")
        database.commit()
    before = path.read_bytes()
    found = findings_of(alone, command="upgrade-check")
    assert any(f"a start brings it from schema 10 to 11, after a verified backup in {alone.data}" in f for f in found)
    assert "ok disk: there is room for the backup and the change" in found and path.read_bytes() == before
    assert not (alone.data / "backups").exists()
    good = alone.file.read_text()
    alone.file.write_text(good + "\n[backup]\nto = '/nowhere/at/all'\n")
    found = findings_of(alone, command="upgrade-check", code=1)
    assert any(row.startswith("wrong backup: /nowhere/at/all is not there, where the backup goes") for row in found)
    alone.file.write_text(good)
    alone.start()
    (copy,) = (alone.data / "backups").iterdir()
    assert f"schema 10 -> 11, backup at {copy}\n" in alone.err.read_text()
    assert any("a start changes nothing of it" in row for row in findings_of(alone, command="upgrade-check"))
    assert alone.process.terminate() == 0
    alone.cli("restore", str(copy))
    assert any("from schema 10 to 11" in row for row in findings_of(alone, command="upgrade-check"))
    assert "backup at" not in alone.cli("users", "list")[0]  # a command migrates it as well; the copy is there
    assert list((alone.data / "backups").iterdir()) == [copy]


def test_a_newer_database_and_a_faulty_config_are_foretold(alone: House) -> None:
    path = alone.data / "ftgate.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('ftgate', '0099_wonder')")
        database.execute("UPDATE boots SET version = '7.1'")
        database.commit()
    found = findings_of(alone, command="upgrade-check", code=1)
    assert any(row.startswith("wrong schema: ") and "newer ftgate, 7.1 (schema 0099_wonder)" in row for row in found)
    server = alone.spawn(name="refused")
    assert server.wait() == 1 and "newer ftgate, 7.1 (schema 0099_wonder); start that" in server.err.read_text()
    change(alone, "DELETE FROM _sqlite_migrations WHERE name = '0099_wonder'")
    good = alone.file.read_text()
    alone.file.write_text(good + "\n[servr]\nport = 1\n")
    assert any(row.startswith("wrong config: ") for row in findings_of(alone, command="upgrade-check", code=1))
    alone.file.write_text(good)


# A server on a ledger that does not verify, and on a disk that is full


def test_nothing_starts_on_a_ledger_that_does_not_verify(alone: House, tmp_path: Path) -> None:
    alone.cli("backup", str(tmp_path / "good"))
    change(alone, "UPDATE balances SET posted = posted + 1")
    server = alone.spawn(name="refused")
    assert server.wait() == 1 and server.out.read_text() == ""
    said = server.err.read_text()
    assert (
        "does not verify: account 1: balance says" in said and "ftgate restore FILE" in said and said.count("\n") == 1
    )
    assert "does not verify" in alone.cli("users", "list", code=1)[1]
    assert "account 1: balance says" in alone.cli("ledger", "verify", code=1)[1]
    alone.cli("restore", str(tmp_path / "good"))
    alone.start()


def test_a_damaged_database_is_said_in_one_line(alone: House) -> None:
    path = alone.data / "ftgate.sqlite3"
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 3] + b"\xa5" * (len(whole) - 4096 * 3))
    for command in (["ledger", "verify"], ["ledger", "entries"], ["ledger", "export"], ["logs"], ["stats"]):
        err = alone.cli(*command, code=1)[1]
        assert "ftgate restore FILE" in err and err.count("\n") == 1, (command, err)
    path.write_bytes(whole)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit to fill a disk from outside")
def test_what_a_full_disk_costs_at_a_shutdown_is_said(tmp_path: Path) -> None:
    with House(tmp_path / "full", CONFIG, SCRIPTS, serving=False) as house:
        house.start(HASTY)
        account = house.account("1")
        with house.raw(account, "slow", stream=True) as wire:
            wire.until(b'"x"')  # so its hold is durable
            size = (house.data / "ftgate.sqlite3-wal").stat().st_size
            resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, (size, size))
            wire.until(b"[DONE]")
            house.process.signal(signal.SIGTERM)
            assert house.process.wait(30) == 1
        (said,) = [line for line in house.err.read_text().splitlines() if "CRITICAL" in line]
        assert "changes, 1 of them ledger entries, were not written and are lost: " in said
        house.start()  # the hold is ended, the books agree; the charge of that one call is what was lost
        assert house.verified()["open_holds"] == 0
        assert [row["kind"] for row in house.cli("ledger", "entries", "--json")] == ["expire", "hold", "grant"]


HASTY = """
import ftgate.store.writer as writer
assert (writer.LAST_TRIES_S, writer.JOIN_S) == (10.0, 5.0)
writer.LAST_TRIES_S = writer.JOIN_S = 0.5
from ftgate.cli.group import main
main()
"""
"""ftgate that at its end gives a disk that takes nothing only a second."""


def test_the_data_directory_can_be_copied_away_whole(alone: House, tmp_path: Path) -> None:
    """What a stopped server leaves is one file: a plain copy of the directory serves."""
    shutil.copytree(alone.data, tmp_path / "copy", ignore=shutil.ignore_patterns("lock"))
    os.chmod(tmp_path / "copy", 0o700)
    assert not list((tmp_path / "copy").glob("*-wal"))
    alone.data = tmp_path / "copy"
    alone.start()
    assert alone.verified()["entries"] == 3


@pytest.mark.parametrize("with_server_key", [True, False])
def test_what_holds_on_another_machine(with_server_key: bool, alone: House, tmp_path: Path) -> None:
    """As the manual's topic on backups says: all but login tokens, which need `server.key`."""
    alone.start()
    account = alone.account("2")
    alone.cli("users", "password", account.name, "--password", "-", stdin="secret-1\n")
    body = {"username": account.name, "password": "secret-1"}
    token = {"Authorization": f"Bearer {alone.http.post('/v1/auth/login', json=body).json()['token']}"}
    assert alone.http.post("/v1/auth/session", json=body).status_code == 200
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in alone.http.cookies.items())}
    alone.http.cookies.clear()
    assert alone.http.get("/v1/user/self", headers=token).status_code == 200
    alone.cli("backup", str(tmp_path / "copy.sqlite3"))
    assert alone.process.terminate() == 0
    old, alone.data = alone.data, tmp_path / "there"
    alone.cli("restore", str(tmp_path / "copy.sqlite3"))
    if with_server_key:
        shutil.copy2(old / "server.key", alone.data)
    alone.start()
    assert alone.balance(account) == 2
    assert alone.http.get("/v1/user/self", headers=token).status_code == (200 if with_server_key else 401)
    assert alone.http.get("/v1/auth/session", headers=cookie).status_code == 200
