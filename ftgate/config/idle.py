"""What a config says that can have no effect: it is allowed, and whoever wrote it is told.

Three kinds: addresses in dialects that this version does not speak, names that no channel serves, and settings that
another one (or nothing at all) keeps from counting. And some that do what they say and will not be meant: payers who
come back to where only this machine is, a sign-up for strangers with short passwords, a proxy that nobody named.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from ftgate import dialects
from ftgate.config.channels import PREFIXES
from ftgate.config.load import Reading
from ftgate.config.settings import Server, Settings
from ftgate.config.values import shown
from ftgate.core.routing import Routes, allowed

ENOUGH = 8
"""Bytes of a password where strangers may sign up and try others' (NIST SP 800-63B)."""


def warn(reading: Reading, config: Settings) -> None:
    """Note a warning for each thing that can have no effect."""
    _unserved(reading, config)
    _overruled(reading, config.routes)
    _plain_http(reading)
    _own_address(reading, config)
    _payers(reading, config)
    _reached(reading, config.server)
    _not_yet(reading, config)


def _not_yet(reading: Reading, config: Settings) -> None:
    for table, row in (*_rows(reading, "channel"), *_rows(reading, "provider")):
        for name, dialect in PREFIXES:
            if name in row and dialect not in dialects.ALL:
                place = (*table, name)
                reading.warn(place, f"{reading.label(place)} has no effect yet: this version does not speak {dialect}.")


def _rows(reading: Reading, section: str) -> Iterable[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """The tables of a section of many: where each stands, and what is in it."""
    raw: Any = reading.raw.get(section, {})
    places = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [((section, name), row) for name, row in places if isinstance(row, dict)]


def _unserved(reading: Reading, config: Settings) -> None:
    routes = config.routes
    served = {name for channel in routes.channels if channel.weight for name in channel.models}
    for channel in routes.channels:
        alone = [name for name in channel.models if name not in served]
        if not channel.weight and alone:
            resting = ", ".join(shown(name) for name in alone)
            place = next(
                i
                for i, row in enumerate(reading.raw["channel"])
                if isinstance(row, dict) and row.get("name") == channel.name
            )
            words = f"weight = 0, and no other channel takes calls for {resting}."
            reading.warn(("channel", place, "weight"), f"[[channel]] {shown(channel.name)}: {words}")

    def look(where: tuple[str, ...], names: Iterable[str], label: str = "") -> None:
        for name in names:
            if routes.resolve(name) not in served:
                reading.warn(where, f"{label or reading.label(where)} names {shown(name)}, which no channel serves.")

    for alias in _written(reading, "alias"):
        look(("alias", alias), [routes.aliases[alias]] if alias in routes.aliases else [])
    for name in _written(reading, "fallback"):
        look(("fallback", name), [*([name] if name != "auto" else []), *routes.fallback.get(name, ())])
    for grade, names in routes.auto.items():
        look(("auto", grade), names)
    for name in _written(reading, "limits", "model"):
        look(("limits", "model", name), [routes.bare(name)], "[limits.model]")
    known = [*served, *(alias for alias in routes.aliases if routes.resolve(alias) in served), "auto"]
    for plan in config.plans.values():
        look(("plan", plan.name, "models"), [name for name in plan.models if not allowed((routes.bare(name),), *known)])


def _overruled(reading: Reading, routes: Routes) -> None:
    """Names that lead nowhere new, and what is written for "auto" where it is not asked."""
    for name, others in routes.fallback.items():
        where = ("fallback", name)
        if name in _written(reading, "fallback") and all(routes.resolve(o) == routes.resolve(name) for o in others):
            why = "names only the model itself" if others else "names no model"
            reading.warn(where, f"{reading.label(where)} {why}: it has no effect.")
    if routes.serving("auto"):
        if routes.auto:
            reading.warn(("auto",), '[auto] has no effect: a channel serves a model named "auto".')
    elif "auto" in _written(reading, "alias"):
        words = 'has no effect: model = "auto" chooses by [auto]. Name the model there.'
        reading.warn(("alias", "auto"), f"[alias] auto {words}")


def _plain_http(reading: Reading) -> None:
    """What only TLS has."""
    for place, row in _rows(reading, "channel"):
        if not str(row.get("base_url", "")).lower().startswith("http://"):
            continue
        for name in ("ca_file", "http2"):
            if row.get(name):
                where = (*place, name)
                reading.warn(where, f"{reading.label(where)} has no effect: base_url is not https.")


def _own_address(reading: Reading, config: Settings) -> None:
    """Channels that lead to where this gateway listens by this config; `serve`, which knows it, refuses them."""
    server = config.server
    own = {(host, server.port) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::", server.host)}
    rows = reading.raw.get("channel")
    for place, row in enumerate(rows if isinstance(rows, list) else ()):
        channel = next((c for c in config.routes.channels if isinstance(row, dict) and c.name == row.get("name")), None)
        if channel is None or channel.reach.proxy or channel.reach.built_in:
            continue
        for address in channel.addresses.values():
            parts = urlsplit(address.url)
            if (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)) in own:
                where = ("channel", place, "base_url")
                reading.warn(where, f"{reading.label(where)} is where this gateway listens: it would call itself.")
                break


def _payers(reading: Reading, config: Settings) -> None:
    """Real money is taken, and payers are sent back to where only this machine is."""
    secret = config.stripe.secret_key
    if secret is not None and "_live_" in secret.reveal() and config.server.public_url is None:
        words = "[stripe] takes payments, and payers come back to where this gateway listens. Set server.public_url."
        reading.warn(("stripe",), words)


HERE = ("127.0.0.1", "localhost", "::1")


def guessable(server: Server, host: str) -> str | None:
    """What to say of a sign-up that strangers reach where a server listens on `host`; None where there is nothing."""
    if server.registration != "open" or server.password_min >= ENOUGH:
        return None
    if host in HERE and (server.public_url is None or urlsplit(server.public_url).hostname in HERE):
        return None
    return (
        f'registration = "open" where others reach it, and password_min = {server.password_min}: short passwords are '
        f"guessed. Set server.password_min = {ENOUGH} or more."
    )


def _reached(reading: Reading, server: Server) -> None:
    """What others who reach the server can do to it."""
    if words := guessable(server, server.host):
        reading.warn(("server", "registration"), f"[server] {words}")
    secure = server.public_url is not None and server.public_url.startswith("https:")
    if secure and server.tls_cert is None and not server.trusted_proxies:
        words = (
            "[server] public_url is https and this server speaks plain HTTP, so a proxy stands before it: name its "
            "address in trusted_proxies, or all callers count as that one address."
        )
        reading.warn(("server", "public_url"), words)


def _written(reading: Reading, *where: str) -> list[str]:
    """The names that the file has in a table of names."""
    raw: Any = reading.raw
    for part in where:
        raw = raw.get(part, {}) if isinstance(raw, dict) else {}
    return list(raw) if isinstance(raw, dict) else []
