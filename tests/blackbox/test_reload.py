"""A gateway that changes its mind: nothing is dropped, old prices for old calls, and a config with faults changes
nothing."""

import json
import signal
import ssl
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import trustme

from tests.blackbox.harness import Account, House, channel, error

STREAMS = 100
WORDS = {"content": ["word "] * 40, "piece_delay_s": 0.05}
MODEL = {"input": 1, "output": 10}
CONFIG = channel("lab", {"words": MODEL, "plain": MODEL}) + "[limits]\nrequests_per_second = 0\n"
SCRIPTS = {"words": WORDS, "plain": {"content": ["Hi"]}, "new": {"content": ["Hi"]}}
DEARER = CONFIG.replace("output = 10", "output = 9000").replace("requests_per_second = 0", "concurrent = 500")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, CONFIG, SCRIPTS, way="") as house:
        yield house


def rewrite(house: House, config: str) -> None:
    """Another text in the file, as an editor saves it. What a way of `scripts/ways` adds would be lost: these houses go
    the usual one."""
    text = config.replace("FAKE", house.fake.url)
    beside = house.base / "beside"
    beside.write_text(text)
    beside.replace(house.file)


def cost(house: House, model: str = "plain", **found: object) -> Decimal:
    """What a call costs now: the prompt's tokens and one word."""
    answer = house.chat(house.account("20", **found), model)
    assert answer.status_code == 200, answer.text
    return Decimal(answer.headers["x-findtoken-cost"])


def test_open_streams_see_nothing_of_it(tmp_path: Path) -> None:
    with House(tmp_path, CONFIG, SCRIPTS, way="") as house:
        account = house.account("100")
        wires = [house.raw(account, "words", stream=True) for _ in range(STREAMS)]
        try:
            for wire in wires:
                wire.until(b"word ")
            before = cost(house)
            rewrite(house, DEARER.replace('"lab"', '"other"') + channel("second", ["new"]))
            said = house.cli("reload", "--json")
            assert set(said["changed"]) >= {"limits.concurrent", "channel.lab", "channel.other", "channel.second"}
            assert cost(house) > 50 * before and cost(house, "new")
            rewrite(house, DEARER + "[server]\nkeepalive = nonsense\n")
            err = house.cli("reload", code=1)[1]
            assert "this is no TOML" in err and "Nothing was changed" in err
            assert cost(house) > 50 * before
            rewrite(house, DEARER.replace("concurrent = 500", f"concurrent = {STREAMS + 1}"))
            house.cli("reload")
            error(house.chat(account, "new"), 400, "model_not_found", "model")
            for wire in wires:
                assert wire.until(b"[DONE]").count(b"word ") == 40
        finally:
            for wire in wires:
                wire.close()
        rows = [row for row in house.rows(account) if row["model"] == "words"]
        assert len(rows) == STREAMS and {row["status"] for row in rows} == {"ok"}
        assert len({row["cost"] for row in rows}) == 1 and Decimal(rows[0]["cost"]) < 5 * Decimal("0.00001") * 40
        assert cost(house) > 50 * before


@pytest.mark.parametrize("how", ["SIGHUP", "the file"])
def test_it_is_read_again_by_itself(house: House, how: str) -> None:
    before = cost(house)
    rewrite(house, DEARER)
    if how == "SIGHUP":
        house.process.signal(signal.SIGHUP)
    house.wait_for(lambda: cost(house) > 50 * before, "the new price never came")
    house.logged("in force now: limits.requests_per_second, limits.concurrent, channel.lab")


def test_what_it_says(house: House) -> None:
    assert house.cli("reload") == ("nothing is different\n", "")
    rewrite(house, "[server]\nport = 1\nkeepalive = 9\n" + CONFIG)
    assert house.cli("reload") == ("changed  server.keepalive\nwaits for a restart  server.port\n", "")
    rewrite(house, "[server]\nkept = 1\n" + CONFIG)
    said = json.loads(house.cli("reload", "--json", code=1)[0])
    assert said["ok"] is False and "ftgate.toml:2: [server] kept is no setting." in said["faults"][0]
    own = channel("back", ["m"], base_url=house.url + "/v1")
    rewrite(house, CONFIG + own)
    assert "its base_url is this gateway itself" in house.cli("reload", code=1)[1]
    rewrite(house, CONFIG)
    house.file.rename(house.base / "away")
    place = str(house.data)
    assert "cannot be read" in house.cli("reload", "--data", place, places=False, code=1)[1]
    (house.base / "away").rename(house.file)
    assert cost(house)


