"""The manual and the program name the same things: what there is stands in the manual, and what is named there, in
README or among the newest changes is there."""

import re

import pytest

from ftgate.config.build import SECTIONS
from ftgate.manual import NAMES, topic
from scripts.documenting.written import PLACE, written
from tests.manual.named import ROOT, codes, commands, metrics, routes, settings, spans, unknown

ALL = {name: topic(name).text for name in NAMES}
COMMON = {"--config", "--data", "--json", "--help", "-h"}


def said(*topics: str) -> set[str]:
    """What stands as code in these topics, in all without a name."""
    return {code for name in topics or NAMES for _, code in spans(ALL[name])}


@pytest.mark.parametrize("name", written())
def test_what_is_generated_is_as_it_would_be_now(name: str) -> None:
    """Mend it with: scripts/manual"""
    assert (PLACE / f"{name}.md").read_text("utf-8") == written()[name]


def test_every_setting_is_told() -> None:
    named = {code.split(" = ")[0] for code in said("settings")}
    assert len(settings()) > 90 and settings() - named == set()
    assert {name.split(".")[0] for name in settings()} == set(SECTIONS)


def test_every_route_is_told() -> None:
    assert len(routes()) > 60 and routes() - said("api") == set()


def test_every_command_and_option_is_told() -> None:
    section = r"^## (ftgate [a-z -]+?)(?: [\[A-Z][^\n]*)?\n(.*?)(?=^## |\Z)"
    parts = dict(re.findall(section, ALL["commands"], re.M | re.S))
    assert set(commands()) - set(parts) == set()
    missing = [
        f"{path} {option}" for path, known in commands().items() for option in known - COMMON
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", parts[path])
    ]  # fmt: skip
    assert missing == [] and all(f"`{name}" in ALL["commands"] for name in COMMON - {"-h"})


def test_every_error_code_is_told() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([\d, ]+) \| \S.*? \| \S.*? \|$", ALL["errors"], re.M)
    told = [code for code, _ in rows]
    assert len(told) == len(set(told)) and codes() - set(told) == set()


def test_every_metric_is_told() -> None:
    told = set(re.findall(r"^\| `(ftgate_[a-z_]+)` \|[^|]*\| \S[^|]* \|$", ALL["metrics"], re.M))
    assert len(metrics()) > 15 and metrics() - told == set()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_topic_names_is_there(name: str) -> None:
    assert unknown(ALL[name]) == []


def test_what_the_readme_names_is_there() -> None:
    assert unknown((ROOT / "README.md").read_text("utf-8")) == []


def test_the_readme_leads_to_every_topic_and_to_files_that_are_there() -> None:
    led = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert {f"ftgate/manual/{name}.md" for name in NAMES} - set(led) == set()
    assert [path for path in led if not (ROOT / path).exists()] == []


def test_what_the_newest_changes_name_is_there() -> None:
    assert unknown((ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1]) == []


@pytest.mark.parametrize(
    "text",
    [
        "`server.prot`", "`limits.account.x`", "`retry.attempts = 3` and `retry.tries = 3`", "`[servers]`",
        "`GET /v1/nothing`", "`DELETE /v1/models`", "`/docs/x/y`", "```sh\ncurl $G/v1/nothing\n```",
        "`ftgate userz list`", "`ftgate users lisst`", "`ftgate logs --limits 5`", 
        "```sh\nsudo ftgate serve --porte 1\n```",
        "`python3 ftgate.pyz upgrade`", "`scripts/run backup --too x`",
        "402 `no_money`", "| `no_money` | 402 | a | b |",
        "`ftgate_nothing_total`", "`FTGATE_NOTHING`", "`scripts/nothing`",
    ],
)  # fmt: skip
def test_a_name_that_is_not_there_is_seen(text: str) -> None:
    assert len(unknown(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`server.port`", "`channel.models.input` and `database.expired_hold = \"void\"`", 
        "`[limits.account]`, `[tool]`",
        "`POST /v1/chat/completions`", "`/v1/tokens/{id}`", "`PUT /v1/tokens/{id}`",
        "```sh\ncurl \"$G/v1/user/logs?x=1\"\n```",
        "`ftgate users create NAME --admin --password -`", "`ftgate --port 8401`", "`ftgate help TOPIC`", "`ftgate`",
        "```sh\necho x | ftgate users password ada --password -   # --nothing\n```", "402 `insufficient_credits`",
        "`ftgate_commit_seconds_bucket`, `ftgate_requests_total{status=\"ok\"}`", "`FTGATE_CONFIG`", "`scripts/run`",
        "`https://llm.example.org/v1/nothing`", "`ftgate.toml`, `server.key`",
    ],
)  # fmt: skip
def test_a_name_that_is_there_is_not_complained_of(text: str) -> None:
    assert unknown(text) == []
