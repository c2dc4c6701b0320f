"""What an operator sees and does of a running gateway over HTTP: calls in flight, channels, the config."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.blackbox.harness import PROVIDER_KEY, House, channel, error

CONFIG = channel("lab", ["plain", "endless", "no-head"]) + channel("claude", ["words"], provider="anthropic-compatible")
SCRIPTS: dict[str, Any] = {
    "plain": {"content": ["Hi"]},
    "endless": {"content": ["one ", "two "], "hang_after": 2},
    "no-head": {"head_delay_s": 600},
    "words": {"content": ["one ", "two "], "hang_after": 2},
}
ENDED = b"the operator ended this call"


class Operator:
    """Somebody with the role admin, signed in."""

    def __init__(self, house: House, name: str = "root1") -> None:
        self.house = house
        house.cli("users", "create", name, "--admin", "--password", "-", stdin="operator-pass\n")
        said = house.http.post("/v1/auth/login", json={"username": name, "password": "operator-pass"})
        self.token: str = said.json()["token"]

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.house.http.request(method, f"/v1/admin{path}", json=body, headers=headers)

    def said(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def audited(self, action: str) -> list[dict[str, Any]]:
        with sqlite3.connect(f"file:{self.house.data}/ftgate.sqlite3?mode=ro", uri=True) as there:
            there.row_factory = sqlite3.Row
            rows = there.execute("SELECT * FROM audit WHERE action = ? ORDER BY id", (action,)).fetchall()
        return [dict(row) for row in rows]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("operator"), CONFIG, SCRIPTS) as house:
        yield house


@pytest.fixture(scope="module")
def root(house: House) -> Operator:
    return Operator(house)


# Calls in flight


@pytest.mark.parametrize("model", ["endless", "words"])
@pytest.mark.parametrize(
    ("path", "fields", "whole"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}, b"[DONE]"),
        (
            "/v1/messages",
            {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 99},
            b"event: message_stop",
        ),
        ("/v1/responses", {"input": "Hello"}, b"response.completed"),
    ],
)
def test_a_stream_is_ended(
    house: House, root: Operator, path: str, fields: dict[str, Any], whole: bytes, model: str
) -> None:
    account = house.account("1")
    body = {"model": model, "stream": True, **fields}
    with house.http.stream("POST", path, json=body, headers=account.headers) as answer:
        id, came = answer.headers["x-request-id"], b""
        pieces = answer.iter_raw()
        while b"two " not in came:
            came += next(pieces)
        (seen,) = root.said("GET", "/calls")["data"]
        assert (seen["request_id"], seen["state"], seen["model"], seen["stream"]) == (id, "streaming", model, True)
        assert seen["channel"] == ("lab" if model == "endless" else "claude") and seen["completion_tokens"] >= 2
        assert seen["user"] == house.user(account)["id"] and float(seen["held"]) > 0 and seen["age_ms"] >= 0
        assert root.said("DELETE", f"/calls/{id}") == {"request_id": id, "stopped": True}
        came += b"".join(pieces)
    assert ENDED in came and whole not in came
    row = house.row(account, id)
    assert (row["status"], row["estimated"]) == ("operator", True) and row["completion_tokens"] >= 2
    assert float(row["cost"]) > 0
    error(root.ask("DELETE", f"/calls/{id}"), 404, "not_found")
    house.wait_for(lambda: not open_requests(house, model), "the upstream is still open")
    assert [row["actor_name"] for row in root.audited("call.stop") if row["target"] == id] == ["root1"]


def open_requests(house: House, model: str) -> list[Any]:
    return [seen for seen in house.fake.requests(model) if not seen["connection"]["closed_by_peer_at"]]


def test_before_the_head_it_is_refused(house: House, root: Operator) -> None:
    account = house.account("1")
    with house.raw(account, "no-head") as wire:
        (seen,) = house.wait_for(lambda: root.said("GET", "/calls")["data"], "no call is in flight")
        assert (seen["state"], seen["completion_tokens"], seen["stream"]) == ("waiting", 0, False)
        root.said("POST", f"/calls/{seen['request_id']}/stop")
        said = wire.until(b"}}")
    assert b" 503 " in said.partition(b"\r\n")[0] and b'"code":"stopped"' in said and b'"type":"api_error"' in said
    row = house.row(account, seen["request_id"])
    assert (row["status"], row["http_status"], row["error_code"]) == ("operator", 503, "stopped")
    assert row["cost"] == "0" and house.balance(account) == 1
    assert root.said("GET", "/calls") == {"data": []}


def test_only_the_one_that_is_named(house: House, root: Operator) -> None:
    account = house.account("1")
    with house.raw(account, "endless", stream=True) as one, house.raw(account, "endless", stream=True) as other:
        for wire in (one, other):
            wire.until(b"two ")
        first, second = (call["request_id"] for call in root.said("GET", "/calls")["data"])
        root.said("DELETE", f"/calls/{first}")
        (left,) = root.said("GET", "/calls")["data"]
        assert left["request_id"] == second
        root.said("DELETE", f"/calls/{second}")
        assert ENDED in one.until(ENDED) and ENDED in other.until(ENDED)


# Channels


def rows_of(house: House) -> dict[str, Any]:
    return {row["name"]: row for row in house.cli("channels", "list", "--json")}


def test_a_channel_is_seen_and_switched(house: House, root: Operator) -> None:
    account = house.account("1")
    assert house.chat(account, "plain").status_code == 200
    lab = root.said("GET", "/channels/lab")
    assert [row["name"] for row in root.said("GET", "/channels")["data"]] == ["lab", "claude"]
    assert (lab["enabled"], lab["state"], lab["provider"]) == (True, "ok", "openai-compatible")
    assert lab["base_url"] == f"{house.fake.url}/v1" and lab["models"] == ["plain", "endless", "no-head"]
    assert lab["credentials"][0]["hint"] == "…72c9" and PROVIDER_KEY not in str(lab)
    assert lab["requests_1h"] >= 1 and lab["p95_ms"] >= lab["p50_ms"] >= 0
    with house.raw(account, "endless", stream=True) as wire:
        wire.until(b"two ")
        assert root.said("POST", "/channels/lab/disable")["state"] == "disabled"
        error(house.chat(account, "plain"), 503, "no_healthy_provider")
        (running,) = root.said("GET", "/calls")["data"]  # it goes on
        root.said("DELETE", f"/calls/{running['request_id']}")
    assert rows_of(house)["lab"]["enabled"] is False and "off" in house.cli("channels", "list")[0]
    assert root.said("POST", "/channels/lab/test", {"model": "plain"})["ok"]
    error(root.ask("POST", "/channels/lab/test", {"model": "words"}), 400, "invalid_value", "model")
    assert root.said("POST", "/channels/lab/reset")["enabled"] is False
    assert root.said("POST", "/channels/lab/enable")["state"] == "ok"
    assert house.chat(account, "plain").status_code == 200
    for action, rows in (("enable", 1), ("disable", 1), ("reset", 1), ("test", 1)):
        assert len([row for row in root.audited(f"channel.{action}") if row["target"] == "lab"]) == rows, action
    (off,) = root.audited("channel.disable")
    assert (off["before"], off["after"], off["via"]) == ('{"enabled":true}', '{"enabled":false}', "api")
    error(root.ask("POST", "/channels/nobody/disable"), 404, "not_found")


def test_a_switch_outlives_the_process_and_goes_with_the_name(tmp_path: Path) -> None:
    one, two = channel("one", ["plain"]), channel("two", ["plain", "other"], priority=1)
    with House(tmp_path, one + two, {"plain": {}, "other": {}}, way="") as house:
        account = house.account("1")
        text = house.file.read_text()

        def served() -> str:
            house.chat(account, "plain")
            return str(house.rows(account)[0]["provider"]) and rows_of(house)["one"]["state"]

        assert house.cli("channels", "disable", "one")[0] == "one is off: no new call goes there\n"
        assert served() == "disabled"
        assert house.process.terminate() == 0
        assert rows_of(house)["one"]["enabled"] is False  # also where no server runs
        house.start()
        assert served() == "disabled"
        house.file.write_text(text.replace("priority = 1", "priority = 2"))
        house.cli("reload")
        assert served() == "disabled" and rows_of(house)["two"]["priority"] == 2
        house.file.write_text(text.replace('name = "one"', 'name = "three"'))
        house.cli("reload")
        assert rows_of(house)["three"]["enabled"] is True
        house.file.write_text(text)
        house.cli("reload")
        assert served() == "ok"  # the switch was dropped with the name
        assert house.cli("channels", "enable", "one")[0] == "one is on\n"
        assert "no channel named" in house.cli("channels", "enable", "nobody", code=1)[1]
        house.kill()
        assert rows_of(house)["one"]["enabled"] is True


# The config


def test_the_config_is_shown_checked_and_reloaded(tmp_path: Path) -> None:
    with House(tmp_path, CONFIG, SCRIPTS, way="") as house:
        root, text = Operator(house), house.file.read_text()
        shown = root.said("GET", "/config")
        found = {row["name"]: row for row in shown["settings"]}
        assert shown["path"] == str(house.file) and shown["last_error"] is None and shown["loaded_at"].endswith("Z")
        assert shown["last_change"] is None
        assert found["channel.lab.name"]["origin"] == "file:2" and found["channel.lab.keys"]["value"] == "set"
        assert found["server.port"] == {"name": "server.port", "value": 0, "origin": "command line"}
        assert PROVIDER_KEY not in str(shown)
        house.file.write_text(text + "[server]\nkeepalive = 7\nnonsense = 1\n")
        checked = root.said("POST", "/config/check")
        (fault,) = checked["faults"]
        assert not checked["ok"] and "nonsense" in fault
        refused = root.ask("POST", "/config/reload")
        said = refused.json()["error"]
        assert (refused.status_code, said["code"], said["faults"]) == (400, "config_invalid", [fault])
        shown = root.said("GET", "/config")
        assert fault in shown["last_error"]
        assert {row["name"]: row["value"] for row in shown["settings"]}["server.keepalive"] == 15
        house.file.write_text(text + "[server]\nkeepalive = 7\nport = 1\n")
        assert root.said("POST", "/config/check") == {"ok": True, "faults": []}
        done = root.said("POST", "/config/reload")
        assert done["ok"] and done["needs_restart"] == ["server.port"]
        said = root.said("GET", "/config")
        assert said["last_error"] is None and said["loaded_at"] >= shown["loaded_at"]
        assert {row["name"]: row["value"] for row in said["settings"]}["server.keepalive"] == 7
        assert said["last_change"] == {"at": said["loaded_at"], "settings": ["server.keepalive"]}
        (row,) = root.audited("config.reload")
        assert row["target"] == str(house.file) and row["actor_name"] == "root1" and "server.port" in row["after"]
        assert house.cli("reload") == ("waits for a restart  server.port\n", "")
        assert [row["via"] for row in root.audited("config.reload")] == ["api", "cli"]


# Metrics


def test_metrics_hold_names_of_the_config_alone(tmp_path: Path) -> None:
    config = CONFIG + '[provider.openai]\nbase_url = "FAKE/v1"\n[server]\nmetrics_token = "token-of-the-scraper"\n'
    with House(tmp_path, config, {**SCRIPTS, "strange-marker": {}}, ["token-of-the-scraper"], way="") as house:
        account, root = house.account("1"), Operator(house)
        assert house.chat(account, "plain").status_code == 200
        assert house.chat(account, "no-such-marker").status_code == 400
        brought = {"provider": "openai", "api_key": "sk-a-key-of-the-caller"}
        assert house.chat(account, "strange-marker", provider_key=brought).status_code == 200
        scraped = house.http.get("/metrics", headers={"Authorization": "Bearer token-of-the-scraper"})
        assert scraped.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        for line in (
            'ftgate_requests_total{channel="lab",mode="standard",model="plain",provider="openai-compatible",'
            'status="ok",stream="false"} 1.0',
            'ftgate_requests_total{channel="(none)",mode="standard",model="(none)",provider="(none)",'
            'status="refused",stream="false"} 1.0',
            'ftgate_requests_total{channel="byok:openai",mode="byok",model="(none)",provider="openai",'
            'status="ok",stream="false"} 1.0',
            'ftgate_attempts_total{channel="lab",outcome="ok"} 1.0',
            'ftgate_circuit_state{channel="lab",model="plain"} 0.0',
            "ftgate_calls_in_flight 0.0",
            "ftgate_open_holds 0.0",
        ):
            assert line in scraped.text.splitlines(), line
        for written in ("marker", account.name, account.key, "sk-a-key"):
            assert written not in scraped.text
        headers = {"Authorization": f"Bearer {root.token}"}
        assert house.http.get("/metrics", headers=headers).status_code == 200
        error(house.http.get("/metrics"), 401, "invalid_api_key")
        error(house.http.get("/metrics", headers={"Authorization": "Bearer wrong"}), 401, "invalid_api_key")
        error(house.http.get("/metrics", headers=account.headers), 403, "forbidden")


def test_calls_are_seen_and_ended_by_the_command_line(house: House, root: Operator) -> None:
    with house.raw(house.account("1"), "endless", stream=True) as wire:
        wire.until(b"two ")
        (seen,) = house.cli("calls", "list", "--json")
        assert seen["model"] == "endless" and seen["request_id"] in house.cli("calls", "list")[0]
        house.cli("calls", "stop", seen["request_id"])
        assert b"ended this call" in wire.until(ENDED)
        assert house.cli("calls", "list", "--json") == []
    assert "is in flight" in house.cli("calls", "stop", seen["request_id"], code=1)[1]


def test_an_account_is_changed_by_the_command_line(house: House, root: Operator) -> None:
    house.cli("users", "create", "worker", "--password", "-", stdin="worker-pass\n")
    said = house.cli("users", "set", "worker", "--role", "admin", "--mode", "metered", "--json")
    assert (said["role"], said["mode"]) == ("admin", "metered")
    assert house.cli("users", "set", "worker", "--mode", "plan", "--role", "user", "--json")["mode"] == "prepaid"
    assert "nobody's" in house.cli("users", "set", "worker", "--plan", "nobody's", code=1)[1]
    signed = httpx.post(f"{house.url}/v1/auth/login", json={"username": "worker", "password": "worker-pass"}).json()
    assert house.cli("users", "logout", "worker", "--json")["username"] == "worker"
    token = signed["token"]
    assert httpx.get(f"{house.url}/v1/user/self", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    changes = [row for row in root.audited("user.update") if row["via"] == "cli"]
    assert '{"role":"admin","mode":"metered"}' in [row["after"] for row in changes]


@pytest.mark.parametrize("way", ["", "hypercorn"])
def test_a_channel_with_slashes_in_its_name_is_named_in_paths(tmp_path: Path, way: str) -> None:
    names = ["eu/lab", "eu/lab/test", "50% off? #1"]
    with House(tmp_path, "".join(channel(name, ["plain"]) for name in names), {"plain": {}}, way=way) as house:
        root = Operator(house)
        for name in names:
            others = [other for other in names if other != name]
            for path in {quote(name, safe=""), quote(name)}:
                at = f"/channels/{path}"
                assert root.said("GET", at)["name"] == name
                assert root.said("POST", f"{at}/disable")["enabled"] is False
                rows = root.said("GET", "/channels")["data"]
                assert all(row["enabled"] for row in rows if row["name"] in others) and len(rows) == 3
                assert root.said("POST", f"{at}/test", {"model": "plain"})["ok"]
                assert root.said("POST", f"{at}/reset")["name"] == name
                assert root.said("POST", f"{at}/enable")["enabled"] is True
        error(root.ask("GET", "/channels/eu"), 404, "not_found")
        wrong = root.ask("GET", "/channels/eu/lab/reset")
        error(wrong, 405, "method_not_allowed")
        assert wrong.headers["allow"] == "POST"
