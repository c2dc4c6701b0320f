"""What doctor says of a PostgreSQL: each thing that is not well, by name, with what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftgate.house import shared_look
from ftgate.house.findings import Finding
from ftgate.house.shared_look import a_start, of_postgres
from ftgate.store.postgres import opening
from ftgate.store.postgres.connection import close_idle
from ftgate.store.source import Postgres
from tests.postgres import Server
from tests.store.either import opened, tamper


@pytest.fixture
def source(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


def found(source: Postgres, place: Path, config: str | None = None) -> dict[str, list[Finding]]:
    """What is not ok, by subject."""
    said: dict[str, list[Finding]] = {}
    for finding in of_postgres(source, place, config):
        if finding.state != "ok":
            said.setdefault(finding.subject, []).append(finding)
    return said


def test_all_is_well(source: Postgres, tmp_path: Path) -> None:
    assert found(source, tmp_path) == {}
    said = [finding.words for finding in of_postgres(source, tmp_path, None)]
    assert any(words.startswith("PostgreSQL 1") and str(source) in words and " MB" in words for words in said)
    assert "none is at work" in said and "0 entries add up, 0 holds are open" in said
    assert [finding.state for finding in a_start(source)] == ["ok"]


def test_gateways_are_named(source: Postgres, tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("aa\n")
    with opened(source) as connection:
        for id, name, version, config, ago_s in (
            (1, "aa", "1.0", "same", 0), (2, "bb", "1.1", "other", 1), (3, "cc", "1.0", "same", 30),
        ):  # fmt: skip
            connection.execute(
                "INSERT INTO boots (id, at_us, version, gateway, config, seen_at)"
                " VALUES (?, 0, ?, ?, ?, clock_timestamp() - make_interval(secs => ?))",
                (id, version, name, config, ago_s),
            )
    said = {finding.words for finding in of_postgres(source, tmp_path, "same") if finding.subject == "gateways"}
    assert "aa (of this data directory), ftgate 1.0, is at work" in said and "bb, ftgate 1.1, is at work" in said
    (silent,) = [words for words in said if words.startswith("cc, ftgate 1.0, gave no sign of life for 3")]
    assert "ended 60 s after" in silent
    (differs,) = [words for words in said if "other prices, plans or limits" in words]
    assert differs.startswith("bb (ftgate 1.1) started")
    assert any("aa, bb, cc started with different" in f.words for f in found(source, tmp_path)["gateways"])
    with opened(source) as connection:
        connection.execute("UPDATE boots SET ended = 1 WHERE id = 2")
    assert [f.words[:2] for f in found(source, tmp_path, "same")["gateways"]] == ["cc"]


def test_settings_that_lose_commits(source: Postgres, tmp_path: Path, postgres: Server) -> None:
    postgres.told(f"ALTER DATABASE {source.url.rpartition('/')[2]} SET synchronous_commit = off")
    close_idle(source)
    (lossy,) = found(source, tmp_path)["database"]
    assert lossy.state == "wrong" and lossy.words.startswith("synchronous_commit is off")
    assert "ALTER DATABASE" in lossy.words


def test_a_setting_that_a_start_needs(source: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SESSION", {"jit": "off", "no_such_setting": "on"})
    (refused,) = found(source, tmp_path)["database"]
    assert refused.state == "wrong" and " refuses the setting no_such_setting " in refused.words


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE meta SET value = '7' WHERE name = 'cluster'", "a copy of another database"),
        ("UPDATE meta SET value = '99' WHERE name = 'tables'", "a newer ftgate"),
        ("INSERT INTO meta VALUES ('moved', '/srv/ftgate.sqlite3 at noon')", "has moved to /srv/ftgate.sqlite3"),
    ],
)
def test_a_ledger_that_a_start_refuses(source: Postgres, tmp_path: Path, sql: str, words: str) -> None:
    tamper(source, sql)
    (refused,) = found(source, tmp_path)["schema"]
    assert refused.state == "wrong" and words in refused.words
    assert [finding.words for finding in a_start(source)] == [refused.words]


def test_books_that_are_wrong(source: Postgres, tmp_path: Path) -> None:
    tamper(source, "INSERT INTO balances VALUES (1, 5, 0, 0)")
    (wrong,) = found(source, tmp_path)["ledger"]
    assert wrong.state == "wrong" and "account 1" in wrong.words


def test_one_that_is_away_or_empty(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (away,) = found(Postgres("postgresql://a:hunter2@127.0.0.1:1/b"), tmp_path)["database"]
    assert away.state == "wrong" and "127.0.0.1:1/b" in away.words and "hunter2" not in away.words
    (empty,) = found(postgres.at("template1"), tmp_path)["schema"]
    assert empty.state == "look" and "no tables yet" in empty.words
    close_idle(postgres.at("template1"))
    monkeypatch.setattr(shared_look, "find_spec", lambda name: None)
    (lacking,) = found(postgres.at("template1"), tmp_path)["database"]
    assert "pip install 'ftgate[postgres]'" in lacking.words


@pytest.mark.parametrize(("off_s", "state"), [(5.0, "look"), (-40.0, "wrong")])
def test_clocks_that_differ(
    source: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off_s: float, state: str
) -> None:
    real = shared_look.time.time
    monkeypatch.setattr("ftgate.house.shared_look.time.time", lambda: real() - off_s)
    (clock,) = found(source, tmp_path)["clock"]
    assert clock.state == state and ("ahead of" if off_s > 0 else "behind") in clock.words
