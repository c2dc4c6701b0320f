"""`ftgate users`, `ftgate keys`, `ftgate credit`."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ftgate.cli.output import document, table
from ftgate.cli.remote import Unanswered, places, run

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@contextmanager
def _told(look: str) -> Iterator[None]:
    """When the server gives no answer, it is not known whether the command was done: say how to `look`."""
    try:
        yield
    except Unanswered as silent:
        raise click.ClickException(f"{silent.message}. It may have been done all the same: {look}") from None


@click.group()
def users() -> None:
    """Accounts: whose credits pay."""


@users.command("create")
@click.argument("name")
@click.option("--admin", is_flag=True, help="May manage the gateway.")
@click.option("--credits", "amount", default="0", help="First credits in USD, any decimal.")
@click.option("--password", help="`-` reads it from standard input.")
@click.option("--metered", is_flag=True, help="Count usage and block nothing, in place of prepaid credits.")
@as_json_option
@places
def create_user(
    name: str,
    admin: bool,
    amount: str,
    password: str | None,
    metered: bool,
    as_json: bool,
    config_path: Path | None,
    data: Path | None,
) -> None:
    """Make an account."""
    secret = None if password is None else _from_stdin(password)
    with _told(f"`ftgate users list` shows whether {name} is there"):
        said = run(
            config_path,
            data,
            "users.create",
            username=name,
            admin=admin,
            credits=amount,
            password=secret,
            metered=metered,
        )
    document(said) if as_json else click.echo(
        f"{said['username']}: {said['role']}, {said['mode']}, balance ${said['balance']}"
    )
    if not as_json and secret is None:
        click.echo(f"no password: to sign in it needs one, by `ftgate users password {name} --password -`")


def _from_stdin(password: str) -> str:
    """A password is read there, where nobody else can; a person at a terminal is asked for it twice, unseen."""
    if password != "-":
        raise click.UsageError(
            "a password on the command line can be read by others; use --password - and give it on standard input"
        )
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")


@users.command("password")
@click.argument("name")
@click.option("--password", required=True, help="`-` reads it from standard input.")
@as_json_option
@places
def set_password(name: str, password: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Give an account another password. Whoever is signed in with the one before no longer is; API keys stay."""
    secret = _from_stdin(password)
    with _told(f"the password of {name} is the one before, or this one"):
        said = run(config_path, data, "users.password", username=name, password=secret)
    document(said) if as_json else click.echo(f"{said['username']}: the password is changed")


@users.command("set")
@click.argument("name")
@click.option("--role", type=click.Choice(["user", "admin"]), help="admin is an operator.")
@click.option("--plan", help="A plan of the config.")
@click.option("--mode", type=click.Choice(["prepaid", "metered", "plan"]), help="`plan`: as its plan has it.")
@as_json_option
@places
def change_user(
    name: str, role: str | None, plan: str | None, mode: str | None, as_json: bool, config_path: Path | None,
    data: Path | None,
) -> None:  # fmt: skip
    """Give an account another role, plan or way to pay. What is not named stays."""
    fields: dict[str, Any] = {word: value for word, value in (("role", role), ("plan", plan)) if value is not None}
    if mode is not None:
        fields["mode"] = None if mode == "plan" else mode
    if not fields:
        raise click.UsageError("name what is to change: --role, --plan or --mode")
    with _told(f"`ftgate users list` shows how {name} is now"):
        said = run(config_path, data, "users.change", username=name, **fields)
    document(said) if as_json else click.echo(
        f"{said['username']}: {said['role']}, {said['mode']}, plan {said['plan']}"
    )


