"""What a collector gets of calls to a server, and calls beside one that is dead or hangs."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.blackbox.harness import HELLO, HELLO_COST, PROVIDER_KEY, Account, House, channel, error
from tests.fakes.collector import FakeCollector

PROMPT = "canary-prompt-7f3a someone@example.org"
ANSWER = "canary-answer-51cd"
SCRIPTS = {"plain": {}, "good": {"content": [ANSWER]}, "bad": {"status": 503}}
CHANNELS = channel("first", {"plain": {}, "good": {}, "bad": {}}) + '[fallback]\nbad = ["plain"]\n'


def config(url: str) -> str:
    return f'[telemetry]\notlp_endpoint = "{url}"\nheaders = {{ X-Key = "collector-key-canary" }}\n' + CHANNELS


def ended(house: House) -> None:
    assert house.server is not None
    assert house.server.terminate() == 0


def test_spans_and_sums_of_a_few_calls(tmp_path: Path) -> None:
    with FakeCollector() as collector, House(tmp_path, config(collector.url), SCRIPTS) as house:
        account = house.account()
        assert house.chat(account, "plain").status_code == 200
        said = house.chat(account, "good", messages=[{"role": "user", "content": PROMPT}], stream=True)
        assert ANSWER in said.text
        assert house.chat(account, "bad").status_code == 200
        error(house.chat(account, PROMPT), 400, "model_not_found", "model")
        house.wait_for(lambda: len(house.rows(account)) == 4, "the refused call's row")
        rows = {row["request_id"]: row for row in house.rows(account)}
        ended(house)
        wholes = [span for span in collector.spans() if span["kind"] == 2]
        told = {span["attributes"]["ftgate.request_id"]: span for span in wholes}
        assert told.keys() == rows.keys() and len(wholes) == 4
        for id, row in rows.items():
            said = told[id]["attributes"]
            assert Decimal(said["ftgate.cost_usd"]) == Decimal(row["cost"])
            assert said.get("gen_ai.usage.input_tokens", 0) == row["prompt_tokens"]
            assert said.get("gen_ai.usage.output_tokens", 0) == row["completion_tokens"]
        assert sorted(span["name"] for span in wholes) == ["chat", "chat bad", "chat good", "chat plain"]
        (tried_twice,) = [span for span in wholes if span["name"] == "chat bad"]
        attempts = [span for span in collector.spans() if span["kind"] == 3]
        assert [span["name"] for span in attempts if span["parentSpanId"] == tried_twice["spanId"]][-1] == "chat plain"
        sums = collector.metrics()
        assert sum(int(point["count"]) for point in sums["gen_ai.client.operation.duration"]) == 4
        used = {"input": 0, "output": 0}
        for point in sums["gen_ai.client.token.usage"]:
            used[point["attributes"]["gen_ai.token.type"]] += point["sum"]
        assert used["input"] == sum(row["prompt_tokens"] for row in rows.values())
        assert used["output"] == sum(row["completion_tokens"] for row in rows.values())
        check_words(collector, account)


def check_words(collector: FakeCollector, account: Account) -> None:
    """Nothing of a prompt, an answer, a key or an address is in what was sent."""
    sent = b"".join(json.dumps(json.loads(body)).encode() for _, _, body in collector.seen).decode()
    secrets = [PROMPT, ANSWER, PROVIDER_KEY, *account.headers.values(), *PROMPT.split()]
    assert len(secrets) > 5
    assert [word for word in (*secrets, account.key, "collector-key") if word in sent] == []
    assert all(heads["X-Key"] == "collector-key-canary" for _, heads, _ in collector.seen)


@pytest.mark.parametrize("hangs", [True, False])
def test_calls_beside_a_collector_that_does_not_answer(hangs: bool, tmp_path: Path) -> None:
    """The server ends in time, too."""
    with FakeCollector(hangs=True) as collector:
        url = collector.url if hangs else "http://127.0.0.1:9"
        with House(tmp_path, config(url), SCRIPTS) as house:
            account = house.account()
            for _ in range(3):
                answer = house.chat(account, "plain", messages=HELLO)
                assert answer.status_code == 200
            if hangs:
                house.wait_for(lambda: collector.seen, "it tells the collector")
            assert house.chat(account, "plain").status_code == 200
            assert house.balance(account) == 1 - 4 * HELLO_COST
            ended(house)
            house.logged("Calls go on; this is said once")


def test_where_the_server_s_environment_has_it_go_is_told(tmp_path: Path) -> None:
    """By the start in JSON, whose log else holds no address, and by a doctor whose own environment says nothing."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9/of-the-collector"}
    text = CHANNELS + '[server]\nlog_format = "json"\n'
    with House(tmp_path, text, upstream=False, env=env) as house:
        goes = "spans and figures of calls go to http://127.0.0.1:9, by OTEL_EXPORTER_OTLP_ENDPOINT in the environment"
        told = [json.loads(line)["message"] for line in house.err.read_text().splitlines()]
        assert f"telemetry {goes}" in told and "of-the-collector" not in str(told)
        found = house.cli("doctor", "--json")["findings"]
        assert [row["words"] for row in found if row["subject"] == "telemetry"] == [f"the running server: {goes}"]
