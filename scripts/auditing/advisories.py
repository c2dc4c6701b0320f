"""What pip-audit said of a lock file, from its JSON."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Audited:
    """How many packages were asked about, of which nothing could be learnt, and what is known of which."""

    asked: int
    unanswered: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def code(self) -> int:
        """The exit code: 1 where something is known, 3 where the service did not answer of all, else 0."""
        return 1 if self.known else 3 if self.unanswered or not self.asked else 0


def read(text: str) -> Audited:
    """Raises ValueError for what is none of its answers. A package that it passed over is unanswered: its own words and
    its own exit code call that clean."""
    try:
        rows = json.loads(text)["dependencies"]
        known = [
            f"{row['name']} {row['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none yet'}"
            for row in rows if "skip_reason" not in row for found in row["vulns"]
        ]  # fmt: skip
        passed = tuple(str(row["name"]) for row in rows if "skip_reason" in row)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("no answer of pip-audit's") from error
    return Audited(len(rows), passed, tuple(known))
