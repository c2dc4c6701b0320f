"""What the tests of the store share: the place of a database, or an empty one of either kind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftgate.store.source import Source
from tests.store.either import EITHER, fresh


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that failed is tried again at once."""
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.001,))


@pytest.fixture(params=EITHER if "FTGATE_TEST_ALL_WAYS" in os.environ else EITHER[:1])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """An empty database, of SQLite and, for `scripts/ways`, of PostgreSQL, where making one takes a second."""
    with fresh(request, tmp_path) as source:
        yield source


@pytest.fixture(scope="module", params=EITHER)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """As `source`, one for the tests of a file, which fill it once."""
    with fresh(request, tmp_path_factory.mktemp("shared")) as source:
        yield source
