"""What the tests of accounts share: the place of a database."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"
