"""Showing what a command has found, and the config as the first of what is looked at."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import click

from ftgate import config
from ftgate.cli.config import counted
from ftgate.cli.output import document, line
from ftgate.cli.remote import ask_server, data_dir, load, serves, whereabouts
from ftgate.errors import ConfigFaults
from ftgate.house.findings import Finding, State

_UNSET = re.compile(r'= "env:(\w+)" but ')
"""A fault of the config that is only the environment's."""
_UNSET_URL = re.compile(r'\burl = "env:(\w+)" but ')
NOT_HERE = "postgresql://not-set-here/"
"""What stands for a database's URL that only this shell lacks."""


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
    """The config as a start would find it: iterated, what there is to say of it. Where none was named and a server runs
    on the data, it is that server's. `settings` are None where it cannot be used; secrets that only this shell lacks,
    `unset`, are filled in by something that is none. `lacking` says how grave that is where no server has them."""

    def __init__(self, config_path: Path | None, data: Path | None, *, lacking: State = "wrong") -> None:
        self.settings: config.Settings | None = None
        self.faults: list[str] = []
        self.unset: list[str] = []
        self.path, self.data, self.lacking = config_path, data, lacking
        self.running = False
        self.served: str | None = None
        with suppress(click.ClickException):  # a fault of the config's, or a server that does not say it
            self._ask(whereabouts(config_path, data))
        self._load()

    def _ask(self, place: Path) -> None:
        """Which config the running server has, if there is one that says it."""
        self.running = serves(place)
        if not self.running or self.path is not None:
            return
        named = ask_server(place, "config.path")
        self.data = place
        self.served = named or ""
        self.path = None if named is None else Path(named)

    def _load(self, filled: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(filled or {})}
        try:
            if self.served == "":
                self.settings = config.from_environment(environ, None)
            elif filled is None:
                self.settings = load(self.path, self.data)
            else:
                self.settings = config.load(self.path or config.default_path(), environ)
        except click.ClickException as faulty:
            self.faults = faulty.message.splitlines()
        except ConfigFaults as faulty:
            self.faults = faulty.faults
        if filled is None and (names := _UNSET.findall("\n".join(self.faults))):
            faults, self.faults = self.faults, []
            urls = _UNSET_URL.findall("\n".join(faults))
            self._load({name: f"{NOT_HERE if name in urls else 'not-set-here-'}{name}" for name in names})
            self.unset, self.faults = ([], faults) if self.settings is None else (faults, [])

    def place(self) -> Path | None:
        """The data directory; None where a faulty config does not tell it."""
        if self.settings is not None:
            return data_dir(self.settings, self.data)
        try:
            return whereabouts(self.path, self.data)
        except click.ClickException:
            return None

    def __iter__(self) -> Iterator[Finding]:
        if self.served is not None:
            words = f"looked at is that of the running server: {self.served or 'no file, its environment'}"
            yield Finding("ok", "config", words)
        for fault in self.faults:
            yield Finding("wrong", "config", fault)
        for fault in self.unset:
            where = "In this shell: the running server has its own" if self.running else "Looked at without it"
            words = f"{fault} {where}. A service's are had by: set -a; . /etc/ftgate/env; set +a"
            yield Finding("look" if self.running else self.lacking, "config", words)
        if self.settings is not None:
            found = config.describe(self.settings)
            many = counted(len(found["channels"]), "channel"), counted(found["models"], "model")
            yield Finding("ok", "config", ", ".join(many))
            for warning in found["warnings"]:
                yield Finding("look", "config", warning)
