"""`ftgate check` and `ftgate init`: is the config right, and what could stand in it."""

import json
import os
from pathlib import Path
from typing import IO, Any

import click

from ftgate import config
from ftgate.errors import ConfigFaults


class Faulty(click.ClickException):
    """A config that cannot be used. Its faults are printed as they are, each on its line, on stderr."""

    exit_code = 1

    def __init__(self, faults: list[str]) -> None:
        them = "it" if len(faults) == 1 else "them"
        super().__init__("\n".join([*faults, f"{counted(len(faults), 'fault')}. Mend {them} and check again."]))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), help="The config file. [default: FTGATE_CONFIG, ./ftgate.toml]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(path: Path | None, as_json: bool) -> None:
    """Read the config and name every fault, with its line and how to mend it. Nothing is started."""
    path = path or config.default_path()
    try:
        found = config.describe(config.load(path, os.environ))
    except ConfigFaults as faulty:
        if as_json:
            click.echo(
                json.dumps(
                    {"ok": False, "config": str(path) if path else None, "faults": faulty.faults}, ensure_ascii=False
                )
            )
            raise click.exceptions.Exit(1) from None
        raise Faulty(faulty.faults) from None
    if as_json:
        click.echo(json.dumps({"ok": True, **found, "faults": []}, ensure_ascii=False))
        return
    for warning in found["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{found['config'] or 'no config file, using the environment'}: no faults")
    for row in found["channels"]:
        source = f"  from {row['from']}" if row["from"] else ""
        click.echo(
            f"  {row['name']:<20}  {row['provider']:<20}  {counted(row['keys'], 'key')}, "
            f"{counted(row['models'], 'model')}{source}"
        )
    click.echo(f"{counted(len(found['channels']), 'channel')}, {counted(found['models'], 'model')}")


@click.command()
@click.option(
    "--path",
    default="ftgate.toml",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
def init(path: Path, force: bool) -> None:
    """Write a config with every setting explained, all of them at their defaults."""
    beside = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        # Overwriting goes over a file beside it, so that a full disk does not cost the old one.
        with open(os.open(beside if force else path, flags, 0o600), "w", encoding="utf-8") as file:
            os.chmod(file.fileno(), 0o600)
            file.write(config.write_example())
        if force:
            beside.replace(path)
    except FileExistsError:
        raise click.ClickException(
            f"{path} is there already. Use --force to overwrite it, or --path for another name."
        ) from None
    except OSError as problem:
        raise click.ClickException(f"{path} cannot be written: {problem.strerror}.") from None
    click.echo(f"{path} written. Add a [[channel]], then: ftgate check --config {path}")
