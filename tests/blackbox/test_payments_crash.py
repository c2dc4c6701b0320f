"""kill -9 while people pay: at every named place of a payment's life (F59), and at random times."""

import random
from collections.abc import Iterator

import pytest

from ftgate.house import failpoint
from tests.blackbox.harness import Account, House
from tests.blackbox.paying import Shop, shop
from tests.blackbox.paying_crash import ACCOUNTS, Seen, check, run_until_dead


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One data directory and one Stripe through all the crashes, so that damage would gather."""
    with shop(tmp_path_factory.mktemp("paying")) as opened:
        yield opened


@pytest.fixture
def house(till: Shop) -> House:
    return till.house


@pytest.fixture(scope="module")
def accounts(till: Shop) -> list[Account]:
    return [till.house.account("0") for _ in range(ACCOUNTS)]


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("place", failpoint.PAYMENTS)
def test_killed_there(till: Shop, house: House, accounts: list[Account], seen: Seen, place: str, number: int) -> None:
    house.process.terminate()
    house.failpoint = f"{place}=kill:{number}"
    try:
        house.start()
        run_until_dead(till, accounts, seen, kill_after_s=None, seed=number)
    finally:
        house.failpoint = None
    house.start()
    check(till, accounts, seen)


def test_killed_at_random_times(till: Shop, house: House, accounts: list[Account], seen: Seen) -> None:
    chance = random.Random(59)
    for number in range(3):
        run_until_dead(till, accounts, seen, kill_after_s=chance.uniform(0.1, 0.8), seed=100 + number)
        house.start()
        check(till, accounts, seen)
    assert seen.sessions and seen.taken
