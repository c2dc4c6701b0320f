"""How channels stand, as the command line shows it, and trials of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftgate.cli import remote
from tests.blackbox.harness import PROVIDER_KEY, House, channel

CONFIG = (
    "[retry]\nattempts = 1\n"
    + channel("good", {"plain": {}, "dear": {"output": 100}})
    + channel("down", ["bad", "refused"], keys=[PROVIDER_KEY, "sk-second-key-0123456789"])
    + channel("claude", ["plain-claude"], provider="anthropic-compatible")
    + channel("vectors", {"embed": {"kind": "embeddings", "output": 0}})
)
VECTOR = {
    "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "embed",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}  # fmt: skip
SCRIPTS = {
    "plain": {"content": ["Hi"]}, "dear": {"content": ["Hi"]}, "bad": {"status": 500}, "refused": {"status": 401},
    "plain-claude": {"content": ["Hi"]},
    "embed": {"raw_body": json.dumps(VECTOR), "content_type": "application/json", "framing": "length"},
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("channels"), CONFIG, SCRIPTS) as house:
        yield house


def listed(house: House, name: str) -> dict[str, object]:
    rows = {row["name"]: row for row in house.cli("channels", "list", "--json")}
    found: dict[str, object] = rows[name]
    return found


def test_how_they_stand(house: House) -> None:
    account = house.account("1")
    assert listed(house, "good")["state"] == listed(house, "down")["state"] == "ok"
    for _ in range(3):
        assert house.chat(account, "bad").status_code == 502
    house.chat(account, "refused")
    said = listed(house, "down")
    assert said["state"] == "degraded"
    (circuit,) = said["circuits"]  # type: ignore[misc]
    assert (circuit["model"], circuit["state"], circuit["failures"]) == ("bad", "open", 3) and circuit["until"]
    (key,) = said["credentials"]  # type: ignore[misc]
    assert (key["state"], key["reason"], key["model"]) == ("refused", "credential", "refused")
    assert key["hint"][1:] in (PROVIDER_KEY[-4:], "6789") and len(key["hint"]) == 5
    assert said["last_error"]["text"]  # type: ignore[index]
    out, _ = house.cli("channels", "list")
    assert "degraded" in out and "down: bad rests after failures until 20" in out
    assert house.cli("channels", "reset", "down") == ("nothing is known against down any more\n", "")
    assert listed(house, "down")["state"] == "ok"
    answer = house.chat(account, "bad")
    assert answer.status_code == 502
    house.row(account, answer.headers["x-request-id"])  # the next test counts the rows


def test_trials(house: House) -> None:
    rows = len(house.cli("logs", "--json")["data"])
    tried = {row["channel"]: row for row in json.loads(house.cli("channels", "test", "--json", code=1)[0])}
    assert tried["vectors"]["error"] is None
    assert {name: row["ok"] for name, row in tried.items()} == {
        "good": True, "down": False, "claude": True, "vectors": True,
    }  # fmt: skip
    assert tried["good"]["model"] == "plain" and tried["good"]["first_token_ms"] is not None  # the cheaper one
    assert tried["good"]["error"] is None and tried["down"]["error"]
    assert house.fake.requests("plain")[-1]["json"]["max_tokens"] == 16
    assert len(house.cli("logs", "--json")["data"]) == rows  # nobody is charged, and no row is written
    out, _ = house.cli("channels", "test", "good", "--model", "dear")
    assert out.startswith("good") and "dear  ok" in out
    assert "no model of the channel" in house.cli("channels", "test", "good", "--model", "bad", code=1)[1]
    assert "no channel named" in house.cli("channels", "test", "nobody", code=1)[1]
    assert listed(house, "down")["state"] == "ok"  # what a trial finds is told, not remembered


def test_one_that_takes_long_hides_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial takes as long as it takes: other commands are given up meanwhile."""
    monkeypatch.setattr(remote, "TIMEOUT_S", 1.0)
    config = channel("slow", ["late"]) + channel("good", ["plain"])
    with House(tmp_path, config, {"late": {"head_delay_s": 2}, "plain": {}}, way="") as house:
        said = {row["channel"]: row for row in house.cli("channels", "test", "--json")}
        assert said["slow"]["ok"] and said["slow"]["latency_ms"] > 2000 and said["good"]["ok"]


def test_each_key_is_tried(tmp_path: Path) -> None:
    keys = [PROVIDER_KEY, "sk-second-key-0123456789"]
    with House(tmp_path, channel("lab", ["plain"], keys=keys), {"plain": {"fail_first": (0, 401)}}, way="") as house:
        assert house.cli("channels", "test", "lab", "--json")[0]["ok"]
        sent = [seen["headers"] for seen in house.fake.requests("plain")]
        assert len(sent) == 2 and all(key in str(headers) for key, headers in zip(keys, sent, strict=True))


def test_a_shell_that_cannot_read_the_config_is_told_what_the_server_has(tmp_path: Path) -> None:
    """It lacks the server's environment; then the file has faults, as it may have after an edit."""
    config = channel("lab", ["plain"], keys=["env:LAB"]) + channel("other", ["else"])
    with House(tmp_path, config, {"plain": {}, "else": {}}, env={"LAB": "sk-lab"}, way="") as house:
        there = dict(house.env)
        house.env.clear()
        for text in (house.file.read_text(), house.file.read_text() + "[nonsense]\n"):
            house.file.write_text(text)
            assert listed(house, "lab")["state"] == "ok" and listed(house, "other")["models"] == 1
            assert "plain  ok" in house.cli("channels", "test", "lab")[0]
            out, _ = house.cli("channels", "test", "--model", "plain", code=1)
            assert "plain  ok" in out and "'plain' is no model of the channel other" in out
        house.env.update(there)


def test_trials_without_a_server(tmp_path: Path) -> None:
    with House(tmp_path, CONFIG, SCRIPTS, serving=False) as house:
        assert "plain  ok" in house.cli("channels", "test", "good")[0]
        out, _ = house.cli("channels", "test", "down", code=1)
        assert "failed  " in out and PROVIDER_KEY not in out
        assert "no model of the channel" in house.cli("channels", "test", "good", "--model", "bad", code=1)[1]
        assert "State" not in house.cli("channels", "list")[0]
        assert "no server runs" in house.cli("channels", "reset", "good", code=1)[1]
