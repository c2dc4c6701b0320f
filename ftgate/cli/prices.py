"""`ftgate prices import`: a public list's prices beside the config's, and into it."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, table, told
from ftgate.cli.remote import load, places
from ftgate.config import imported
from ftgate.house import price_desk


@click.command("import")
@click.option("--from", "format", required=True, type=click.Choice(imported.FORMATS), help="Whose list it is.")
@click.option("--file", "source", required=True, metavar="FILE", help="The list, as downloaded; - reads it from stdin.")
@click.option("--provider", "name", metavar="NAME", help="This provider only. [default: those that have a channel]")
@click.option("--new", is_flag=True, help="Also models that the catalogue does not have.")
@click.option("--apply", "applied", is_flag=True, help="Write the changes into the config.")
@click.option("--force", is_flag=True, help="Take changes over threefold, and to or from zero, too.")
@as_json_option
@places
def import_prices(
    format: str, source: str, name: str | None, new: bool, applied: bool, force: bool, as_json: bool,
    config_path: Path | None, data: Path | None,
) -> None:  # fmt: skip
    """Compare a public price list with the config, and with --apply write what differs into it.

    Lists: model_prices_and_context_window.json of LiteLLM, api.json of models.dev, /api/v1/models of OpenRouter. What
    is written stands between two marks at the end of the config, as [provider.NAME.models."MODEL"], and is all that is
    ever written; a running server takes it up by itself. Exit code 1 where a change was left out for want of --force.
    """
    settings = load(config_path)
    path = settings.origin or config_path or Path("ftgate.toml")
    try:
        before = path.read_text("utf-8-sig") if settings.origin else ""
        known, found = imported.held_against(settings, before, format, _text(source), name=name, new=new)
    except ValueError as problem:
        raise click.ClickException(f"{source}: {problem}." if str(problem)[:2] == "it" else f"{problem}.") from None
    taken = [change for change in found.changes if imported.takes(change, force=force)]
    if applied and taken:
        stamp = imported.stamp(format, f"{datetime.now(UTC):%Y-%m-%d}")
        try:
            price_desk.put(path, imported.with_prices(before, taken, stamp), new=settings.origin is None)
        except ValueError as problem:
            raise click.ClickException(f"{path}: {problem}.") from None
        except price_desk.NotWritten as problem:
            raise click.ClickException(str(problem)) from None
    _tell(found, taken, path, known=known, applied=applied, as_json=as_json)
    if applied and not force and any(change.large and not change.hand for change in found.changes):
        raise click.exceptions.Exit(1)


def _text(source: str) -> str:
    """The list's text. Raises click.ClickException, ValueError."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read(price_desk.LARGEST_LIST + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(price_desk.LARGEST_LIST + 1)
    except OSError as problem:
        raise click.ClickException(f"the list cannot be read: {told(problem)}") from None
    return price_desk.decoded(data)


def _tell(
    found: imported.Compared, taken: list[imported.Change], path: Path, *, known: Mapping[str, str], applied: bool,
    as_json: bool,
) -> None:  # fmt: skip
    written = {(change.provider, change.model) for change in taken}
    rows = [
        {"provider": change.provider, "model": change.model, "field": of, "now": now, "new": then,
         "state": _state(change, taken=(change.provider, change.model) in written, applied=applied)}
        for change in found.changes
        for of, now, then in change.fields
    ]  # fmt: skip
    unread = [{"model": model, "why": why} for model, why in found.unread]
    if as_json:
        document({
            "applied": applied and bool(taken), "config": str(path), "changes": rows, "same": found.same,
            "unlisted": list(found.unlisted), "unread": unread, "not_in_catalogue": found.others,
        })  # fmt: skip
        return
    if rows:
        table(rows, {"provider": "Provider", "model": "Model", "field": "Price of", "now": "Now", "new": "New",
                     "state": ""})  # fmt: skip
    for change in found.changes:
        if change.channels:
            line(f"{change.provider}/{change.model}: {', '.join(change.channels)} has a price of its own", err=True)
    for row in unread:
        line(f"left out  {row['model']}: {row['why']}", err=True)
    line(_summary(found, taken, path, known=known, applied=applied), err=True)


def _state(change: imported.Change, *, taken: bool, applied: bool) -> str:
    if change.hand:
        return "set by hand, left as it is"
    if not taken:
        return "large: only with --force"
    return "written" if applied else "new model" if change.was is None else ""


def _summary(
    found: imported.Compared, taken: list[imported.Change], path: Path, *, known: Mapping[str, str], applied: bool
) -> str:
    if not known:
        return "no channel has a provider that this list knows; name one with --provider"
    said = [f"{found.same} models as listed, {len(found.changes)} differ"]
    if found.unlisted:
        said.append(f"{len(found.unlisted)} are not in the list")
    if found.others:
        said.append(f"{found.others} of the list are not in the catalogue (--new)")
    if applied:
        said.append(f"{len(taken)} written to {path}" if taken else "nothing to write")
    elif taken:
        said.append(f"nothing is written: --apply writes {len(taken)} to {path}")
    return "; ".join(said)
