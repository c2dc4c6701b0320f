"""All tests here start real processes; after each of them its House must have settled down."""

import os
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/blackbox/"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def postgres_there(request: pytest.FixtureRequest) -> None:
    """Where every House goes that way."""
    if "postgres" in os.environ.get("FTGATE_TEST_WAY", "").split(","):
        request.getfixturevalue("postgres")


@pytest.fixture(autouse=True)
def settled(request: pytest.FixtureRequest) -> Iterator[None]:
    """The money of every case is settled when it ends, the process lives and answers."""
    houses = [request.getfixturevalue(name) for name in ("house", "steady") if name in request.fixturenames]
    yield
    for house in houses:
        house.settle_down()
