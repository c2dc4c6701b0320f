"""A PostgreSQL that stands still, or is gone, while calls, a stream, a login and changes are at work: what each is
told, and that all of it is right afterwards. How soon they are told is on the mock clock (tests/line, tests/accounts).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests import postgres as servers
from tests.blackbox.harness import HELLO, Account, House, channel

CONFIG = channel("lab", ["plain", "ticks", "late"])
SCRIPTS: dict[str, dict[str, object]] = {
    "ticks": {"content": ["tick "], "repeat": 30, "piece_delay_s": 0.1},
    "late": {"head_delay_s": 0.5},
}
PASSWORD = "long enough 1"
NOTHING = "the database takes no changes now, and nothing was changed: try again"


class Town:
    """A house on a server of its own, which can be stopped."""

    def __init__(self, house: House, server: servers.Own) -> None:
        self.house = house
        self.server = server
        self.account = house.account("1")
        house.cli("users", "create", "ann", "--password", "-", stdin=PASSWORD + "\n")
        self.token = {"Authorization": f"Bearer {self.login().json()['token']}"}

    def login(self) -> httpx.Response:
        return self.house.http.post("/v1/auth/login", json={"username": "ann", "password": PASSWORD})

    def new_key(self) -> httpx.Response:
        return self.house.http.post("/v1/tokens", json={"name": "k"}, headers=self.token)

    def read(self) -> httpx.Response:
        return self.house.http.get("/v1/user/logs", headers=self.account.headers)

    def command(self, *words: str) -> str:
        """The one sentence of a command that fails."""
        return str(self.house.cli(*words, code=1, process=True)[1])


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    pytest.importorskip("psycopg")
    base = tmp_path_factory.mktemp("away")
    with servers.own(base) as server, House(base / "house", CONFIG, SCRIPTS, way="postgres") as house:
        yield Town(house, server)


def asked(town: Town, account: Account, model: str, *, stream: bool = False) -> httpx.Response:
    body = {"model": model, "messages": HELLO, "stream": stream}
    return town.house.http.post("/v1/chat/completions", json=body, headers=account.headers)


@pytest.mark.parametrize("how", ["frozen", "gone"])
def test_each_is_told_and_all_is_right_afterwards(town: Town, how: str) -> None:
    house, account = town.house, town.account
    before = {model: len(house.fake.requests(model)) for model in SCRIPTS}
    with ThreadPoolExecutor(12) as pool:
        under_way = {
            model: pool.submit(asked, town, account, model, stream=model == "ticks") for model in SCRIPTS
        }  # fmt: skip
        for model, many in before.items():
            house.wait_for(lambda m=model, n=many: len(house.fake.requests(m)) > n, f"{model} did not go up")
        with town.server.frozen() if how == "frozen" else town.server.gone():
            calls = [pool.submit(asked, town, account, "plain") for _ in range(3)]
            changes = [pool.submit(ask) for ask in (town.login, town.new_key)]
            reading = pool.submit(town.read)
            grant = pool.submit(town.command, "credit", "grant", account.name, "1", "--ref", how)
            unknown = pool.submit(asked, town, Account("nobody", "sk-ft_" + "x" * 43), "plain")
            for answer in [one.result() for one in (*calls, *changes, reading, unknown)]:
                assert (answer.status_code, code(answer)) == (503, "database_busy"), answer.text
                assert answer.headers["retry-after"] == "2"
                assert "127.0.0.1" not in answer.text
            assert {words(one.result()) for one in changes} == {NOTHING}
            assert grant.result() == f"Error: {NOTHING}\n"
            house.wait_for(lambda: house.http.get("/readyz").status_code == 503, "it is called ready")
            assert "127.0.0.1" not in house.http.get("/readyz").text
            assert house.http.get("/login").status_code == 200
            assert "cannot be read: PostgreSQL: " in town.command("ledger", "entries")
            answers = {model: one.result() for model, one in under_way.items()}
        house.wait_for(lambda: house.http.get("/readyz").status_code == 200, "it is not ready again")
        assert answers["late"].status_code == 200 and "x-findtoken-cost" not in answers["late"].headers
        assert answers["ticks"].text.count("tick ") == 30 and "[DONE]" in answers["ticks"].text
        house.wait_for(lambda: house.verified()["open_holds"] == 0, "a hold is open")
    rows = {row["request_id"]: row for row in house.rows(account)}
    for answer in answers.values():
        row = rows[answer.headers["x-request-id"]]
        assert row["status"] == "ok" and Decimal(row["cost"]) > 0
    refused = [rows.get(one.result().headers["x-request-id"]) for one in calls]
    assert {(row["status"], Decimal(row["cost"])) for row in refused if row is not None} <= {("refused", Decimal(0))}
    assert asked(town, account, "plain").status_code == town.login().status_code == 200
    assert len(house.cli("keys", "list", "--user", "ann", "--json")) == 0
    assert how not in {entry["ref"] for entry in house.cli("ledger", "entries", "--user", account.name, "--json")}


def code(answer: httpx.Response) -> Any:
    return answer.json()["error"]["code"]


def words(answer: httpx.Response) -> Any:
    return answer.json()["error"]["message"]
