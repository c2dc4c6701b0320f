"""Two gateways on one PostgreSQL, as their users and operators see them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from ftgate.store.database import read_only
from ftgate.store.postgres.connection import connect
from tests.blackbox.harness import HELLO, HELLO_COST, Account, House, Process, channel
from tests.postgres import Server

LIMIT = 40
CONFIG = f"""
[limits]
requests_per_second = 0
[limits.model.one]
concurrent = 1
[plan.default]
price_multiplier = 1.0
[plan.slow]
requests_per_second = {LIMIT}
{channel("lab", ["plain", "slow", "ticks", "one"])}
"""
SCRIPTS: dict[str, dict[str, object]] = {
    "slow": {"head_delay_s": 5.0},
    "one": {"content": ["tick "], "repeat": 200, "piece_delay_s": 0.1},
    "ticks": {"content": ["tick "], "repeat": 30, "piece_delay_s": 0.2},
}


class Two:
    """Gateway `a` is the House's server; `b` has a data directory of its own."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.b = self.another("b")

    def another(self, name: str) -> Process:
        process = self.house.spawn(data=self.house.base / name, name=name)
        self.url_b = process.wait_ready()
        return process

    def client(self, url: str) -> httpx.Client:
        return httpx.Client(base_url=url, trust_env=False, timeout=20)

    @property
    def both(self) -> tuple[str, str]:
        return self.house.url, self.url_b

    def ask(self, url: str, account: Account, model: str = "plain") -> httpx.Response:
        return httpx.post(
            f"{url}/v1/chat/completions", json={"model": model, "messages": HELLO}, headers=account.headers,
            timeout=20, trust_env=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Two]:
    with House(tmp_path_factory.mktemp("two"), CONFIG, SCRIPTS, way="postgres") as house:
        town = Two(house)
        try:
            yield town
        finally:
            assert town.b.terminate() == 0


def test_calls_at_both_are_paid_from_one_balance(two: Two) -> None:
    account = two.house.account("1")
    balances = []
    for url in two.both * 3:
        answer = two.ask(url, account)
        assert answer.status_code == 200, answer.text
        balances.append(Decimal(answer.headers["x-findtoken-balance"]))
    assert balances == [1 - HELLO_COST * n for n in range(1, 7)]


def test_many_at_once_at_both_never_pass_what_there_is(two: Two) -> None:
    account = two.house.account("0.002")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: two.ask(two.both[n % 2], account), range(60)))
    statuses = {answer.status_code for answer in answers}
    paid = sum(Decimal(a.headers["x-findtoken-cost"]) for a in answers if a.status_code == 200)
    assert statuses <= {200, 402}
    with closing(read_only(two.house.source)) as connection:
        (posted,) = connection.execute(
            "SELECT posted FROM balances WHERE account = (SELECT id FROM users WHERE username = ?)", (account.name,)
        ).fetchone()
    assert posted == (Decimal("0.002") - paid) * 10**12 and posted >= 0


def test_a_key_is_known_and_gone_at_both_at_once(two: Two) -> None:
    account = two.house.account("1")
    assert two.ask(two.url_b, account).status_code == 200  # made at `a` just now
    (key,) = two.house.cli("keys", "list", "--user", account.name, "--json")
    two.house.cli("keys", "disable", key["id"])
    answer = two.ask(two.url_b, account)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_disabled")


