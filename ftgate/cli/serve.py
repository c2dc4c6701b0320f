"""`ftgate serve` and `ftgate demo`: start, and say on stderr what a person needs for a first call. Stdout gets one
line, `ready URL`."""

import contextlib
import json
import logging
import os
import shlex
import signal
import sys
import urllib.request
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftgate import __version__, config
from ftgate.cli.output import line, told
from ftgate.cli.remote import data_dir, data_option, patience, places, whereabouts
from ftgate.config.idle import HERE, guessable
from ftgate.config.observed import collector, goes
from ftgate.core.connect import KEY_NAME
from ftgate.errors import ConfigFaults
from ftgate.house.called import program

if TYPE_CHECKING:
    from ftgate.house.serving import Started

Reading = Callable[[], config.Settings]
"""Gives the settings as they are written now, or raises ConfigFaults."""
OLLAMA_S = 0.5
"""Seconds that a local Ollama has to answer at the start."""


def say(text: str = "") -> None:
    line(text, err=True)


def local_ollama(environ: Mapping[str, str]) -> list[str] | None:
    """The models of an Ollama on this machine; None when none answers. Only this machine is asked."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:11434/api/tags", timeout=OLLAMA_S) as answer:
            said = json.load(answer)
        return [model["name"] for model in said["models"]] or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(path: Path | None) -> config.Settings:
    """The settings as they are written now. Raises ConfigFaults."""
    path = path or config.default_path()
    return config.load(path, os.environ) if path else config.from_environment(os.environ, local_ollama(os.environ))


def read_demo() -> config.Settings:
    return config.from_environment({}, None)


def _settings(reading: Reading) -> config.Settings:
    try:
        return reading()
    except ConfigFaults as faulty:
        for fault in faulty.faults:
            say(fault)
        number = len(faulty.faults)
        say(f"{number} {'fault' if number == 1 else 'faults'}, nothing was started. {program()} check repeats this.")
        raise click.exceptions.Exit(78) from None


def _given(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty: name an address, or leave it out", ctx, param)
    return value


@click.command()
@click.option("--host", callback=_given, help="The address to listen on. [default: server.host]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one. [default: server.port]")
@places
def serve(
    host: str | None = None, port: int | None = None, config_path: Path | None = None, data: Path | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    start(partial(read, config_path), data, host, port)


@click.command()
@click.option("--host", callback=_given, help="The address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one. [default: 8400]")
@data_option
def demo(host: str | None, port: int | None, data: Path | None) -> None:
    """Serve the built-in demo provider, whatever keys the environment holds."""
    start(read_demo, data, host, port)


def start(reading: Reading, data: Path | None, host: str | None, port: int | None) -> None:
    """Run the server to its end, with the settings that `reading` gives, now and again. Raises click's exceptions for
    what a person can mend."""
    import trio

    from ftgate import app
    from ftgate.house import log, serving
    from ftgate.house.lock import Locked
    from ftgate.store.database import DatabaseFault

    lines = log.to_stderr()
    settings = _settings(reading)
    lines.write_as(settings.server.log_format)
    if settings.origin is not None:  # a file that is gone must not be another config: that of the environment
        reading = partial(read, settings.origin)
    place = data_dir(settings, data)
    options = {"server.host": host, "server.port": port, "server.data_dir": data and str(place)}
    given = {name: value for name, value in options.items() if value is not None}
    host = host or settings.server.host
    port = settings.server.port if port is None else port
    for warning in [*settings.warnings, *_exposed(settings, host)]:
        say(log.opening(settings.server.log_format, f"warning: {warning}", logging.WARNING))

    unwritten: list[OSError] = []

    def tell(started: "Started") -> None:
        try:
            _started(settings, started)
        except OSError as error:  # nobody can learn the address or the key: end in good order, and say why
            unwritten.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    async def run() -> int:
        return await app.serve(
            settings, place, host=host, port=port, started=tell, read=reading, patience=patience(), given=given
        )

    try:
        code = trio.run(run)
        if unwritten:
            raise click.ClickException(f"the first lines could not be written: {unwritten[0].strerror}")
    except serving.NoSuchHost as unknown:
        raise click.ClickException(
            f"{unknown}. Give --host one of this machine's, 127.0.0.1 for itself or 0.0.0.0 for all."
        ) from None
    except serving.LeadsBack as back:
        say(str(back))
        raise click.exceptions.Exit(78) from None
    except serving.PortTaken as taken:
        raise click.ClickException(_port_taken(host, port, taken)) from None
    except Locked as locked:
        who = f"pid {locked.pid} (ftgate)" if locked.pid else "another ftgate"
        raise click.ClickException(f"{place} is in use by {who}. Stop it, or use another --data.") from None
    except (DatabaseFault, OSError) as error:
        raise click.ClickException(f"{place}: {told(error) if isinstance(error, OSError) else error}") from None
    raise click.exceptions.Exit(code)


def _exposed(settings: config.Settings, host: str) -> list[str]:
    """What a start says of an address that others reach."""
    words = guessable(settings.server, host) if host != settings.server.host else None
    said = [words] if words and not guessable(settings.server, settings.server.host) else []
    if host in HERE or settings.server.tls_cert or settings.server.public_url:
        return said
    return [
        *said,
        f"listening on {host} without TLS: keys cross the network in clear. Put a TLS proxy in front, or set "
        "server.tls_cert",
    ]


def _port_taken(host: str, port: int, taken: Exception) -> str:
    """What to do about a port that cannot be had. Ports below 1024 want a right of their own, so none of them is
    suggested."""
    other = port + 1 if 1024 <= port < 65535 else 8400
    if isinstance(taken.__cause__, PermissionError):
        return (
            f"{host}:{port} needs a right that this user lacks: ports below 1024 are the system's. Use --port {other} "
            "behind a proxy or a forwarded port, or give the right (CAP_NET_BIND_SERVICE)."
        )
    pid = _listener(port)
    if pid is None:
        return f"{host}:{port} cannot be listened on: {taken}. Use --port {other}, or free it."
    return f"{host}:{port} is taken by pid {pid[0]} ({pid[1]}). Use --port {other}, or stop it."


def _listener(port: int) -> tuple[int, str] | None:
    """Which process listens on a port, where the system tells (Linux) and lets us look into it."""
    try:
        listening = [
            columns
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            if Path(table).exists()
            for columns in map(str.split, Path(table).read_text().splitlines()[1:])
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port
        ]
        inodes, users = {columns[9] for columns in listening}, {columns[7] for columns in listening}
        processes = [process for process in Path("/proc").iterdir() if process.name.isdigit()]
    except (OSError, ValueError, IndexError):
        return None
    if not inodes:
        return None
    return next((found for process in processes if (found := _listens(process, inodes))), None) or _hidden(
        processes, users
    )


def _hidden(processes: Iterable[Path], users: Collection[str]) -> tuple[int, str] | None:
    """The only ftgate of these users that serves and does not let us look into it (house.serving.keep_no_core), if
    there is one: most likely it is the one that listens."""
    found = []
    for process in processes:
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            user = (process / "status").read_text().partition("\nUid:")[2].split()[0]
        except (OSError, IndexError):
            continue
        serves = any(b"ftgate" in word for word in command) and not {b"serve", b"demo"}.isdisjoint(command)
        if serves and user in users and int(process.name) != os.getpid() and not _is_open(process):
            found.append(int(process.name))
    return (found[0], "ftgate, most likely") if len(found) == 1 else None


def _is_open(process: Path) -> bool:
    """Whether we may see its files."""
    try:
        for link in (process / "fd").iterdir():
            link.readlink()
    except OSError:
        return False
    return True


def _listens(process: Path, inodes: set[str]) -> tuple[int, str] | None:
    """The process if one of its files is one of these sockets. It and its files may vanish while we look: then it is
    not the one."""
    try:
        links = list((process / "fd").iterdir())
    except OSError:
        return None
    for link in links:
        try:
            if str(link.readlink())[8:-1] in inodes:
                name = (
                    "ftgate"
                    if b"ftgate" in (process / "cmdline").read_bytes()
                    else (process / "comm").read_text().strip()
                )
                return int(process.name), name
        except OSError:
            continue
    return None


def _started(settings: config.Settings, started: "Started") -> None:
    """Print what UX asks for: the channels, the first key once, a curl that works; then `ready URL` on stdout. Where a
    log keeps these lines, no secret is among them."""
    from ftgate.house import log

    house, url, format = started.house, started.url, settings.server.log_format
    kept = format == "json" or log.in_journal(2, os.environ)

    def tell(text: str, shown: str = "") -> None:
        say(log.opening(format, text, shown=shown))

    origin = f"config {settings.origin}" if settings.origin else "no config file, using the environment"
    python = ".".join(map(str, sys.version_info[:2]))
    tell(f"ftgate {__version__} · Python {python} · data {house.data_dir}{' (new)' if house.fresh else ''} · {origin}")
    rows = config.describe(settings)["channels"]
    for row in rows:
        if row["provider"] == "demo":
            detail = "built in, answers canned text. Add a real one: export DEEPSEEK_API_KEY=... and start again"
        else:
            models = "1 model" if row["models"] == 1 else f"{row['models']} models"
            detail = models + (f"   from {row['from']}" if row["from"] else "")
        tell(f"  channel   {row['name']:<18} {detail}")
    if telemetry := goes(settings):
        tell(f"  telemetry {telemetry}", collector(settings) or "")
    _first_ones(started, tell, kept=kept)
    if sys.stdout is not None:  # closed: nobody wants the line
        click.echo(f"ready {url}")
        sys.stdout.flush()
    if started.owner_key is not None and not kept:
        with contextlib.suppress(OSError):  # whoever has read `ready` may have left
            _try_it(url, started.owner_key, _first_model(settings), demo=any(row["provider"] == "demo" for row in rows))


def _first_ones(started: "Started", tell: Callable[[str], None], *, kept: bool) -> None:
    """How the first operator is made, and the first key; where it is `kept`, the commands that make them."""
    where = _data_option(started.house.data_dir)
    if started.setup:
        by_hand = f"run: {program()} users create NAME --admin --password -{where}"
        if kept:
            tell(f"  admin     none yet, {by_hand}")
        else:
            tell("  admin     none yet: open this within 30 minutes (works once)")
            for link in started.setup:
                tell(f"            {link}")
            tell(f"            or {by_hand}")
    if started.owner_key is not None and kept:
        tell(f"  key       not shown in a log; run: {program()} keys create{where}")
    elif started.owner_key is not None:
        tell(f"  key       {started.owner_key}   (account owner, metered; shown only now)")


def _data_option(place: Path) -> str:
    """What leads a command to this data directory, where it does not go there by itself."""
    with contextlib.suppress(click.ClickException):
        if whereabouts(None, None) == place:
            return ""
    return f" --data {shlex.quote(str(place))}"


def _first_model(settings: config.Settings) -> str:
    """A model that answers, for clients that must be told one."""
    channels = sorted((c for c in settings.routes.channels if c.weight), key=lambda channel: channel.priority)
    return next((m.name for channel in channels for m in channel.models.values() if m.kind == "chat"), "auto")


def _try_it(url: str, key: str, model: str, *, demo: bool) -> None:
    say()
    say("Try it")
    say(f'  curl -i {url}/v1/chat/completions -H "Authorization: Bearer {key}" \\')
    body = '{"model":"auto","messages":[{"role":"user","content":"Hello"}]}'
    say(f"""    -H "Content-Type: application/json" -d '{body}'""")
    say("  The exact price of the answer stands in its header X-FindToken-Cost.")
    if demo:
        say("  The demo takes markers in the message: [tool] [long] [slow] [error] [limit] [cut]")
    say("OpenAI clients (aider, LangChain, llm, SDKs)")
    say(f"  export OPENAI_BASE_URL={url}/v1 OPENAI_API_BASE={url}/v1 OPENAI_API_KEY={key}")
    say("Claude Code")
    model = shlex.quote(model)
    say(f"  export ANTHROPIC_BASE_URL={url}/anthropic ANTHROPIC_AUTH_TOKEN={key} ANTHROPIC_API_KEY= \\")
    say(f"    ANTHROPIC_MODEL={model} ANTHROPIC_DEFAULT_HAIKU_MODEL={model}")
    say("Codex")
    provider = f'{{name="ftgate",base_url="{url}/v1",env_key="{KEY_NAME}",wire_api="responses"}}'
    say(f"  {KEY_NAME}={key} codex -m {model} -c model_provider=ftgate \\")
    say(f"    -c 'model_providers.ftgate={provider}'")
    say(f"Keep it: {program()} init (config file) · Ctrl-C stops")
