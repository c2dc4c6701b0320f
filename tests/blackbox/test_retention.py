"""Request rows that are too old go beside calls, also through kill -9; what they came to stays."""

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import Account, House, channel, error
from tests.blackbox.test_reload import rewrite

CONFIG = "[limits]\nrequests_per_second = 0\n" + channel("lab", {"plain": {}})
THREE_DAYS = CONFIG + "[server]\nretention_days = 3\n"
DAY_US = 86_400_000_000
SEEDED = ["bench", "seed", "--requests", "1500", "--users", "2", "--days", "9", "--rand", "7", "--json"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, CONFIG, serving=False, way="") as house:
        yield house


def owner(house: House) -> dict[str, str]:
    """The head of an operator's request."""
    house.cli("users", "create", "root", "--admin", "--password", "-", stdin="operator-pass\n")
    login = house.http.post("/v1/auth/login", json={"username": "root", "password": "operator-pass"})
    return {"Authorization": f"Bearer {login.json()['token']}"}


def read(house: House, sql: str) -> list[Any]:
    with closing(sqlite3.connect(house.data / "ftgate.sqlite3")) as connection:
        return connection.execute(sql).fetchall()


def times(house: House) -> dict[str, int]:
    return dict(read(house, "SELECT request_id, created_at_us FROM requests"))


def known(house: House, users: list[Account]) -> list[object]:
    """What pruning must not change, as people and commands are shown it."""
    said: list[object] = [house.cli("stats", "--json"), house.cli("ledger", "entries", "--limit", "9", "--json")]
    for user in users:
        stats = house.get("/v1/user/stats", user, period="30d")
        said += [{name: stats[name] for name in stats if name not in {"from", "to"}}, house.balance(user)]
        said.append(house.get("/v1/user/balance", user))
    return said


def pages(house: House, user: Account, **query: Any) -> tuple[list[str], int]:
    """All ids by cursors, and the total of the last page."""
    found: list[str] = []
    page = house.get("/v1/user/logs", user, page_size=50, **query)
    while True:
        found += [row["request_id"] for row in page["data"]]
        if page["next"] is None:
            return found, page["total"]
        page = house.get("/v1/user/logs", user, page_size=50, cursor=page["next"], **query)


def test_old_rows_go_and_what_they_came_to_stays(house: House) -> None:
    made = house.cli(*SEEDED)
    users = [Account(user["username"], user["key"]) for user in made["users"]]
    house.start()
    root = owner(house)
    assert house.chat(users[0]).status_code == 200
    before, all_times = known(house, users), times(house)
    assert len(all_times) == 1501
    rewrite(house, THREE_DAYS)
    assert "server.retention_days" in house.cli("reload", "--json")["changed"]
    border = time.time() * 1_000_000 - 3 * DAY_US
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:  # one reads on from page to page meanwhile
        page = house.get("/v1/user/logs", users[0], page_size=20, **cursor)
        listed += [row["request_id"] for row in page["data"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    house.wait_for(lambda: min(times(house).values()) > border - 5_000_000, "old rows are still there", 30)
    left = times(house)
    assert left == {id: at for id, at in all_times.items() if id in left}
    assert all(id in left for id, at in all_times.items() if at > border + 20_000_000)
    assert known(house, users) == before
    assert len(listed) == len(set(listed)) and set(listed) <= all_times.keys()
    said = house.verified()
    assert (said["requests"], said["pruned"]) == (len(left), 1501 - len(left))
    for user in users:
        for query in ({}, {"from": "2020-01-01"}, {"model": "seed-large"}, {"status": "ok", "from": "2020-01-01"}):
            ids, total = pages(house, user, **query)
            assert len(ids) == len(set(ids)) == total and set(ids) <= left.keys()
    gone = random.Random(1).sample(sorted(all_times.keys() - left.keys()), 3)
    for id in gone:
        answer = house.http.get(f"/v1/admin/requests/{id}", headers=root)
        error(answer, 404, "not_found")
        assert "3 days" in answer.json()["error"]["message"]
        assert house.get("/v1/user/logs", users[0], request_id=id)["data"] == []
    assert house.chat(users[0]).status_code == 200
    assert house.balance(users[0]) == Decimal(str(before[3])) - Decimal("0.00001")


def test_killed_amid_it(house: House) -> None:
    """At each place of a commit in turn; the start after the last finishes it."""
    made = house.cli(*SEEDED)
    users = [Account(user["username"], user["key"]) for user in made["users"]]
    house.start()
    before = known(house, users)
    house.process.terminate()
    rewrite(house, THREE_DAYS)
    left = 1500
    for place in ("commit_begun", "commit_written", "committed"):
        house.failpoint = f"{place}=kill:7"
        house.start()
        assert house.process.wait(20) == -9
        assert house.verified()["pruned"] == 1500 - len(times(house))
        assert len(times(house)) < left
        left = len(times(house))
    house.failpoint = None
    house.start()
    border = time.time() * 1_000_000 - 3 * DAY_US
    house.wait_for(lambda: min(times(house).values()) > border - 5_000_000, "old rows are still there", 30)
    assert known(house, users) == before
