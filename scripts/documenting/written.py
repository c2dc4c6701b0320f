"""All of them, by name."""

import re
from pathlib import Path

from ftgate.config import provider_table
from scripts.documenting.commands import commands
from scripts.documenting.programs import programs
from scripts.documenting.routes import routes
from scripts.documenting.settings import settings

WRITTEN_WHOLE = ("settings", "commands", "api", "programs")
PLACE = Path(__file__).parents[2] / "ftgate" / "manual"
TABLE = re.compile(r"(?<=## Known providers\n\n).*?(?=\n\n)", re.S)


def written() -> dict[str, str]:
    """The text of each generated topic, and of `providers`, of which the table of providers is generated."""
    by_hand = (PLACE / "providers.md").read_text("utf-8")
    table = provider_table().rstrip("\n")
    return {
        "settings": settings(), "commands": commands(), "api": routes(), "programs": programs(),
        "providers": TABLE.sub(lambda _: table, by_hand, count=1),
    }  # fmt: skip
