"""[telemetry], and OpenTelemetry's own variables where it says nothing."""

import pytest

from ftgate import config
from ftgate.config.observed import collector, goes
from ftgate.config.settings import Telemetry
from tests.config.reading import faults, load, warnings

OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318/",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20t, x-team = blue",
    "OTEL_SERVICE_NAME": "shed",
}
FROM_THERE = Telemetry("http://127.0.0.1:4318", {"authorization": "Bearer t", "x-team": "blue"}, "shed")


@pytest.mark.parametrize("text", ["", "[telemetry]\n"])
def test_the_environment_counts_while_nothing_is_written(text: str) -> None:
    assert load(text, OTEL).telemetry == FROM_THERE


def test_without_a_file_too() -> None:
    assert config.from_environment(OTEL, None).telemetry == FROM_THERE
    assert config.from_environment({}, None).telemetry == Telemetry()
    assert config.from_environment({"OTEL_SERVICE_NAME": "shed"}, None).telemetry == Telemetry()


def test_what_is_written_counts_alone() -> None:
    text = '[telemetry]\notlp_endpoint = "https://c.example"\nheaders = { X-Key = "env:K" }\n'
    assert load(text, {**OTEL, "K": "k"}).telemetry == Telemetry("https://c.example", {"X-Key": "k"}, "ftgate")
    assert load('[telemetry]\nservice_name = "x"\n', OTEL).telemetry == Telemetry(service_name="x")


def test_it_is_told_where_it_goes_and_by_whom() -> None:
    assert goes(load("", OTEL)) == (
        "spans and figures of calls go to http://127.0.0.1:4318, by OTEL_EXPORTER_OTLP_ENDPOINT in the environment"
    )
    written = '[telemetry]\notlp_endpoint = "https://c.example/secret-1"\n'
    assert goes(load(written, OTEL)) == "spans and figures of calls go to https://c.example, by [telemetry]"
    assert goes(load("", {})) is None and collector(load("", {})) is None
    assert collector(load(written, OTEL)) == "https://c.example"
    assert collector(load("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://@c.example:1/p"})) == "http://c.example:1"


@pytest.mark.parametrize(("said", "off"), [("true", True), ("TRUE", True), ("false", False), ("1", False)])
def test_the_environment_switches_it_off(said: str, off: bool) -> None:
    """As OpenTelemetry's specification has it: only the word true does."""
    assert load("", {**OTEL, "OTEL_SDK_DISABLED": said}).telemetry == (Telemetry() if off else FROM_THERE)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "is no http or https address"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:p@c.example", "holds a user or a password"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "sk-0123", "one of them is not like name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c", "one of the names is no header"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0ab", "something else than plain text"),
    ],
)
def test_a_fault_there_is_a_warning(name: str, value: str, words: str) -> None:
    """Those names are for every program of a machine: no start fails for them."""
    found = config.from_environment({**OTEL, name: value}, None)
    assert found.telemetry == Telemetry()
    (warning,) = [line for line in found.warnings if name in line]
    assert words in warning and "Telemetry stays off" in warning and value not in warning


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('otlp_endpoint = "http://c.example:4318/v1/traces"', "ends in a path that is appended anyway"),
        ('otlp_endpoint = "c.example:4318"', "is no http or https address"),
        ('service_name = ""', "is empty"),
        ('headers = { "a b" = "c" }', "is no header"),
        ('headers = { A = "env:GONE" }', "GONE is not set"),
    ],
)
def test_a_fault_in_the_file_is_one(line: str, words: str) -> None:
    (fault,) = faults(f"[telemetry]\n{line}\n")
    assert "[telemetry]" in fault and words in fault


def test_headers_for_nobody_are_told() -> None:
    assert "[telemetry] headers has no effect" in "".join(warnings('[telemetry]\nheaders = { A = "b" }\n'))
