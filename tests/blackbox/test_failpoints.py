"""SIGKILL at every named place of a call's and a commit's life: after the restart the books are right."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ftgate.house import failpoint
from tests.blackbox.crashing import CONFIG, CREDITS, SCRIPTS, Shown, check, run_until_dead
from tests.blackbox.harness import REPO, Account, House

PLACES = [
    place
    for place in failpoint.PLACES
    if place not in {"recovering", *failpoint.PAYMENTS, *failpoint.MOVES, *failpoint.TURNS}
]
"""Those of payments are killed at in test_payments_crash.py, those of moves in tests/cli/test_migrate.py; turns are
of gateways that share a PostgreSQL."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One data directory through all the crashes, so that damage would gather."""
    with House(tmp_path_factory.mktemp("failpoints"), CONFIG, SCRIPTS) as house:
        yield house


@pytest.fixture(scope="module")
def accounts(house: House) -> list[Account]:
    return [house.account(CREDITS) for _ in range(4)]


@pytest.fixture(scope="module")
def shown() -> Shown:
    return Shown()


def _at(place: str, number: int) -> str:
    """Commits happen at the start too, before a client can call: let some pass."""
    return f"{place}=kill:{number + 6 if place.startswith('commit') else number}"


CASES = [_at(place, number) for place in PLACES for number in (1, 17)]


@pytest.mark.parametrize("case", CASES)
def test_killed_there(house: House, accounts: list[Account], shown: Shown, case: str) -> None:
    """The start after one kill is the start before the next: a start for each would be half of the time."""
    if house.failpoint != case or not house.process.alive:
        house.process.terminate()
        house.failpoint = case
        house.start()
    run_until_dead(house, accounts, shown, kill_after_s=None, seed=CASES.index(case))
    house.failpoint = dict(pairwise(CASES)).get(case)
    house.start()
    check(house, accounts, shown)


def test_killed_while_recovering(house: House, accounts: list[Account], shown: Shown) -> None:
    """A crash in the middle of the recovery from a crash: the next start finishes it."""
    if house.failpoint is not None:  # a test before has failed
        house.process.terminate()
        house.failpoint = None
        house.start()
    run_until_dead(house, accounts, shown, kill_after_s=0.5, seed=5)
    house.failpoint = "recovering=kill:1"
    try:
        with pytest.raises(AssertionError, match="not ready"):
            house.start()
    finally:
        house.failpoint = None
    house.start()
    check(house, accounts, shown)


def test_every_place_is_passed_somewhere_and_every_passing_has_a_name() -> None:
    found: set[str] = set()
    for path in sorted(Path(REPO, "ftgate").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if name == "passing" and node.args and isinstance(node.args[0], ast.Constant):
                    found.add(node.args[0].value)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # inside a statement of SQLite's
                found.update(re.findall(r"^SELECT passing\('(\w+)'\)", node.value))
    assert found == set(failpoint.PLACES)


@pytest.mark.parametrize("said", ["held", "nowhere=kill:1", "held=stop:1", "held=kill:x"])
def test_words_that_are_no_failpoint(said: str) -> None:
    with pytest.raises(ValueError, match="PLACE=kill:N"):
        failpoint.read({failpoint.VARIABLE: said})
