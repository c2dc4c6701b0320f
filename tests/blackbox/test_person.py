"""What a person may ask for: all that is kept of it, and to be forgotten. The proof of the second is to look into every
byte of the data directory."""

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import Account, House, channel, error
from tests.blackbox.test_accounts import ADDRESSES, Person, admin

CONFIG = (
    channel("lab", ["plain", "slow"])
    + '[server]\nregistration = "open"\ntrusted_proxies = ["127.0.0.1", "::1"]\n'
    + "[billing]\nsignup_credits = 5\n"
)
SCRIPTS: dict[str, dict[str, Any]] = {"slow": {"content": ["x"] * 400, "piece_delay_s": 0.1}}
NAME, EMAIL, SHOWN, KEY = "ZaphodB42", "zaphod@betelgeuse.example", "Zaphod Beeblebrox", "heart of gold"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("person"), CONFIG, SCRIPTS) as house:
        yield house


@pytest.fixture
def zaphod(house: House) -> Iterator[Person]:
    """Somebody who has left traces wherever one can."""
    person = Person(house, next(ADDRESSES))
    person.sign_up(NAME, email=f"first-{EMAIL}")
    person.said("PUT", "/v1/user/self", {"name": SHOWN, "email": EMAIL})
    key, secret = person.key(name=KEY, allowedIps=["10.9.8.7"])
    person.said("PUT", f"/v1/tokens/{key['id']}", {"allowedIps": []})
    assert person.call(secret).status_code == 200
    house.cli("credit", "grant", NAME, "0.5", "--note", f"for {NAME}, as agreed", "--json")
    operator = admin(house, f"op{next(ADDRESSES).replace('.', '-')}")
    id = next(row["id"] for row in operator.said("GET", f"/v1/admin/users?q={NAME}")["data"])
    operator.said("PATCH", f"/v1/admin/users/{id}", {"name": f"{SHOWN} II"})
    assert house.row(Account(NAME, secret))["status"] == "ok"
    person.secret = secret  # type: ignore[attr-defined]
    yield person


def traces(house: House, address: str = EMAIL) -> list[str]:
    """Which of a person's words stand in which file of the data directory, however they are written."""
    found = []
    for place in house.data.rglob("*"):
        content = place.read_bytes().lower() if place.is_file() else b""
        words = (NAME, EMAIL, SHOWN, KEY, "betelgeuse", "10.9.8.7", address)
        found += [f"{word} in {place.name}" for word in words if word.lower().encode() in content]
    return found


