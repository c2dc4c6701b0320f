"""The Dockerfile and the Compose file of the manual: read by what reads them, and held against each other, the text
around them and the program."""

import re
import shlex
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ftgate.cli.group import cli
from ftgate.config.settings import Server
from ftgate.manual import topic
from tests.manual.named import spans

TEXT = topic("service").text
[DOCKERFILE] = [code for language, code in spans(TEXT) if language == "dockerfile"]
[COMPOSE] = [code for language, code in spans(TEXT) if language == "yaml"]


@pytest.fixture
def image() -> dict[str, list[str]]:
    """The Dockerfile's instructions, each with what stands behind it."""
    found: dict[str, list[str]] = {}
    for line in DOCKERFILE.splitlines():
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest)
    return found


@pytest.fixture
def service() -> dict[str, Any]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
    assert list(services) == ["ftgate"]
    return services["ftgate"]


def test_the_image_can_write_what_it_must_and_nothing_else(image: dict[str, list[str]]) -> None:
    assert set(image) == {"FROM", "COPY", "ENV", "RUN", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    [env], [run], [user], [volume] = image["ENV"], image["RUN"], image["USER"], image["VOLUME"]
    variables = dict(word.split("=") for word in shlex.split(env))
    assert variables["FTGATE_DATA"] == volume == "/data"
    # A volume without a name begins as a copy of the image's directory, its owner too.
    assert f"useradd --uid 1000 {user}" in run and f"install -d -o {user} -m 700 {volume}" in run
    names = re.findall(r"^(\w+) ", DOCKERFILE, re.M)
    assert names.index("ENV") < names.index("RUN") < names.index("USER"), "root unpacks it, where the user looks for it"
    assert re.fullmatch(r"python:3\.1[1-4]-slim", *image["FROM"])


def test_what_the_image_starts_is_there(image: dict[str, list[str]]) -> None:
    entry, command = yaml.safe_load(image["ENTRYPOINT"][0]), yaml.safe_load(image["CMD"][0])
    assert image["COPY"] == [f"ftgate.pyz {entry[-1]}"] and f"python3 {entry[-1]} version" in image["RUN"][0]
    said = CliRunner().invoke(cli, [command[0], "--help"])
    assert said.exit_code == 0 and command[1] in said.stdout and command[2:] == ["0.0.0.0"]


def test_what_compose_says_fits(image: dict[str, list[str]], service: dict[str, Any]) -> None:
    server, [volume] = Server(), image["VOLUME"]
    assert set(service) == {
        "build", "ports", "volumes", "env_file", "restart", "stop_grace_period", "healthcheck",
    }  # fmt: skip
    assert service["ports"] == [f"127.0.0.1:{server.port}:{server.port}"]
    assert service["volumes"] == [f"./data:{volume}"] and "mkdir -m 700 data && sudo chown 1000 data" in TEXT
    assert int(service["stop_grace_period"].removesuffix("s")) >= server.shutdown_grace + 10
    [kind, python, option, code] = service["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", yaml.safe_load(image["ENTRYPOINT"][0])[0], "-c")
    compile(code, "healthcheck", "exec")
    assert f"http://127.0.0.1:{server.port}/readyz" in code
    assert f"docker compose exec ftgate {' '.join(yaml.safe_load(image['ENTRYPOINT'][0]))} " in TEXT


def test_gateways_of_one_ledger_have_a_directory_each() -> None:
    """The Compose file for several gateways: each starts as the program can, with its own data and the same config."""
    [compose] = [code for language, code in spans(topic("postgres").text) if language == "yaml"]
    said = yaml.safe_load(compose)
    gateways = {name: service for name, service in said["services"].items() if service.get("build")}
    assert len(gateways) == 2
    data = [volume for one in gateways.values() for volume in one["volumes"] if volume.endswith(":/data")]
    assert len(set(data)) == 2 and {volume.partition(":")[0] for volume in data} <= said["volumes"].keys()
    for one in gateways.values():
        command, *options = one["command"]
        helped = CliRunner().invoke(cli, [command, "--help"]).stdout
        assert all(option in helped for option in options if option.startswith("--"))
        assert f"./ftgate.toml:{options[options.index('--config') + 1]}:ro" in one["volumes"]
        assert int(one["stop_grace_period"].removesuffix("s")) >= Server().shutdown_grace + 10
    assert "FTGATE_DATABASE_URL=postgresql://ftgate:PASSWORD@db/ftgate" in topic("postgres").text
