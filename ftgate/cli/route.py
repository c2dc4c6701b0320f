"""`ftgate route --explain`: who would be asked, and why, without asking anybody."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, table
from ftgate.cli.remote import ask_server, load, places, serves, whereabouts
from ftgate.core.money import format_usd
from ftgate.errors import GateError

COLUMNS = {
    "model": "Model",
    "channel": "Channel",
    "provider": "Provider",
    "score": "Score",
    "expected_cost": "Expected USD",
    "why": "Why",
}


@click.command()
@click.argument("asked", required=False)
@click.option("--explain", is_flag=True, help="Say who would be asked and why. It is all that this command does.")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read it from here.")
@click.option("--model", default="auto", show_default=True, help="The model, where a prompt alone is given.")
@click.option("--routing", help="auto, cheapest, fastest or fallback, where a prompt alone is given.")
@click.option("--route", help="The route it is for, like /v1/messages. [default: the one whose body it looks like]")
@as_json_option
@places
def route(
    asked: str | None, explain: bool, file: Path | None, model: str, routing: str | None, route: str | None,
    as_json: bool, config_path: Path | None, data: Path | None,
) -> None:  # fmt: skip
    """How a call would be routed. ASKED is a prompt, or a request's body as JSON; - reads it from standard input. Where
    a server runs it is asked: it knows who rests and who was quick. Nobody is called."""
    body = _body(_given(asked, file), model, routing)
    found = _explained(body, route, config_path, data)
    for row in found["data"]:
        row["expected_cost"] = format_usd(row["expected_cost"])
    if as_json:
        document(found)
        return
    why = found["complexity_why"]
    line(why if why else "no chat: complexity plays no part")
    if found["data"]:
        table(found["data"], COLUMNS)
    else:
        line("nobody would be asked")
    for out in found["left_out"]:
        line(f"left out  {out['model']}{' at ' + out['channel'] if out['channel'] else ''}: {out['reason']}")


def _given(asked: str | None, file: Path | None) -> str:
    if (asked is None) == (file is None):
        raise click.UsageError("name a prompt or a body, - for standard input, or --file")
    if file is not None:
        return file.read_text(encoding="utf-8", errors="replace")
    return sys.stdin.read() if asked == "-" else str(asked)


def _body(said: str, model: str, routing: str | None) -> str:
    """A request's body: what was given, or one around a prompt."""
    if said.lstrip().startswith("{"):
        return said
    fields: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": said}]}
    if routing:
        fields["routing"] = routing
    return json.dumps(fields)


def _explained(body: str, route: str | None, config_path: Path | None, data: Path | None) -> dict[str, Any]:
    import trio

    from ftgate import app

    place = whereabouts(config_path, data)
    if serves(place):
        found: dict[str, Any] = ask_server(place, "route.explain", body=body, route=route)
        return found
    try:
        return trio.run(app.explain_route, load(config_path, data), body, route)
    except GateError as refused:
        raise click.ClickException(refused.message) from None