def test_a_shell_without_the_servers_environment_can_ask(tmp_path: Path) -> None:
    config = channel("lab", ["plain"], keys=["env:LAB"])
    with House(tmp_path, config, SCRIPTS, env={"LAB": "sk-lab"}, way="") as house:
        there = dict(house.env)
        house.env.clear()
        assert house.cli("reload") == ("nothing is different\n", "")
        place = house.base / "data"
        assert house.cli("reload", "--data", str(place), places=False) == ("nothing is different\n", "")
        _, err = house.cli("reload", "--data", str(tmp_path / "none"), places=False, code=1)
        assert "no server runs on" in err
        house.env.update(there)


def test_plans_that_change_bill_otherwise_from_the_next_call_on(house: House) -> None:
    poor = house.account("0")
    error(house.chat(poor), 402, "insufficient_credits")
    rewrite(house, CONFIG + '[billing]\nmode = "metered"\n')
    house.cli("reload")
    assert house.chat(poor).status_code == 200
    assert house.user(poor)["mode"] == "metered"
    rewrite(house, CONFIG)
    house.cli("reload")
    error(house.chat(poor), 402, "insufficient_credits")


def test_a_secret_that_changes_in_its_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-first-key-1")
    canaries = ["sk-first-key-1", "sk-second-key-2"]
    with House(tmp_path / "house", channel("lab", ["plain"], keys=[f"file:{key}"]), SCRIPTS, canaries) as house:
        account = house.account("1")

        def shown() -> str:
            house.chat(account)
            return str(house.fake.requests("plain")[-1]["headers"])

        assert "sk-first-key-1" in shown()
        key.write_text("sk-second-key-2")
        house.wait_for(lambda: "sk-second-key-2" in shown(), "the new key was never used")


def test_a_certificate_that_changes(tmp_path: Path) -> None:
    """New connections are shown the new one; those that stand go on."""
    with House(tmp_path, CONFIG, SCRIPTS, way="tls") as house:
        account = house.account("1")
        wire = house.connect()
        authority = trustme.CA()
        made = authority.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(tmp_path / "key.pem")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        assert "changed  server.tls_cert" in house.cli("reload")[0]
        wire.send(house.request(account, "plain"))
        wire.until(b"Hi")
        wire.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            house.connect()
        authority.configure_trust(house.trust)
        house.connect().close()


def test_a_plan_that_somebody_is_on_is_neither_lost_nor_renamed_by_the_way(tmp_path: Path) -> None:
    """A slip in a name must not open what the plan kept shut. The start goes on, and says what it refuses."""
    plans = '[plan.cheap]\nselectable = true\nmodels = ["plain"]\n[plan.inner]\nmode = "metered"\n'
    said = "[plan.cheap] is gone, and 0 accounts and 1 key are on it"
    with House(tmp_path, CONFIG + plans, SCRIPTS, way="") as house:
        owner = house.account("5")
        house.cli("users", "create", "root", "--admin", "--password", "-", stdin="operator-pass\n")
        house.cli("users", "password", owner.name, "--password", "-", stdin="the-password\n")

        def post(path: str, body: object, token: str = "", method: str = "POST") -> httpx.Response:
            house.http.cookies.clear()
            return house.http.request(
                method, path, json=body, headers={"Authorization": f"Bearer {token}"} if token else {}
            )

        def login(name: str, password: str) -> str:
            return str(post("/v1/auth/login", {"username": name, "password": password}).json()["token"])

        own, root = login(owner.name, "the-password"), login("root", "operator-pass")
        made = post("/v1/tokens", {"name": "k", "planId": 2}, own).json()
        cheap = Account(owner.name, made["key"])
        assert house.chat(cheap, "plain").status_code == 200
        error(house.chat(cheap, "new"), 403, "model_not_allowed", "model")
        rewrite(house, CONFIG + plans.replace("cheap", "chaep"))
        assert said in house.cli("reload", code=1)[1] and said in house.cli("check")[1]
        assert said in post("/v1/admin/config/check", {}, root).json()["faults"][0]
        answer = post("/v1/admin/config/reload", {}, root)
        assert answer.status_code == 400 and said in answer.json()["error"]["faults"][0]
        error(house.chat(cheap, "new"), 403, "model_not_allowed", "model")
        assert house.server is not None and house.server.terminate() == 0
        assert said in house.cli("check", "--json")["warnings"][0]
        house.start()
        house.logged(f"{said}: their calls are refused")
        for model in ("plain", "new"):
            assert "ask the operator" in error(house.chat(cheap, model), 403, "plan_unavailable")
        error(house.http.get("/v1/models", headers=cheap.headers), 403, "plan_unavailable")
        assert house.get("/v1/user/balance", cheap)["byok_limit_month"] == 0
        assert house.chat(owner).status_code == 200
        assert house.cli("reload")[0]  # what was gone before stands in nobody's way
        changed = post(f"/v1/tokens/{made['apiKey']['id']}", {"planId": None}, own, "PATCH")
        assert changed.json()["planId"] == 1 and house.chat(cheap, "plain").status_code == 200
