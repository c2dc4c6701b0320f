"""What is shown of a PostgreSQL's URL: hosts and name, and nothing that may be a part of a password."""

import pytest

from ftgate.store.source import Postgres

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"postgresql://ann:{SECRET}@db:5432/ledger", "db:5432/ledger"),
        (f"postgres://ann:{SECRET}@db/ledger?sslmode=require&password={SECRET}", "db/ledger"),
        (f"postgresql://db/ledger?password={SECRET}", "db/ledger"),
        (f"postgresql://{SECRET}@one:1,two:2/ledger?target_session_attrs=read-write", "one:1,two:2/ledger"),
        (f"postgresql://ann:{SECRET}@[fd00::1]:5432/ledger", "[fd00::1]:5432/ledger"),
        (f"postgresql:///ledger?host=/run/{SECRET}", "/ledger"),
        # Where a password has signs that ought to be escaped, nobody knows where it ends.
        (f"postgresql://ann:a/{SECRET}@db/ledger", ""),
        (f"postgresql://ann:a@{SECRET}@db/ledger", ""),
        (f"postgresql://ann:a?{SECRET}@db/ledger", ""),
        (f"postgresql://ann:a#{SECRET}@db/ledger", ""),
        (f"mysql://ann:{SECRET}@db/ledger", ""),
        (SECRET, ""),
    ],
)
def test_what_is_shown(url: str, place: str) -> None:
    source = Postgres(url)
    assert (str(source), repr(source)) == (f"postgresql://{place}", f"<Postgres postgresql://{place}>")
    assert source.readable is bool(place)
    assert SECRET not in f"{source}{source!r}"


def test_the_same_url_is_the_same_source() -> None:
    assert Postgres("postgresql://a/b") == Postgres("postgresql://a/b") != Postgres("postgresql://a/c")
    assert len({Postgres("postgresql://a/b"), Postgres("postgresql://a/b")}) == 1
    assert Postgres("postgresql://a/b") != "postgresql://a/b"
