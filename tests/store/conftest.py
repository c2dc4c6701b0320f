"""What the tests of the store share: the place of a database."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that failed is tried again at once."""
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.001,))
