"""The manual: one Markdown file for each topic, as the command line and the pages show it.

A topic's file opens with its title, a line `# Title`, and one paragraph of one line that says what it is for; both are
shown in lists. Topics lead to one another by their file names: `[words](billing.md)`. Some are made by scripts/manual
from the declarations of settings, routes, commands and programs; all others are written by hand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Beginning": ("start", "config", "providers", "routing", "switching"),
    "Programs": ("claude-code", "codex", "programs"),
    "People and money": ("users", "billing", "payments", "byok"),
    "Running it": (
        "service", "https", "reverse-proxies", "postgres", "backup", "upgrading", "metrics", "security",
        "troubleshooting",
    ),
    "Reference": ("settings", "commands", "api", "errors"),
}  # fmt: skip
"""All topics, in the order in which they are listed."""
ALIASES: Mapping[str, str] = {
    "nginx": "reverse-proxies", "caddy": "reverse-proxies", "proxy": "reverse-proxies",
    "docker": "service", "compose": "service", "systemd": "service", "launchd": "service", "container": "service",
    "stripe": "payments", "checkout": "payments", "credits": "billing",
    "otel": "metrics", "opentelemetry": "metrics", "telemetry": "metrics",
    "prometheus": "metrics",
    "postgresql": "postgres", "ha": "postgres", "cluster": "postgres",
    "tls": "https", "certificate": "https", "claude": "claude-code",
}  # fmt: skip
"""What people look for by another word."""
NAMES = tuple(name for names in GROUPS.values() for name in names)
LINK = re.compile(r"\[([^\[\]]+)\]\(([a-z-]+)\.md(#[a-z0-9-]+)?\)")
"""A link to a topic: its words, the topic's name, and the part of it."""


class UnknownTopic(LookupError):
    """There is no topic of this name; `near` are names that look like it, the nearest first."""

    def __init__(self, name: str) -> None:
        from difflib import get_close_matches  # a start does not wait for it

        super().__init__(name)
        self.near = get_close_matches(name.lower(), NAMES, n=3)


@dataclass(frozen=True)
class Topic:
    """One page of the manual. `about` is what it is for, in a line; `body` is what stands below that, and `text` the
    whole file, both Markdown."""

    name: str
    title: str
    about: str
    body: str
    text: str


@cache
def topic(name: str) -> Topic:
    """One topic, by its name or by another word for it. Raises UnknownTopic."""
    name = name if name in NAMES else ALIASES.get(name.lower(), name)
    if name not in NAMES:
        raise UnknownTopic(name)
    text = files(__name__).joinpath(f"{name}.md").read_text("utf-8")
    title, about, body = text.split("\n\n", 2)
    return Topic(name, title.removeprefix("# "), about, body, text)


def groups() -> list[tuple[str, list[Topic]]]:
    """All topics under their headings."""
    return [(heading, [topic(name) for name in names]) for heading, names in GROUPS.items()]