def test_all_that_is_kept_and_none_of_it_a_secret(house: House, zaphod: Person, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    said = house.cli("export-user", NAME.lower(), "--to", str(file), "--json")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert said["lines"] == len(rows) and file.stat().st_mode & 0o777 == 0o600
    kinds = Counter(row["what"] for row in rows)
    assert kinds["account"] == kinds["balance"] == kinds["key"] == kinds["request"] == kinds["login"] == 1, kinds
    assert kinds["entry"] == 4 and kinds["audit"] >= 5  # two grants, a hold, a post
    (account,) = [row for row in rows if row["what"] == "account"]
    assert (account["username"], account["email"], account["display_name"]) == (NAME, EMAIL, f"{SHOWN} II")
    (request,) = [row for row in rows if row["what"] == "request"]
    assert request["cost"] == "0.00001" and request["model"] == "plain" and request["created_at"].startswith("20")
    whole = file.read_text()
    assert zaphod.secret not in whole and f"{NAME}-pass" not in whole and not re.search(r'"(hash|password)"', whole)  # type: ignore[attr-defined]
    assert "is there already" in house.cli("export-user", NAME, "--to", str(file), code=1)[1]
    assert "no user named 'nobody'" in house.cli("export-user", "nobody", "--to", str(tmp_path / "x"), code=1)[1]
    house.cli("forget-user", NAME, "--yes", "--json")


def test_an_operator_s_own_lines_hold_nothing_of_others(house: House, zaphod: Person, tmp_path: Path) -> None:
    """And a person's hold nothing of the operator who changed something."""
    name = f"op{next(ADDRESSES).replace('.', '-')}"
    operator = admin(house, name)
    (row,) = operator.said("GET", f"/v1/admin/users?q={NAME}")["data"]
    operator.said("PATCH", f"/v1/admin/users/{row['id']}", {"name": f"{SHOWN} III"})
    for who in (name, NAME):
        house.cli("export-user", who, "--to", str(tmp_path / who), "--json")
    acts = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    (act,) = [act for act in acts if act["what"] == "audit" and act["target"] == f"user:{row['id']}"]
    assert act["action"] == "user.update" and act["at"] and act["before"] is act["after"] is None
    assert act["address"] == operator.address
    whole = (tmp_path / name).read_text().lower()
    assert not [word for word in (NAME, EMAIL, SHOWN) if word.lower() in whole]
    theirs = (tmp_path / NAME).read_text()
    assert f"{SHOWN} III" in theirs and zaphod.address in theirs and f'"{operator.address}"' not in theirs
    house.cli("forget-user", NAME, "--yes", "--json")


def test_an_export_that_fails_leaves_nothing(house: House, zaphod: Person, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"

    def broken(path: Path, account: int) -> Iterator[bytes]:
        yield b"{}"
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftgate.cli.person.all_of", broken)
        assert "disk I/O error" in house.cli("export-user", NAME, "--to", str(file), code=1)[1]
    assert list(tmp_path.iterdir()) == []
    assert house.cli("export-user", NAME, "--to", str(file), "--json")["lines"] > 5
    assert list(tmp_path.iterdir()) == [file]
    house.cli("forget-user", NAME, "--yes", "--json")


def test_nothing_tells_who_it_was(house: House, zaphod: Person) -> None:
    before, stats = house.verified(), house.cli("stats", "--json")
    assert len(traces(house, zaphod.address)) >= 5
    refused = house.cli("forget-user", NAME, code=1)[1]
    assert "give --yes" in refused and len(traces(house)) >= 5
    said = house.cli("forget-user", NAME, "--yes", "--json")
    assert said["compacted"] and said["copies"] == [] and said["balance"] == "5.49999"
    assert traces(house, zaphod.address) == []
    after = house.verified()
    assert {**after, "accounts": 0} == {**before, "accounts": 0} and house.cli("stats", "--json") == stats
    error(zaphod.call(zaphod.secret), 401, "invalid_api_key")  # type: ignore[attr-defined]
    assert zaphod.ask("GET", "/v1/user/self").status_code == 401
    assert zaphod.login(NAME, f"{NAME}-pass").status_code == 401
    rows = house.cli("audit", "--json")
    assert any(row["action"] == "user.forget" for row in (rows["data"] if isinstance(rows, dict) else rows))
    assert "no user named" in house.cli("forget-user", NAME, "--yes", code=1)[1]
    assert said["username"] in [user["username"] for user in house.cli("users", "list", "--json")]
    assert Person(house, next(ADDRESSES)).sign_up(NAME)  # another person may have the name
    house.cli("forget-user", NAME, "--yes", "--json")


def test_after_a_restart_it_is_as_forgotten(house: House, zaphod: Person) -> None:
    """By a server that was killed, too; and where no server runs."""
    house.cli("backup", str(house.base / "copies" / "a"), "--json")
    said = house.cli("forget-user", NAME, "--yes", "--json")
    house.kill()
    house.start()
    assert traces(house) == [] and house.verified()["ok"]
    assert house.cli("users", "list", "--json")[-2]["username"] == said["username"]
    Person(house, next(ADDRESSES)).sign_up(NAME, email=EMAIL)
    assert house.process.terminate() == 0
    os.makedirs(house.data / "backups")
    house.cli("backup", str(house.data / "backups" / "b.sqlite3"))
    said = house.cli("forget-user", NAME, "--yes", "--json")
    assert said["compacted"] and [Path(copy).name for copy in said["copies"]] == ["b.sqlite3"]
    (house.data / "backups" / "b.sqlite3").unlink()
    assert traces(house) == []
    assert house.cli("forget-user", "--compact", "--json") == {"compacted": True, "why": None}
    house.start()


def test_what_is_not_done_by_the_way(house: House) -> None:
    """Calls that run, credits, and the last operator."""
    account = house.account("1")
    with house.raw(account, "slow", stream=True) as wire:
        wire.until(b'"x"')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ftgate.cli.person._confirm", lambda name: None)
            said = house.cli("forget-user", account.name, code=1)[1]
        assert f"{account.name} has calls that run and has a balance of $1.00" in said and "--yes does it" in said
        done = house.cli("forget-user", account.name, "--yes", "--json")
    house.wait_for(lambda: house.verified()["open_holds"] == 0, "the call has not ended")
    entries = house.cli("ledger", "entries", "--limit", "3", "--json")
    assert entries[0]["kind"] == "post" and entries[0]["user"] == done["username"]
    operators = [user["username"] for user in house.cli("users", "list", "--json") if user["role"] == "admin"]
    for name in operators[:-1]:
        house.cli("forget-user", name, "--yes", "--json")
    assert "is the last active operator" in house.cli("forget-user", operators[-1], "--yes", code=1)[1]
    assert "give --compact" in house.cli("forget-user", code=2)[1]
