"""All tests here start real processes; after each of them its House must have settled down."""

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def settled(request: pytest.FixtureRequest) -> Iterator[None]:
    """The money of every case is settled when it ends, the process lives and answers."""
    house = request.getfixturevalue("house") if "house" in request.fixturenames else None
    yield
    if house is not None:
        house.settle_down()
