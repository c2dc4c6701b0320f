"""ftgate under load, and its books: every answer that the load counted must be one settled request, and the ledger must
verify."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmark.processes import Trouble, environment

SETTLED_S = 20.0
"""What calls that were cut have to settle in."""


@dataclass(frozen=True)
class Checked:
    """One look at the books. `answers` is what the load counted, `settled` the posts; `cut` are calls that were under
    way when a load stopped, which the load did not count and the ledger rightly did."""

    subject: str
    after: str
    verified: bool
    answers: int
    settled: int
    voided: int
    cut: int
    cut_at_most: int
    fault: str


@dataclass
class Books:
    """The ledger of one ftgate, beside what was asked of it."""

    name: str
    directory: Path
    root: Path = Path(__file__).resolve().parents[2]
    answers: int = 0
    cut_at_most: int = 0
    arguments: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.arguments = ["--config", str(self.directory / "ftgate.toml"), "--data", str(self.directory / "data")]

    def note(self, answers: int, cut_at_most: int) -> None:
        """What a load counted, and how many calls it may have left behind."""
        self.answers += answers
        self.cut_at_most += cut_at_most

    def command(self, *words: str, stdin: str = "") -> Any:
        """A command of ftgate, and its JSON."""
        argv = [sys.executable, "-m", "ftgate", *words, "--json", *self.arguments]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=environment(PYTHONPATH=str(self.root)),
            cwd=self.directory,
            timeout=600,
            input=stdin,
        )
        if done.returncode and not done.stdout.startswith("{"):
            raise Trouble(
                f"ftgate {' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}"
            )
        return json.loads(done.stdout)

    def counts(self) -> dict[str, int]:
        """Entries by kind."""
        with closing(
            sqlite3.connect(f"file:{self.directory / 'data' / 'ftgate.sqlite3'}?mode=ro", uri=True)
        ) as connection:
            return dict(connection.execute("SELECT kind, count(*) FROM entries GROUP BY kind"))

    def check(self, after: str) -> Checked:
        """Wait until no hold is open, then count and verify. A disagreement is told, not raised: it is a result."""
        until = time.monotonic() + SETTLED_S
        while True:
            counts = self.counts()
            ended = sum(counts.get(kind, 0) for kind in ("post", "void", "expire"))
            if counts.get("hold", 0) == ended or time.monotonic() > until:
                break
            time.sleep(0.1)
        said = self.command("ledger", "verify")
        settled, voided = counts.get("post", 0), counts.get("void", 0) + counts.get("expire", 0)
        return judge(self.name, after, said, self.answers, settled, voided, self.cut_at_most)


def judge(
    name: str, after: str, verify: dict[str, Any], answers: int, settled: int, voided: int, cut_at_most: int
) -> Checked:
    """Pure: what the counts mean."""
    cut = settled - answers
    faults = []
    if not verify.get("ok"):
        faults.append(f"the ledger does not verify: {verify.get('disagreement')}")
    if verify.get("open_holds"):
        faults.append(f"{verify['open_holds']} holds are open")
    if cut < 0:
        faults.append(f"{-cut} answers were never settled")
    if cut + voided > cut_at_most:
        faults.append(f"{cut + voided - cut_at_most} calls more than the load made")
    return Checked(
        name, after, bool(verify.get("ok")), answers, settled, voided, max(cut, 0), cut_at_most, "; ".join(faults)
    )
