"""For all tests of several gateways."""

import pytest

from ftgate.store.postgres import lane


@pytest.fixture
def soon_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway counts as dead sooner than in life, so that one that froze is."""
    monkeypatch.setattr(lane, "GRACE_S", 3.0)
    monkeypatch.setattr(lane, "REAP_EVERY_S", 1.0)
