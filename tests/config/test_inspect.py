"""Every setting in force, with where it comes from; and no secret among them."""

import json
from typing import Any

import pytest

from ftgate import config
from tests.config.reading import CHANNEL, ENVIRON, load

TEXT = """\
[server]
port = 9000
public_url = "https://gate.example"
[billing]
signup_credits = 2.5
[stripe]
secret_key = "sk_test_hidden-2"
webhook_secret = "whsec_hidden-3"
[plan.gold]
price_multiplier = 1.5
requests_per_second = 5
[limits.model."m"]
concurrent = 3
[[channel]]
name = "lab"
provider = "openai-compatible"
base_url = "http://127.0.0.1:9000/v1"
keys = ["env:LAB_KEY"]
headers = { X-Token = "hidden-5" }
query = { api = "hidden-6" }
proxy = "http://p:hidden-7@127.0.0.1:3128"
monthly_cap = 10
drain_seconds = 5
timeouts = { idle = 9 }
[channel.models."m"]
input = 1
output = 2
[alias]
"other" = "m"
"""


def rows(text: str, **more: Any) -> dict[str, tuple[object, object]]:
    found = load(text, **more)
    return {str(row["name"]): (row["value"], row["origin"]) for row in config.inspected(found, found)}


@pytest.mark.parametrize(
    ("name", "value", "origin"),
    [
        ("server.port", 9000, "file:2"),
        ("server.public_url", "https://gate.example", "file:3"),
        ("server.host", "127.0.0.1", "default"),
        ("server.data_dir", "ftgate-data", "default"),
        ("server.tls_cert", None, "default"),
        ("billing.signup_credits", "2.5", "file:5"),
        ("stripe.secret_key", "set", "file:7"),
        ("stripe.min_amount", "5", "default"),
        ("plan.gold.price_multiplier", "1.5", "file:10"),
        ("plan.gold.requests_per_second", 5, "file:11"),
        ("plan.default.models", ["*"], "default"),
        ("limits.model.m.concurrent", 3, "file:13"),
        ("limits.requests_per_second", 100, "default"),
        ("channel.lab.provider", "openai-compatible", "file:16"),
        ("channel.lab.base_url", "http://127.0.0.1:9000/v1", "file:17"),
        ("channel.lab.keys", "set", "file:18"),
        ("channel.lab.headers", "set", "file:19"),
        ("channel.lab.query", "set", "file:20"),
        ("channel.lab.proxy", "set", "file:21"),
        ("channel.lab.monthly_cap", "10", "file:22"),
        ("channel.lab.drain_seconds", 5, "file:23"),
        ("channel.lab.models", ["m"], "file:25"),
        ("alias.other", "m", "file:29"),
    ],
)
def test_each_has_its_value_and_its_place(name: str, value: object, origin: str) -> None:
    assert rows(TEXT)[name] == (value, origin)


def test_no_secret_is_shown() -> None:
    said = json.dumps(config.inspected(load(TEXT), load(TEXT)))
    assert "hidden" not in said and ENVIRON["LAB_KEY"] not in said
    assert rows(CHANNEL)["stripe.secret_key"] == (None, "default")


def test_what_was_found_in_the_environment_says_so() -> None:
    found = rows("", environ={"DEEPSEEK_API_KEY": ENVIRON["DEEPSEEK_API_KEY"]})
    assert found["channel.deepseek.provider"] == ("deepseek", "environment")
    assert ENVIRON["DEEPSEEK_API_KEY"] not in str(found)


def test_every_setting_of_a_section_is_there() -> None:
    from ftgate.config.load import fields
    from ftgate.config.settings import Server

    assert {f"server.{name}" for name in fields(Server)} <= rows(CHANNEL).keys()


def test_what_only_a_start_obeys_is_shown_as_it_is_in_force() -> None:
    started, now = (
        load(CHANNEL + "\n[server]\nport = 8401\ncors = true\n"),
        load(CHANNEL + "\n[server]\nport = 8402\ncors = false\n"),
    )
    rows = {row["name"]: row for row in config.inspected(now, started)}
    assert (rows["server.port"]["value"], rows["server.port"]["after_restart"]) == (8401, 8402)
    assert rows["server.cors"]["value"] is False and "after_restart" not in rows["server.cors"]


def test_what_the_command_line_gave_holds_whatever_the_file_says() -> None:
    started, now = (load(CHANNEL + f"\n[server]\nport = {port}\n") for port in (8401, 8402))
    rows = {row["name"]: row for row in config.inspected(now, started, {"server.port": 8477, "server.host": "::1"})}
    assert rows["server.port"] == {"name": "server.port", "value": 8477, "origin": "command line"}
    assert rows["server.host"] == {"name": "server.host", "value": "::1", "origin": "command line"}
    assert rows["server.cors"]["origin"] == "default"
