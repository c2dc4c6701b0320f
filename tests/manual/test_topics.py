"""The topics: how each is built, where its links lead, and that its examples of a config can be used."""

import re
import tomllib

import pytest

from ftgate.manual import GROUPS, LINK, NAMES, UnknownTopic, groups, topic
from ftgate.web.pages.docs import slug
from scripts.documenting.written import PLACE, WRITTEN_WHOLE
from tests.config.reading import faults
from tests.manual.named import spans

NOT_OURS = {"codex", "programs"}
"""Topics whose TOML is another program's."""


def test_every_file_is_listed_once_and_every_name_has_one() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in PLACE.glob("*.md"))
    assert len(NAMES) == len(set(NAMES)) and [heading for heading, _ in groups()] == list(GROUPS)


@pytest.mark.parametrize("name", NAMES)
def test_a_topic_says_in_a_line_what_it_is_for(name: str) -> None:
    one = topic(name)
    assert one.text.startswith(f"# {one.title}\n\n{one.about}\n\n")
    assert one.text.endswith(f"{one.body}") and one.text.endswith("\n") and not one.text.endswith("\n\n")
    assert re.fullmatch(r"[^`\[*\n]{20,110}\.", one.about)
    assert not re.search(r"^# ", re.sub(r"```.*?```", "", one.body, flags=re.S), re.M)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = topic(name).text
    led = re.findall(r"\]\(([^)]*)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S))
    links = list(LINK.finditer(text))
    assert len(led) == len(links), led
    for _, other, part in (match.groups() for match in links):
        headings = re.findall(r"^##+ (.*)$", topic(other).body, re.M)
        assert part is None or part[1:] in map(slug, headings), (other, part)


@pytest.mark.parametrize("name", NAMES)
def test_its_lines_can_be_read(name: str) -> None:
    prose = re.sub(r"^ *```.*?^ *```$", "", topic(name).text, flags=re.S | re.M)
    assert "\t" not in prose and not re.search(r"[ \t]$", prose, re.M)
    assert not re.search(r"<[a-z]", re.sub(r"`[^`]*`", "", prose)), "HTML is shown as text"
    if name not in WRITTEN_WHOLE:
        long = [line for line in prose.splitlines() if len(line) > 130 and not line.startswith("|")]
        assert long == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - NOT_OURS))
def test_examples_of_a_config_name_settings_that_are_there(name: str) -> None:
    for language, code in spans(topic(name).text):
        if language == "toml":
            assert tomllib.loads(code)
            said = [one for one in faults(code) if "is no setting" in one or "is no section" in one or "must be" in one]
            assert said == [], code


def test_an_example_that_names_what_is_not_there_would_be_seen() -> None:
    assert "is no setting" in faults("[server]\nprot = 1")[0] and "is no section" in faults("[servers]\nport = 1")[0]


@pytest.mark.parametrize(
    ("name", "near"),
    [("bilings", ["billing"]), ("Payment", ["payments"]), ("reverse-proxy", ["reverse-proxies"]), ("zzz", []),
     ("../errors", ["errors"]), ("", [])],
)  # fmt: skip
def test_an_unknown_topic_has_near_names(name: str, near: list[str]) -> None:
    with pytest.raises(UnknownTopic) as unknown:
        topic(name)
    assert unknown.value.near[:1] == near