@users.command("logout")
@click.argument("name")
@as_json_option
@places
def sign_out(name: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """End an account's sessions and tokens; API keys stay."""
    with _told(f"{name} may still be signed in"):
        said = run(config_path, data, "users.logout", username=name)
    document(said) if as_json else click.echo(f"{said['username']}: signed out everywhere")


_USER_COLUMNS = {
    "id": "Id", "username": "User", "role": "Role", "status": "Status", "mode": "Mode", "balance": "Balance",
    "held": "Held", "used": "Used",
}  # fmt: skip


@users.command("list")
@as_json_option
@places
def list_users(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """All accounts with their balances."""
    rows = run(config_path, data, "users.list")
    document(rows) if as_json else table(rows, _USER_COLUMNS)


def _set_user(name: str, status: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    said = run(config_path, data, "users.set", username=name, status=status)
    document(said) if as_json else click.echo(f"{said['username']}: {said['status']}")


@users.command("disable")
@click.argument("name")
@as_json_option
@places
def disable_user(name: str, **options: Any) -> None:
    """Refuse all calls of an account from now on; running ones finish."""
    _set_user(name, "disabled", **options)


@users.command("enable")
@click.argument("name")
@as_json_option
@places
def enable_user(name: str, **options: Any) -> None:
    """Let an account call again."""
    _set_user(name, "active", **options)


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--user", "username", help="Whose key; by default the owner's.")
@click.option("--name", default="", help="A name to know it by.")
@click.option("--models", help="Only these models, with commas; a trailing * matches a prefix.")
@click.option("--quota", help="The most it may ever spend, in USD, any decimal.")
@click.option("--expires", help="ISO 8601, UTC unless it has an offset: 2027-01-31 or 2027-01-31T12:00:00Z.")
@as_json_option
@places
def create_key(
    username: str | None, name: str, models: str | None, quota: str | None, expires: str | None, as_json: bool,
    config_path: Path | None, data: Path | None,
) -> None:  # fmt: skip
    """Make a key. It is shown once, now."""
    chosen = None if models is None else models.split(",")
    with _told(
        "`ftgate keys list` then shows a key that nobody has seen as the last one, `ftgate keys delete ID` removes it"
    ):
        said = run(
            config_path, data, "keys.create", username=username, name=name, models=chosen, quota=quota, expires=expires
        )
    if as_json:
        document(said)
    else:
        click.echo(said["key"])
        click.echo(f"key {said['id']} of {said['user']}; it is not shown again", err=True)


_KEY_COLUMNS = {
    "id": "Id", "keyPrefix": "Key", "name": "Name", "user": "User", "status": "Status", "models": "Models",
    "quota": "Quota",
    "used": "Used", "expiresAt": "Expires",
}  # fmt: skip


@keys.command("list")
@click.option("--user", "username", help="Only this user's keys.")
@as_json_option
@places
def list_keys(username: str | None, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """All keys, without their secrets."""
    rows = run(config_path, data, "keys.list", username=username)
    document(rows) if as_json else table(rows, _KEY_COLUMNS)


def _set_key(key_id: str, status: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    said = run(config_path, data, "keys.set", key_id=key_id, status=status)
    document(said) if as_json else click.echo(f"key {said['id']}: {said['status']}")


@keys.command("disable")
@click.argument("key_id")
@as_json_option
@places
def disable_key(key_id: str, **options: Any) -> None:
    """Refuse a key until it is enabled again."""
    _set_key(key_id, "disabled", **options)


@keys.command("enable")
@click.argument("key_id")
@as_json_option
@places
def enable_key(key_id: str, **options: Any) -> None:
    """Let a disabled key call again."""
    _set_key(key_id, "active", **options)


@keys.command("delete")
@click.argument("key_id")
@as_json_option
@places
def delete_key(key_id: str, **options: Any) -> None:
    """Delete a key for good. Its past requests stay."""
    _set_key(key_id, "deleted", **options)


@click.group()
def credit() -> None:
    """Credits of an account."""


ref_option = click.option(
    "--ref", help="An id of your own for it: with the same one it is done once, however often it is repeated."
)


def _move(
    command: str, name: str, ref: str | None, as_json: bool, places: tuple[Path | None, Path | None], **arguments: Any
) -> None:
    """Do what moves credits. It always has a ref, so that one whose answer was lost can be repeated without doing it
    twice."""
    ref = f"{command.partition('.')[2]}_{secrets.token_hex(12)}" if ref is None else ref
    with _told(
        f"`ftgate ledger entries --user {name}` shows whether ref {ref} is there, and repeated with --ref {ref} it "
        "is done once"
    ):
        said = run(*places, command, username=name, ref=ref, **arguments)
    if as_json:
        document(said)
    elif said["already_done"]:
        click.echo(
            f"already done: ref {ref} is entry {said['entry']}; nothing was changed. {said['username']}: balance "
            f"${said['balance']}"
        )
    else:
        click.echo(f"{said['username']}: balance ${said['balance']}")


@credit.command("grant")
@click.argument("name")
@click.argument("usd")
@click.option("--note", default="", help="Why, for the ledger.")
@ref_option
@as_json_option
@places
def grant(
    name: str, usd: str, note: str, ref: str | None, as_json: bool, config_path: Path | None, data: Path | None
) -> None:
    """Give NAME credits of USD."""
    _move("credit.grant", name, ref, as_json, (config_path, data), amount=usd, note=note)


@credit.command("correct", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("usd")
@click.option("--note", required=True, help="What it puts right, for the ledger.")
@ref_option
@as_json_option
@places
def correct(
    name: str, usd: str, note: str, ref: str | None, as_json: bool, config_path: Path | None, data: Path | None
) -> None:
    """Put a mistake right: add USD to NAME's credits, or take them (-1.50). Entries are never changed; this adds
    one."""
    _move("credit.correct", name, ref, as_json, (config_path, data), amount=usd, note=note)
