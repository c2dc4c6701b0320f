"""A connection to PostgreSQL is used as one to SQLite, tells no secret, and is kept for the next read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from ftgate.errors import DatabaseBusy
from ftgate.store.database import read_only
from ftgate.store.postgres import connection as of
from ftgate.store.postgres.connection import PostgresError, close_idle, connect
from ftgate.store.source import Postgres
from tests.postgres import Server

SECRET = "s3cr%e%t"
BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
def place(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


def test_rows_come_as_from_sqlite(place: Postgres) -> None:
    with closing(read_only(place)) as connection:
        found = connection.execute("SELECT value AS one, 'x' AS two FROM json_each('[1,2,3]')")
        assert [column[0] for column in found.description] == ["one", "two"]
        assert found.fetchone() == (1, "x") and found.fetchall() == [(2, "x"), (3, "x")] and found.fetchone() is None
        assert [*connection.execute("SELECT 1 WHERE 1 = 2")] == []


def test_a_reader_cannot_write(place: Postgres) -> None:
    with closing(read_only(place)) as connection, pytest.raises(sqlite3.OperationalError, match="read-only"):
        connection.execute("DELETE FROM users")


def test_what_only_reads_is_passed_over_unless_it_was_asked_for(place: Postgres, postgres: Server) -> None:
    """A standby shows what was; whoever wants that says so in the URL."""
    name = place.url.rpartition("/")[2]
    postgres.told(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(PostgresError, match="read-only"):
        connect(place, readonly=True)
    standby = Postgres(f"{place.url}?target_session_attrs=any")
    with closing(connect(standby, readonly=True)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    close_idle(standby)


def test_changes_take_effect_at_once_or_at_the_commit(place: Postgres) -> None:
    add = "INSERT INTO switches VALUES (?, ?)"
    with closing(connect(place, readonly=False)) as writer, closing(read_only(place)) as reader:
        assert writer.execute(add, ("a", False)).rowcount == 1 and not writer.in_transaction
        writer.execute("BEGIN")
        writer.execute(add, ("b", True))
        assert writer.in_transaction
        assert reader.execute("SELECT channel, enabled FROM switches").fetchall() == [("a", 0)]
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM switches").fetchone() == (1,)
        writer.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM switches").fetchone() == (1,)  # one moment
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM switches").fetchone() == (2,)
        writer.execute("BEGIN")
        writer.execute(add, ("c", True))
    assert not writer.in_transaction
    with closing(read_only(place)) as reader:
        assert reader.execute("SELECT count(*) FROM switches").fetchone() == (2,)


def test_readers_are_used_again_and_begin_anew(place: Postgres) -> None:
    with closing(read_only(place)) as first:
        (backend,) = first.execute(BACKEND).fetchone()
        first.execute("BEGIN")
    with closing(read_only(place)) as second:
        assert second.execute(BACKEND).fetchone() == (backend,) and not second.in_transaction
    many = [read_only(place) for _ in range(of.KEPT + 2)]
    for one in many:
        one.execute("SELECT 1")
        one.close()
    assert len(of._idle[place]) == of.KEPT
    close_idle(place)
    assert place not in of._idle


def test_a_reader_that_was_cut_off_is_replaced(place: Postgres, postgres: Server) -> None:
    for _ in range(2):
        kept = [read_only(place) for _ in range(2)]
        for one in kept:
            one.execute("SELECT 1")
        for one in kept:
            one.close()
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        with closing(connect(place, readonly=False)) as other:
            other.execute(f"{cut} pg_backend_pid()")
        with closing(read_only(place)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_a_reader_that_is_cut_off_amid_its_work_fails(place: Postgres) -> None:
    """What was read before is of another moment: it is not tried again."""
    with closing(read_only(place)) as reader:
        (backend,) = reader.execute(BACKEND).fetchone()
        reader.execute("BEGIN")
        with closing(connect(place, readonly=False)) as other:
            other.execute("SELECT pg_terminate_backend(?)", (backend,))
        with pytest.raises(sqlite3.OperationalError):
            reader.execute("SELECT 1")
    with closing(read_only(place)) as reader:
        assert reader.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_has_an_end(place: Postgres) -> None:
    with closing(connect(place, readonly=True, timeout_s=0.05)) as reader:
        with pytest.raises(PostgresError, match="statement timeout") as caught:
            reader.execute("SELECT pg_sleep(60)")
    assert caught.value.sqlstate == "57014"


def test_what_the_server_works_on_is_waited_for(place: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it says nothing: it answers others."""
    monkeypatch.setattr(of, "SILENT_S", 0.02)
    with closing(connect(place, readonly=True)) as reader:
        assert reader.execute("SELECT 7, pg_sleep(0.1)").fetchone()[0] == 7
        assert reader.execute("SELECT repeat('x', 1000000)").fetchone()[0] == "x" * 1_000_000


@pytest.mark.parametrize("answers", [True, False])
def test_one_that_stands_still_is_not(place: Postgres, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it answers others or nobody; what was at work then is of no use any more."""
    monkeypatch.setattr(of, "SILENT_S", 0.02)
    with closing(connect(place, readonly=False, timeout_s=10)) as reader:
        reader._raw.most_s = 0.05  # type: ignore[union-attr]
        monkeypatch.setattr(of, "_answers", lambda source: answers)
        with pytest.raises(PostgresError, match="PostgreSQL: it does not answer") as caught:
            reader.execute("SELECT pg_sleep(5)")
        assert isinstance(caught.value, DatabaseBusy) and (caught.value.status, caught.value.retry_after_s) == (503, 2)
        assert caught.value.message == "the database gives no answer in time: try again in a moment"
        with pytest.raises(PostgresError, match="closed"):
            reader.execute("SELECT 1")


def test_whether_it_answers_anybody(place: Postgres) -> None:
    assert of._answers(place) and of._answers(Postgres(f"{place.url}_not_there"))


def test_only_a_server_that_is_away_is_told_as_that(place: Postgres) -> None:
    with closing(read_only(place)) as reader, pytest.raises(PostgresError, match="nothing") as caught:
        reader.execute("SELECT nothing FROM users")
    assert not isinstance(caught.value, DatabaseBusy)
    with pytest.raises(DatabaseBusy) as away:
        connect(Postgres("postgresql://ftgate@127.0.0.1:1/name"), readonly=True)
    assert isinstance(away.value, PostgresError) and "refused" in str(away.value)
    assert "127" not in away.value.message


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://someone:{SECRET.replace('%', '%25')}@127.0.0.1:1/name",
        f"postgresql://someone:{SECRET}@127.0.0.1:1/name",
        f"postgresql://someone@127.0.0.1:1/name?password={SECRET}",
        f"postgresql://someone@127.0.0.1:1/name?nonsense={SECRET}",
        f"nonsense:{SECRET}",
    ],
)
def test_no_error_tells_the_password(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connect(Postgres(url), readonly=True)
    assert "s3cr" not in str(caught.value) and caught.value.__cause__ is None


def test_no_error_tells_a_value(place: Postgres) -> None:
    with closing(read_only(place)) as reader, pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("SELECT nothing FROM users WHERE password = ?", (SECRET,))
    assert "s3cr" not in str(caught.value) and "nothing" in str(caught.value)
