"""Calls that are made in the dashboard: they go through the same gate as all others, stop when their page is left, and
go by a key that nobody can show."""

import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.blackbox.harness import HELLO, HELLO_COST, HELLO_PROMPT, House, Raw, channel, error
from tests.patience import AT_ONCE_S

SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "endless": {"content": ["tick "], "repeat": 100_000, "piece_delay_s": 0.02},
    "waits": {"head_delay_s": 60},
    "waits-too": {"first_delay_s": 60},
}
CONFIG = "[limits]\nrequests_per_second = 0\n" + channel("lab", [*SCRIPTS])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("playground"), CONFIG, SCRIPTS) as house:
        yield house


class Browser:
    """A new account with a dollar, signed in."""

    def __init__(self, house: House) -> None:
        house.count += 1
        self.house, self.name = house, f"player{house.count}"
        house.cli("users", "create", self.name, "--credits", "1", "--password", "-", stdin="a-password\n")
        said = self._ask("POST", "/v1/auth/session", json={"username": self.name, "password": "a-password"})
        self.cookie = said.headers["set-cookie"].partition(";")[0]
        self.proof: str = said.json()["csrfToken"]

    def _ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        self.house.http.cookies.clear()
        return self.house.http.request(method, path, **said)

    def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        headers = {"Cookie": self.cookie, **({} if method == "GET" else {"X-CSRF-Token": self.proof})}
        return self._ask(method, path, headers=headers, **said)

    def call(self, model: str, **fields: Any) -> httpx.Response:
        return self.ask("POST", "/playground/call", json={"model": model, "messages": HELLO, **fields})

    def form(self, **texts: str) -> httpx.Response:
        return self.ask("POST", "/playground", data={"csrf_token": self.proof, **texts})

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/user/logs").json()["data"]
        return found

    def keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/tokens").json()["data"]
        return found

    def balance(self) -> Decimal:
        return Decimal(json.loads(self.ask("GET", "/v1/user/balance").text, parse_float=Decimal)["credits"])

    def raw(self, path: str, body: bytes, kind: str) -> Raw:
        """The same by bytes, to leave when one likes."""
        wire = Raw(self.house.address)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: {self.cookie}\r\nX-CSRF-Token: {self.proof}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        wire.send(head.encode() + body)
        return wire


@pytest.fixture
def browser(house: House) -> Browser:
    return Browser(house)


def left_at(wire: Raw, how: str) -> float:
    if how == "half-close":
        wire.socket.shutdown(socket.SHUT_WR)
        return time.monotonic()
    return wire.close()


def assert_stopped(house: House, model: str, number: int, at: float) -> None:
    """The upstream's connection was closed at once."""

    def closed() -> Any:
        return house.fake.requests(model)[number]["connection"]["closed_by_peer_at"]

    assert float(house.wait_for(closed, "the upstream goes on")) - at < AT_ONCE_S


@pytest.mark.parametrize("how", ["close", "half-close"])
def test_who_stops_a_stream_stops_the_upstream_and_pays_for_what_came(house: House, browser: Browser, how: str) -> None:
    number = len(house.fake.requests("endless"))
    body = json.dumps({"model": "endless", "messages": HELLO, "stream": True}).encode()
    with browser.raw("/playground/call", body, "application/json") as wire:
        wire.until(b"tick", times=3)
        assert_stopped(house, "endless", number, left_at(wire, how))
    row = house.wait_for(browser.rows, "the call is not written down")[0]
    assert (row["status"], row["key_name"], row["stream"]) == ("client_gone", "playground", True)
    sent = house.fake.requests("endless")[number]["pieces_sent"]
    assert sent / 2 <= row["completion_tokens"] <= sent * 2
    cost = row["prompt_tokens"] * Decimal("0.000001") + row["completion_tokens"] * Decimal("0.000002")
    assert Decimal(row["cost"]) == cost
    assert browser.balance() == 1 - cost
    house.settle_down()