def test_who_signs_in_at_one_is_signed_in_at_the_other(two: Two) -> None:
    two.house.cli("users", "create", "ann", "--password", "-", stdin="long enough 1\n")
    with two.client(two.house.url) as a, two.client(two.url_b) as b:
        token = a.post("/v1/auth/login", json={"username": "ann", "password": "long enough 1"}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert b.get("/v1/user/self", headers=headers).json()["username"] == "ann"
        assert b.post("/v1/auth/logout", headers=headers).status_code in (200, 204)
        assert a.get("/v1/user/self", headers=headers).status_code == 401


def test_credits_given_at_one_count_at_the_other(two: Two) -> None:
    account = two.house.account("0")
    assert two.ask(two.url_b, account).status_code == 402
    two.house.cli("credit", "grant", account.name, "1")
    assert two.ask(two.url_b, account).status_code == 200


def test_in_no_second_more_calls_than_the_limit(two: Two) -> None:
    account = two.house.account("1")
    two.house.cli("users", "set", account.name, "--plan", "slow")
    until = time.monotonic() + 3
    statuses: list[int] = []

    def offer(url: str) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while time.monotonic() < until:
                answer = client.post(
                    f"{url}/v1/chat/completions", json={"model": "plain", "messages": HELLO}, headers=account.headers
                )
                statuses.append(answer.status_code)

    threads = [threading.Thread(target=offer, args=(url,)) for url in two.both * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 429}
    with closing(read_only(two.house.source)) as connection:
        (id,) = connection.execute("SELECT id FROM users WHERE username = ?", (account.name,)).fetchone()
        times = [at for (at,) in connection.execute(
            "SELECT at_us FROM entries WHERE account = ? AND kind = 'hold' ORDER BY id", (id,)
        )]  # fmt: skip
    most = max(sum(1 for other in times if at <= other < at + 1_000_000) for at in times)
    assert most <= LIMIT, most


def test_a_model_that_takes_one_call_takes_one_of_both(two: Two) -> None:
    account = two.house.account("1")
    asked = {"model": "one", "messages": HELLO, "stream": True}
    with two.client(two.house.url) as a:
        with a.stream("POST", "/v1/chat/completions", json=asked, headers=account.headers) as stream:
            lines = stream.iter_lines()  # kept: what is left of an iterator closes the stream
            next(lines)
            refused = two.ask(two.url_b, account, "one")
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded"), refused.text
            assert two.ask(two.url_b, account).status_code == 200  # another model's
    # It was left: the other hears of it.
    with two.client(two.url_b) as b:

        def answers() -> bool:
            with b.stream("POST", "/v1/chat/completions", json=asked, headers=account.headers) as stream:
                return stream.status_code == 200

        two.house.wait_for(answers, "the model is still taken")


def test_one_that_is_killed_leaves_the_other_and_no_hold(two: Two) -> None:
    account = two.house.account("1")
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(two.ask, two.url_b, account, "slow")
        two.house.wait_for(lambda: two.house.fake.requests("slow"), "the call did not go up")
        two.b.kill()
        assert isinstance(cut.exception(20), httpx.HTTPError)
    assert two.ask(two.house.url, account).status_code == 200
    two.b = two.another("b")  # its start ends what it left
    two.house.wait_for(lambda: two.house.verified()["open_holds"] == 0, "a hold is open")
    assert two.ask(two.url_b, account).status_code == 200


def test_a_copied_directory_stops_the_one_it_was_copied_from(two: Two, tmp_path: Path) -> None:
    copied = two.house.base / "copied"
    copied.mkdir()
    (copied / "gateway").write_text((two.house.base / "b" / "gateway").read_text())
    other = two.house.spawn(data=copied, name="copied")
    other.wait_ready()
    assert two.b.wait(10) == 1
    assert "declared this one dead" in two.b.err.read_text()
    assert other.terminate() == 0
    two.b = two.another("b")


def test_a_database_that_takes_nothing_refuses_calls_and_lets_streams_go_on(two: Two) -> None:
    account = two.house.account("1")
    with ThreadPoolExecutor(1) as pool, closing(connect(two.house.source, readonly=False)) as other:  # type: ignore[arg-type]
        assert all(two.ask(url, account).status_code == 200 for url in two.both)
        stream = pool.submit(two.house.chat, account, "ticks", stream=True)
        two.house.wait_for(lambda: two.house.fake.requests("ticks"), "the stream did not go up")
        other.execute("BEGIN")
        other.execute("SELECT seq FROM head WHERE id = 1 FOR UPDATE")
        for url in two.both:
            answer = two.ask(url, account)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_busy"), answer.text
            assert int(answer.headers["retry-after"]) >= 1
        two.house.wait_for(lambda: two.house.http.get("/readyz").status_code == 503, "it is called ready")
        ended = stream.result(20)
        assert ended.status_code == 200 and ended.text.count("tick ") == 30 and "[DONE]" in ended.text
        other.execute("COMMIT")
    two.house.wait_for(lambda: two.house.http.get("/readyz").status_code == 200, "it is not ready again")
    assert two.ask(two.url_b, account).status_code == 200
    two.house.wait_for(lambda: two.house.verified()["open_holds"] == 0, "the stream was not settled")
    (row,) = two.house.http.get(
        "/v1/user/logs", params={"model": "ticks"}, headers=account.headers
    ).json()["data"]  # fmt: skip
    assert row["status"] == "ok" and Decimal(str(row["cost"])) > 0
