"""`ftgate connect`: tells programs of this server, on paper or in their files."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line
from ftgate.cli.remote import ask_server, load, places, serves, whereabouts
from ftgate.config.values import expanded
from ftgate.core.adding import Unchangeable, added
from ftgate.core.connect import (
    COMMAND,
    ENVIRONMENT,
    GROUPS,
    KEY_NAME,
    PLACEHOLDER,
    TOOLS,
    Piece,
    Tool,
    from_container,
    is_public,
)

BEFORE, ABSENT, AFTER = ".before-ftgate", ".absent-before-ftgate", ".after-ftgate"
"""Beside a file: as it was before, or that there was none, and as it was when that was put back."""
PRIVATE = 0o600
"""The mode of what is written: there may be a key in it."""
COMMENTED = {"zed"}
"""Programs whose own file has comments from the first day: it can rarely be written without losing them."""


@click.command("connect")
@click.argument("tool", required=False, metavar="[TOOL]")
@click.option("--model", default="auto", show_default=True, help="The model that the program is to call.")
@click.option(
    "--key",
    "key_from",
    metavar="-|env:NAME|file:PATH",
    help=f"Where its API key is read from. [default: env:{KEY_NAME}]",
)
@click.option("--url", metavar="URL", help="The server's address. [default: where the server here is reached]")
@click.option("--write", is_flag=True, help="Put it into the program's own file, and keep that as it was beside it.")
@click.option("--restore", is_flag=True, help="Put that file back as it was before --write.")
@as_json_option
@places
def connect(
    tool: str | None, model: str, key_from: str | None, url: str | None, write: bool, restore: bool, as_json: bool,
    config_path: Path | None, data: Path | None,
) -> None:  # fmt: skip
    """Tell a program of this server: what to write, and where. Without TOOL it lists the programs."""
    if tool is None:
        if write or restore:
            raise click.UsageError("Which program? `ftgate connect` lists them.")
        _list(as_json)
        return
    known = _known(tool)
    if restore:
        _restore(known)
        return
    base = (url or _address(config_path, data)).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise click.UsageError(f"{base!r} is no address: it begins with http:// or https://")
    key = _key(key_from)
    pieces = known.pieces(base.removesuffix("/v1"), key or PLACEHOLDER, model)
    if write:
        _write(known, pieces, key)
    elif as_json:
        rows = [{"where": piece.where, "text": piece.shown} for piece in pieces]
        document({"tool": known.id, "name": known.name, "either": known.either, "pieces": rows, "notes": known.notes})
    else:
        _say(known, pieces, base)


def _list(as_json: bool) -> None:
    if as_json:
        document([{"tool": tool.id, "name": tool.name, "group": tool.group} for tool in TOOLS.values()])
        return
    for group in GROUPS:
        line(group)
        for tool in TOOLS.values():
            if tool.group == group:
                line(f"  {tool.id:<16}{tool.name}{' (--write)' if _is_written(tool) else ''}")


def _known(name: str) -> Tool:
    if name in TOOLS:
        return TOOLS[name]
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), TOOLS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise click.UsageError(f"No program {name!r} is known here.{hint} `ftgate connect` lists them.")


def _address(config_path: Path | None, data: Path | None) -> str:
    """Where the server that runs here is reached, else where one would be."""
    place = whereabouts(config_path, data)
    if serves(place):
        return str(ask_server(place, "address"))
    server = load(config_path, data).server
    if server.public_url:
        return server.public_url
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(server.host, server.host)
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if server.tls_cert else ''}://{host}:{server.port}"


def _key(given: str | None) -> str:
    """The API key; "" where none was given."""
    try:
        if given is None:
            return os.environ.get(KEY_NAME, "").strip()
        kind, _, place = given.partition(":")
        if given == "-":
            return sys.stdin.readline().strip()
        if kind == "env" and place:
            return os.environ[place].strip()
        if kind == "file" and place:
            return expanded(place).read_text("utf-8").strip()
    except KeyError:
        raise click.UsageError(f"the environment has no {place}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{place} is no text") from None
    except ValueError as homeless:
        raise click.ClickException(f"{place}{homeless}") from None
    raise click.UsageError("--key takes -, env:NAME or file:PATH: on the command line others could read the key")


# On paper


def _say(tool: Tool, pieces: Sequence[Piece], base: str) -> None:
    """What to write goes to standard output, the words about it beside it."""
    for at, piece in enumerate(pieces):
        where = {ENVIRONMENT: "In its environment", COMMAND: "Then run"}.get(piece.where, f"In {piece.where}")
        line(f"{'' if at == 0 else chr(10)}{'Or: ' if at and tool.either else ''}{where}:", err=True)
        line(piece.shown)
    words = list(tool.notes)
    if tool.contained and from_container(base) != base:
        words.append(f"From a container this machine is {from_container(base)}; start ftgate with --host 0.0.0.0.")
    if tool.public and not is_public(base):
        words.append(f"Its servers make the calls and cannot reach {base}: it needs a public https address.")
    if any(PLACEHOLDER in piece.shown for piece in pieces):
        words.append(f"Put your key in place of {PLACEHOLDER}, or give it: --key -. `ftgate keys create` makes one.")
    if _is_written(tool):
        words.append(f"`ftgate connect {tool.id} --write` does it for you.")
    line("".join(f"\n{one}" for one in words), err=True)


# In files


def _file(tool: Tool) -> str:
    """The file of the program's that can be written; "" where there is none."""
    pieces = tool.pieces("http://x", PLACEHOLDER, "auto")
    return next((piece.where for piece in pieces if piece.where.startswith("~/")), "")


