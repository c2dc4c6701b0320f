"""One plant, and how it is tried in a copy of the tree."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRY_S = 180.0
"""Seconds after which a plant counts as caught, since its tests hang."""
ALL_S = 1800.0
"""Seconds that all tests together may take with nothing planted."""
PASSED, FAILED = 0, 1
"""pytest's exit codes; every other one says that nothing was tested."""


class Misplaced(Exception):
    """A plant whose text does not stand in its file exactly once: the source has moved on and the plant has not."""


@dataclass(frozen=True)
class Plant:
    """In `file`, `old` becomes `new`; `tests` (separated by spaces, as pytest takes them) must then fail.

    `old` may begin and end anywhere, but stands in the file exactly once. `name` is what went wrong, in a few words.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str

    def planted(self, root: Path = ROOT) -> str:
        """The file's text with the bug in it. Raises Misplaced."""
        place = root / self.file
        if not place.is_file():
            raise Misplaced(f"{self.name}: there is no {self.file}")
        text = place.read_text()
        if text.count(self.old) != 1:
            raise Misplaced(f"{self.name}: {self.file} holds its text {text.count(self.old)} times:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Found:
    """What came of a plant: `verdict` is caught, hangs, SURVIVED or UNTESTED."""

    plant: Plant
    verdict: str
    seconds: float
    words: str = ""


class Field:
    """A copy of the tree in which plants are tried, one at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():  # one that was removed is listed until that is committed
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        # tests/test_tidy.py asks git which files there are
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        subprocess.run(["git", "add", "-A"], cwd=root, check=True)

    def test(self, tests: str, limit_s: float = TRY_S) -> tuple[int | None, str]:
        """pytest's exit code, None when it took longer than `limit_s`; and its last lines."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FTGATE_"))}
        # Without compiled files: two versions of one size within a second would look alike.
        env = {**kept, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_SEED": "0"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        # with the seed fixed, the same examples are tried each time
        command += ["--hypothesis-seed=0", "-p", "tests.plants.unshrunk", *tests.split()]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            return None, ""
        return done.returncode, (done.stdout + done.stderr)[-3000:]

    def grow(self, plant: Plant) -> Found:
        """Try one. Raises Misplaced."""
        began = time.monotonic()
        place = self.root / plant.file
        whole, planted = place.read_text(), plant.planted(self.root)
        place.write_text(planted)
        try:
            code, said = self.test(plant.tests)
        finally:
            place.write_text(whole)
        verdict = {PASSED: "SURVIVED", FAILED: "caught", None: "hangs"}.get(code, "UNTESTED")
        return Found(plant, verdict, time.monotonic() - began, said if verdict in {"UNTESTED", "SURVIVED"} else "")
