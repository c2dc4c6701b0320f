"""What scripts/audit says: of a dry run's report, and of pip-audit's answer, which calls clean what it passed over."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.auditing import advisories, locked
from scripts.packing import lock

LOCKS = sorted((Path(__file__).resolve().parents[1] / "scripts/lock").glob("*.txt"))
GOOD, BAD = "a" * 64, "b" * 64
PIN = lock.Pin("a-b", "1.0", frozenset({GOOD}))


def report(
    name: str = "A_b", version: str = "1.0", url: str = "https://x/a_b-1.0-py3-none-any.whl", digest: str = GOOD
) -> str:
    return json.dumps({"install": [{
        "metadata": {"name": name, "version": version},
        "download_info": {"url": url, "archive_info": {"hashes": {"sha256": digest}}},
    }]})  # fmt: skip


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_what_is_locked_has_hashes(path: Path) -> None:
    """Each line is one version with hashes; what a line of another kind says is in test_build.py."""
    pins = lock.read(path.read_text())
    assert len(pins) > 10 and min(len(pin.hashes) for pin in pins) >= 1
    assert len({pin.name for pin in pins}) == len(pins)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (report(), ""), (report(version="1.1"), "locked as 1.0 and would come as 1.1"),
        (report(url="https://x/a_b-1.0.tar.gz"), "comes as no wheel"),
        (report(url="https://x/a_b-1.0.tar.gz#.whl"), "comes as no wheel"),
        (report(digest=BAD), "a hash that is not locked"), (report(name="other"), "would not be installed"),
        ('{"install": []}', "would not be installed"),
    ],
)  # fmt: skip
def test_what_is_locked_has_hashes_and_wheels(said: str, fault: str) -> None:
    told = locked.faults([PIN], said)
    assert bool(told) == bool(fault) and fault in " ".join(told)


def test_what_would_come_too_is_told() -> None:
    two = json.loads(report())["install"] + json.loads(report(name="c"))["install"]
    assert locked.faults([PIN], json.dumps({"install": two})) == ["c would come too and is not locked"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"install": [{}]}', '{"install": 1}'])
def test_what_is_no_report(text: str) -> None:
    with pytest.raises(ValueError, match="no report"):
        locked.faults([PIN], text)


CLEAN: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
KNOWN: dict[str, Any] = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
PASSED: dict[str, Any] = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("rows", "code"),
    [([CLEAN], 0), ([CLEAN, KNOWN], 1), ([CLEAN, PASSED], 3), ([KNOWN, PASSED], 1), ([PASSED], 3), ([], 3)],
)
def test_only_an_answer_of_all_is_clean(rows: list[dict[str, Any]], code: int) -> None:
    said = advisories.read(json.dumps({"dependencies": rows}))
    assert (said.code, said.asked) == (code, len(rows))
    assert said.known == (("b 2: CVE-1, mended in 3",) if KNOWN in rows else ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dependencies": [{"name": "a"}]}'])
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="no answer"):
        advisories.read(text)