def _is_written(tool: Tool) -> bool:
    """Whether --write is worth offering."""
    return bool(_file(tool)) and tool.id not in COMMENTED


def _own_file(tool: Tool) -> Path:
    if not (where := _file(tool)):
        raise click.UsageError(
            f"{tool.name} has no file that could be written; `ftgate connect {tool.id}` says what to do"
        )
    try:
        return expanded(where).resolve()
    except ValueError as homeless:
        raise click.ClickException(f"{where}{homeless}") from None


def _write(tool: Tool, pieces: Sequence[Piece], key: str) -> None:
    if not key:
        raise click.UsageError(f"A key is needed: --key - reads it, or set {KEY_NAME}. `ftgate keys create` makes one.")
    path = _own_file(tool)
    piece = next(piece for piece in pieces if piece.where.startswith("~/"))
    try:
        own = path.read_bytes() if path.exists() else b""
        whole = added(path.suffix, own.decode().replace("\r\n", "\n"), piece.text)
    except UnicodeDecodeError:
        raise click.ClickException(f"{path} is no text. Nothing was changed.") from None
    except Unchangeable as why:
        raise click.ClickException(
            f"{path} was not changed: {why}. Put this into it by hand:\n\n{piece.text.replace(key, PLACEHOLDER)}"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    if (before := _before(path)) is None:  # a second time it would be ours
        before = _beside(path, BEFORE if path.exists() else ABSENT)
        _put(before, own, stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE)
    _put(path, (whole.replace("\n", "\r\n") if b"\r\n" in own else whole).encode(), PRIVATE)
    if before.name.endswith(ABSENT):
        line(f"{path} is written; there was none. `ftgate connect {tool.id} --restore` takes it away.")
    else:
        line(f"{path} is written; it was kept as {before.name}. `ftgate connect {tool.id} --restore` puts it back.")
    if not tool.either:
        for other in pieces:
            if other is not piece:
                where = {ENVIRONMENT: "its environment", COMMAND: "a shell"}.get(other.where, other.where)
                line(f"\nStill to do, in {where}:", err=True)
                line(other.shown)


def _restore(tool: Tool) -> None:
    path = _own_file(tool)
    if (before := _before(path)) is None:
        raise click.ClickException(
            f"there is no {_beside(path, BEFORE)}: nothing was written, or it is put back already"
        )
    after = _beside(path, AFTER)
    if path.exists():
        path.replace(after)
    if before.name.endswith(ABSENT):
        before.unlink()
        line(f"{path} is gone, as it was; what it had become is {after.name}.")
    else:
        before.replace(path)
        line(f"{path} is as it was; what it had become is {after.name}.")


def _before(path: Path) -> Path | None:
    """What was kept of it when it was first written; an empty one with a name of its own where it was not there."""
    return next((kept for ending in (BEFORE, ABSENT) if (kept := _beside(path, ending)).exists()), None)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _put(path: Path, data: bytes, mode: int) -> None:
    """Write it whole or not at all."""
    part = _beside(path, ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
    part.replace(path)
