"""Showing what a command has found, and the config as the first of what is looked at."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from ftgate import config
from ftgate.cli.output import document, line
from ftgate.cli.remote import load
from ftgate.house.findings import Finding


def show(found: Iterable[Finding], *, as_json: bool) -> None:
    """Print them, as they come where they are for people. Raises click's Exit with 1 where something is wrong."""
    rows = []
    for finding in found:
        rows.append(finding)
        if not as_json:
            line(f"{finding.state:<7} {finding.subject:<11} {finding.words}")
    ok = all(finding.state != "wrong" for finding in rows)
    if as_json:
        document({"ok": ok, "findings": [finding._asdict() for finding in rows]})
    if not ok:
        raise click.exceptions.Exit(1)


class ConfigLook:
    """The config as a start would find it: iterated, what there is to say of it. `settings` are None where it cannot be
    used."""

    def __init__(self, config_path: Path | None, data: Path | None) -> None:
        self.settings: config.Settings | None = None
        self.faults: list[str] = []
        try:
            self.settings = load(config_path, data)
        except click.ClickException as faulty:
            self.faults = faulty.message.splitlines()

    def __iter__(self) -> Iterator[Finding]:
        for fault in self.faults:
            yield Finding("wrong", "config", fault)
        if self.settings is not None:
            found = config.describe(self.settings)
            yield Finding("ok", "config", f"{len(found['channels'])} channels, {found['models']} models")
            for warning in found["warnings"]:
                yield Finding("look", "config", warning)