@pytest.mark.parametrize("beside", ["", "waits-too"])
def test_who_leaves_a_form_stops_the_upstreams_too(house: House, browser: Browser, beside: str) -> None:
    models = ["waits", *([beside] if beside else [])]
    numbers = {model: len(house.fake.requests(model)) for model in models}
    said = {"csrf_token": browser.proof, "model": "waits", "beside": beside, "message": "Hello"}
    with browser.raw("/playground", urlencode(said).encode(), "application/x-www-form-urlencoded") as wire:
        for model in models:
            house.wait_for(
                lambda model=model: len(house.fake.requests(model)) > numbers[model], "the upstream was not called"
            )
        at = wire.close()
        for model in models:
            assert_stopped(house, model, numbers[model], at)
    rows = house.wait_for(lambda: len(found := browser.rows()) == len(models) and found, "the calls are not there")
    assert {row["status"] for row in rows} == {"client_gone"}
    assert {row["model"] for row in rows} == set(models)
    assert browser.balance() == 1 - sum(Decimal(row["cost"]) for row in rows) < 1
    house.settle_down()


def test_a_whole_answer_and_a_stream(browser: Browser) -> None:
    answer = browser.call("plain")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json()["usage"]["prompt_tokens"] == HELLO_PROMPT
    assert Decimal(answer.headers["x-findtoken-cost"]) == HELLO_COST
    assert [row["request_id"] for row in browser.rows()] == [answer.headers["x-request-id"]]
    streamed = browser.call("plain", stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.rstrip().endswith("data: [DONE]")
    assert "x-findtoken-cost=0.00001" in streamed.text
    assert browser.balance() == 1 - 2 * HELLO_COST


def test_without_a_script_a_page_comes_back(browser: Browser) -> None:
    page = browser.form(model="plain", beside="plain", message="Hello").text
    assert page.count('aria-label="Answer of plain"') == 2
    rows = browser.rows()
    assert len(rows) == 2
    for row in rows:
        assert f'href="/logs/{row["request_id"]}"' in page
    assert page.count("$0.00<span") == 2
    assert browser.balance() == 1 - 2 * HELLO_COST


def test_the_playground_s_key_is_nobody_s_to_use(house: House, browser: Browser) -> None:
    assert browser.keys() == []
    browser.call("plain")
    browser.call("plain")
    (key,) = browser.keys()
    assert (key["name"], key["keyPrefix"], key["status"]) == ("playground", "playground", "active")
    for guess in ("playground", key["id"], "sk-ft_playground", "no text hashes to this: \x00"):
        answer = house.http.post(
            "/v1/chat/completions",
            json={"model": "plain", "messages": HELLO},
            headers={"Authorization": f"Bearer {guess}".encode("latin1").replace(b"\0", b"0")},
        )
        error(answer, 401, "invalid_api_key")


def test_the_playground_s_key_is_limited_switched_off_and_made_anew(browser: Browser) -> None:
    browser.call("plain")
    (key,) = browser.keys()
    path = f"/v1/tokens/{key['id']}"
    assert browser.ask("PATCH", path, json={"models": ["endless"]}).status_code == 200
    error(browser.call("plain"), 403, "model_not_allowed", "model")
    assert browser.ask("PATCH", path, json={"models": [], "allowed_ips": ["10.9.9.9"]}).status_code == 200
    refused = browser.call("plain")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ip_not_allowed")
    assert browser.ask("PATCH", path, json={"status": "disabled"}).status_code == 200
    error(browser.call("plain"), 403, "key_disabled")
    refused = browser.form(model="plain", message="Hello")
    assert refused.status_code == 403
    assert "The key of the playground is disabled" in refused.text
    assert browser.ask("DELETE", path).status_code == 200
    assert browser.call("plain").status_code == 200
    (anew,) = browser.keys()
    assert (anew["id"] != key["id"], anew["status"], anew["name"]) == (True, "active", "playground")


def test_the_gate_refuses_as_it_always_does(browser: Browser) -> None:
    error(browser.call("nothing"), 400, "model_not_found", "model")
    error(browser.call("plain", max_tokens=-1), 400, "invalid_value", "max_tokens")
    error(browser.ask("POST", "/playground/call", content=b"{"), 400, "invalid_json")
    url = f"{browser.house.url}/playground/call"
    for shown, status in (({"Cookie": browser.cookie}, 403), ({}, 403), ({"X-CSRF-Token": browser.proof}, 303)):
        assert httpx.post(url, json={}, headers=shown, trust_env=False).status_code == status
    assert browser.rows() == [] or {row["status"] for row in browser.rows()} == {"refused"}
