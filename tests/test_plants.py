"""The bugs that `scripts/plants` plants still fit the source: one whose text has moved on would be tried no more."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.plants.__main__ import faults
from tests.plants.listed import BY_ROOM, PLANTS
from tests.plants.plant import ROOT, Plant

HOUSE = ROOT / "ftgate"
ROOMS = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py") if path.parent.name != "ports")
"""Those that decide something: ports is what they say to each other."""


def test_every_plant_can_be_planted() -> None:
    assert list(faults(PLANTS)) == []


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    file = "ftgate/core/money.py"
    once, twice, gone = (
        Plant(name, where, old, "", "tests/core/test_money.py")
        for name, where, old in (
            ("once", file, "PICO_PER_USD = 10**12"),
            ("twice", file, "def "),
            ("gone", "ftgate/core/gold.py", "x"),
        )
    )
    assert "PICO_PER_USD = 10**12" not in once.planted()
    assert [words.partition(":")[0] for words in faults([once, twice, gone])] == ["twice", "gone"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_its_plants(room: str) -> None:
    assert len(BY_ROOM[room]) >= 5
    assert {Path(plant.file).parts[:2] for plant in BY_ROOM[room]} == {("ftgate", room)}


def test_each_plant_says_what_is_wrong_and_changes_something() -> None:
    names = Counter(plant.name for plant in PLANTS)
    assert [name for name, many in names.items() if many > 1] == []
    assert [plant.name for plant in PLANTS if plant.old == plant.new or not plant.tests] == []


def test_what_is_planted_can_be_read() -> None:
    """Else any test would catch it, for nothing."""
    for plant in PLANTS:
        if plant.file.endswith(".py"):
            ast.parse(plant.planted(), plant.name)


def test_the_tests_that_ought_to_catch_a_plant_are_there() -> None:
    missing = []
    for test in sorted({test for plant in PLANTS for test in plant.tests.split()}):
        file, _, name = test.partition("[")[0].partition("::")
        path = ROOT / file
        if not path.is_file() or (name and not re.search(rf"^(async )?def {name}\(", path.read_text(), re.M)):
            missing.append(test)
    assert missing == []
