"""The whole of a config: sections, plans, channels, routes, and what must hold between them."""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ftgate.config import environment, idle, observed, settings
from ftgate.config.channel_settings import ProviderOverride
from ftgate.config.channels import Builder, check_lifetime, overridden
from ftgate.config.load import Missing, Reading, S, dotted, fields, nearest
from ftgate.config.note import Note
from ftgate.config.settings import Settings
from ftgate.config.shipped import provider, provider_names
from ftgate.config.stamps import look
from ftgate.config.values import is_key_like, secret, shown, unquoted
from ftgate.core.complexity import GRADES
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Routes, Timeouts
from ftgate.core.secret import OWN_KEY, Secret
from ftgate.errors import ConfigFaults
from ftgate.providers import catalogue

SECTIONS = (
    "server", "database", "backup", "billing", "stripe", "telemetry", "limits", "timeouts", "retry", "breaker", "plan",
    "channel", "provider", "alias", "fallback", "auto",
)  # fmt: skip
ALIAS_STEPS = 4
"""How many aliases routing follows in a row."""


def default_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """The config to use when none is named: FTGATE_CONFIG, else ./ftgate.toml if it exists, else None. Raises
    ConfigFaults where this user may not look whether it exists."""
    named = unquoted((os.environ if environ is None else environ).get("FTGATE_CONFIG", ""))
    if named:
        return Path(named)
    path = Path("ftgate.toml")
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as problem:
        words = f"it cannot be looked for here: {problem.strerror}. Name one with --config, or go to another directory."
        raise ConfigFaults([f"{path}:1: {words}"]) from None
    return path


def named_data_dir(path: Path) -> Path:
    """The data directory that a file names, whatever else is wrong in it. Raises ConfigFaults where it cannot be told
    without the server's environment, or the file is no TOML."""
    reading = _reading(path, {})
    reading.raise_faults()
    server = reading.section(("server",), settings.Server())
    there = reading.raw.get("server", {})
    if isinstance(there, dict) and "data_dir" in there and any("data_dir" in words for _, words in reading.faults):
        reading.raise_faults()
    return server.data_dir


def named_database(path: Path, environ: Mapping[str, str]) -> Secret | None:
    """The URL of the PostgreSQL that a file names, whatever else is wrong in it; None where it names none, and the
    ledger is a file. Raises ConfigFaults where it cannot be told, or the file is no TOML."""
    reading = _reading(path, environ)
    reading.raise_faults()
    found = _database(reading).url
    there = reading.raw.get("database", {})
    if found is None and isinstance(there, dict) and "url" in there:
        reading.faults[:] = [(line, words) for line, words in reading.faults if "url" in words]
        reading.raise_faults()
    return found


def load(path: Path | None, environ: Mapping[str, str], ollama_models: list[str] | None = None) -> Settings:
    """The settings of a file, or without one those of the environment. Raises ConfigFaults with every fault at once.

    A file without any [[channel]] takes its channels from the environment too, and `ollama_models` only matters then.
    """
    if path is None:
        return from_environment(environ, ollama_models)
    reading = _reading(path, environ)
    reading.raise_faults()
    return build(reading, path, ollama_models)


def _reading(path: Path, environ: Mapping[str, str]) -> Reading:
    """Of a file. Raises ConfigFaults where it cannot be read; what is wrong in it is noted."""
    origin = path.name if path.parent == Path() else str(path)
    own = look([path])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise ConfigFaults(
            [f"{origin}:1: the file cannot be read: {problem.strerror}. ftgate init writes one."], own
        ) from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise ConfigFaults([f"{origin}:{line}: the file is not UTF-8. Save it as UTF-8."], own) from None
    reading = Reading(text, origin, environ)
    reading.files.update(own)
    return reading


def from_environment(environ: Mapping[str, str], ollama_models: list[str] | None) -> Settings:
    """The settings without a config. Raises ConfigFaults, when a key in the environment is none."""
    return build(Reading("", "environment", environ), None, ollama_models)


def effective_provider(config: Settings, name: str) -> catalogue.Provider | None:
    """A provider of the catalogue with the config's overrides, None for an unknown name. For BYOK calls."""
    return overridden(provider(name), config.providers.get(name)) if name in provider_names() else None


def build(reading: Reading, origin: Path | None, ollama_models: list[str] | None) -> Settings:
    """Settings from a reading. Raises ConfigFaults."""
    for name, value in reading.raw.items():
        if name not in SECTIONS:
            kind = dotted((name,)) if len(name) <= 40 and not is_key_like(name) else "this"
            reading.fault(
                (name,), f"{f'[{kind}]' if isinstance(value, dict) else kind} is no section. {nearest(name, SECTIONS)}"
            )
    found: dict[str, str] = {}
    if not reading.raw.get("channel", []):
        if origin is not None:
            reading.warn(
                (), "there is no [[channel]]: channels are made from the environment, or of the built-in demo."
            )
        discovered = environment.discover(reading.environ, ollama_models)
        reading.raw["channel"], found = discovered.rows, discovered.found
        for name in discovered.own:
            reading.warn((), f"{name} holds a key of this gateway, which no provider takes. No channel is made of it.")
    database = _database(reading)
    timeouts = reading.section(("timeouts",), Timeouts())
    check_lifetime(reading, ("timeouts", "total"), timeouts, database.hold_lifetime)
    limits = reading.section(("limits",), settings.LIMITS, also=("account", "model"))
    breaker = reading.section(("breaker",), Breaker())
    if breaker.cooldown_cap < breaker.cooldown:
        reading.at(("breaker", "cooldown_cap"), " is under cooldown. Raise it.")
    overrides = _named(reading, ("provider",), ProviderOverride())
    for name in overrides.keys() - set(provider_names()):
        reading.fault(
            ("provider", name),
            f"[{dotted(('provider', name))}] is not in the catalogue. {nearest(name, provider_names())}",
        )
    builder = Builder(reading, timeouts, overrides, database.hold_lifetime)
    routes = _routes(reading, builder.build())
    server = _server(reading)
    result = Settings(
        server=server,
        database=database,
        backup=reading.section(("backup",), settings.Backup()),
        billing=reading.section(("billing",), settings.Billing()),
        stripe=_stripe(reading),
        telemetry=observed.telemetry(reading),
        limits=limits,
        limits_account=reading.section(("limits", "account"), Rates()),
        limits_model=_model_limits(reading, routes),
        timeouts=timeouts,
        retry=reading.section(("retry",), Retry()),
        breaker=breaker,
        plans=_plans(reading, limits),
        providers=builder.overrides,
        routes=routes,
        found=found,
        origin=origin,
        warnings=[],
        certificate=_fingerprint(server),
        files=reading.files,
        lines=reading.lines,
    )
    idle.warn(reading, result)
    reading.raise_faults()
    return msgspec.structs.replace(result, warnings=reading.warnings())


def _named(reading: Reading, where: tuple[str, ...], base: S) -> dict[str, S]:
    """A table of sections of one kind: [provider.NAME], [limits.model."NAME"]."""
    raw: Any = reading.raw
    for part in where:
        raw = raw.get(part, {}) if isinstance(raw, dict) else {}
    names = reading.named(where, raw, fields(type(base)))
    return {
        name: msgspec.structs.replace(base, **reading.given((*where, name), row, type(base)))
        for name, row in names.items()
    }


def _model_limits(reading: Reading, routes: Routes) -> dict[str, Rates]:
    """The limits of models, each under its served name: an alias counts as its model."""
    where = ("limits", "model")
    found: dict[str, Rates] = {}
    written: dict[str, str] = {}
    for name, rates in _named(reading, where, Rates()).items():
        served = routes.resolve(routes.bare(name))
        if served in written:
            words = f"counts as the same model as {shown(written[served])}, which has limits already. Keep one of them."
            reading.fault((*where, name), f"[limits.model] {shown(name)} {words}")
        written[served] = name
        found[served] = rates
    return found


def _server(reading: Reading) -> settings.Server:
    server = reading.section(("server",), settings.Server())
    raw = reading.raw.get("server", {})
    for have, lack in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if isinstance(raw, dict) and have in raw and lack not in raw:
            reading.at(("server", have), f" needs {lack} beside it. Add it, or leave both out.")
    if server.public_url is not None and urlsplit(server.public_url).path not in ("", "/"):
        words = " has a path, and all pages stand at the top of an address. Give it a name of its own, like "
        reading.at(("server", "public_url"), f"{words}https://llm.example.org.")
    if server.tls_cert is not None and server.tls_key is not None:
        _check_certificate(reading, server.tls_cert, server.tls_key)
    return server


def _check_certificate(reading: Reading, cert: Path, key: Path) -> None:
    """Load what `serve` would load: better a fault with its line now than a riddle at the start."""
    import ssl  # 20 ms, and rarely needed

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
    except (ssl.SSLError, OSError):
        reading.at(("server", "tls_cert"), " holds no certificate that can be read (PEM). Give the chain's file.")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError):
        reading.at(
            ("server", "tls_key"),
            " is no private key that fits tls_cert. Give the key it was made with, without a password.",
        )


def _fingerprint(server: settings.Server) -> str:
    """Tells one certificate with its key from another; "" without one, or where it cannot be read."""
    if server.tls_cert is None or server.tls_key is None:
        return ""
    found = sha256()
    try:
        for path in (server.tls_cert, server.tls_key):
            found.update(sha256(path.read_bytes()).digest())
    except OSError:  # it has its fault already
        return ""
    return found.hexdigest()


def _database(reading: Reading) -> settings.Database:
    """With the URL as it is meant: nothing of it is ever shown but host and name (store.source)."""
    where = ("database",)
    database = reading.section(where, settings.Database(), also=("url",))
    raw = reading.raw.get("database", {})
    if not isinstance(raw, dict) or "url" not in raw:
        return database
    try:
        return msgspec.structs.replace(database, url=_url(reading, raw["url"]))
    except ValueError as problem:
        reading.at((*where, "url"), str(problem))
        return database


def _url(reading: Reading, raw: object) -> Secret:
    """A PostgreSQL's, as it is meant. Raises ValueError with what goes on where the setting's name ends."""
    url = secret(reading.resolve(raw, "secret"), fields(settings.Database)["url"][1])
    if url.reveal().partition("://")[0] not in {"postgresql", "postgres"}:
        raise ValueError(" is no PostgreSQL. It begins with postgresql://; without it the ledger is a file.")
    return url


def database_url(written: str, environ: Mapping[str, str]) -> Secret:
    """The URL of a PostgreSQL that a command was given, which may say where it stands: env:NAME, file:PATH. Raises
    ConfigFaults."""
    try:
        return _url(Reading("", "URL", environ), written)
    except ValueError as problem:
        raise ConfigFaults([f"URL{problem}"]) from None


def _stripe(reading: Reading) -> settings.Stripe:
    """Off while both secrets are unset; one without the other is a fault in a written section, else a warning."""
    where, names = ("stripe",), ("secret_key", "webhook_secret")
    stripe = reading.section(where, settings.Stripe(), also=names)
    if stripe.min_amount > stripe.max_amount:
        reading.at((*where, "min_amount"), " is more than max_amount. Lower it.")
    raw = reading.raw.get("stripe", {})
    secrets: dict[str, Secret] = {}
    unset: dict[str, str] = {}
    faults = len(reading.faults)
    note = fields(settings.Stripe)["secret_key"][1]
    for name in names:
        written = raw.get(name, f"env:STRIPE_{name.upper()}") if isinstance(raw, dict) else None
        try:
            secrets[name] = secret(reading.resolve(written, "secret"), note)
        except Missing as problem:
            if isinstance(written, str) and written.startswith("env:"):
                unset[name] = str(problem)
            else:
                reading.at((*where, name), str(problem))
        except ValueError as problem:
            reading.at((*where, name), str(problem))
    for name, key in secrets.items():
        if key.reveal().startswith(OWN_KEY):
            reading.at((*where, name), " is a key of this gateway, not Stripe's. Take Stripe's.")
    if len(unset) == 1 and len(secrets) == 1:
        name, words = unset.popitem()
        if raw:
            reading.at((*where, name), words)
        else:
            reading.warn(where, f"{reading.label((*where, name))}{words} Payments stay off.")
    whole = len(secrets) == 2 and len(reading.faults) == faults
    return msgspec.structs.replace(stripe, **secrets) if whole else stripe


def _plans(reading: Reading, limits: Rates) -> dict[str, settings.Plan]:
    plans = {"default": settings.Plan("default")}
    rates = tuple(fields(Rates))
    known = [*fields(settings.PlanSettings), *rates]
    for name, raw in reading.named(("plan",), reading.raw.get("plan", {}), known).items():
        where = ("plan", name)
        row = reading.table(where, raw)
        given = reading.given(where, row, settings.PlanSettings, also=rates)
        if given.get("models") == ():
            reading.at((*where, "models"), ' is empty. Write ["*"] for all models, or name those that it may use.')
        own = reading.given(where, {key: row[key] for key in rates if key in row}, Rates)
        plans[name] = settings.Plan(name, rates=msgspec.structs.replace(limits, **own) if own else None, **given)
    return plans


# -- routes


def _routes(reading: Reading, channels: tuple[Channel, ...]) -> Routes:
    served = {name for channel in channels for name in channel.models}
    aliases = _aliases(reading, channels, served)
    routes = Routes(channels=channels, aliases=aliases)
    fallback: dict[str, tuple[str, ...]] = {}
    for name, raw in reading.named(("fallback",), reading.raw.get("fallback", {})).items():
        good, value = reading.value(("fallback", name), raw, "texts", Note("", ""))
        if good:
            fallback[name] = value
    for name in list(fallback):  # written for an alias, it holds for the model behind it and so for all its names
        fallback.setdefault(routes.resolve(name), fallback[name])
    auto = reading.section(("auto",), settings.Auto())
    grades = {grade: getattr(auto, grade) for grade in GRADES}
    return msgspec.structs.replace(
        routes, fallback=fallback, auto={grade: names for grade, names in grades.items() if names},
        first_token_target=auto.first_token_target,
    )  # fmt: skip


def _aliases(reading: Reading, channels: tuple[Channel, ...], served: set[str]) -> dict[str, str]:
    """Shipped aliases, those of the channels' providers first and those that lead somewhere before those that do not;
    the configured ones over them."""
    merged: dict[str, str] = {}
    for name in dict.fromkeys([*(channel.provider for channel in channels), *provider_names()]):
        for alias, target in provider(name).aliases.items():
            if alias not in merged or (merged[alias] not in served and target in served):
                merged[alias] = target
    own: dict[str, str] = {}
    for alias, raw in reading.named(("alias",), reading.raw.get("alias", {})).items():
        good, value = reading.value(("alias", alias), raw, "text", Note("", ""))
        if good:
            own[alias] = value
            if alias in served:
                reading.warn(
                    ("alias", alias),
                    f"{reading.label(('alias', alias))} is a model that a channel serves; the model wins over the "
                    "alias.",
                )
    merged |= own
    for alias in own:
        _check_chain(reading, alias, own, merged, served)
    return merged


def _check_chain(reading: Reading, alias: str, own: dict[str, str], merged: dict[str, str], served: set[str]) -> None:
    """Where a configured alias leads: a circle is a fault, unless a shipped alias closes it, which then goes from
    `merged`."""
    chain = [alias]
    target = merged.get(alias)
    while target is not None and target not in chain:
        chain.append(target)
        target = None if target in served else merged.get(target)
    if target is None:
        if len(chain) > ALIAS_STEPS + 1:
            reading.at(("alias", alias), f" leads over more than {ALIAS_STEPS} aliases. Point it at the model itself.")
    elif set(circle := chain[chain.index(target) :]) <= set(own):
        if alias == min(circle):  # once for each circle
            around = " -> ".join(shown(name).strip('"') for name in [*circle, target])
            reading.at(("alias", alias), f" leads round in a circle: {around}. Point it at a model.")
    else:
        for name in set(circle) - set(own):
            del merged[name]


def channel_row(channel: Channel) -> dict[str, Any]:
    """What a list says of a channel; nothing secret."""
    return {
        "name": channel.name, "provider": channel.provider, "priority": channel.priority, "weight": channel.weight,
        "keys": len(channel.credentials), "models": len(channel.models), "dialect": next(iter(channel.addresses)),
    }  # fmt: skip


def describe(config: Settings) -> dict[str, Any]:
    """What a summary says of a config; nothing secret."""
    names = {name for channel in config.routes.channels for name in channel.models}
    rows = [
        {
            "name": channel.name,
            "provider": channel.provider,
            "keys": sum(1 for credential in channel.credentials if credential.reveal()),
            "models": len(channel.models),
            "from": config.found.get(channel.name),
        }
        for channel in config.routes.channels
    ]
    return {
        "config": str(config.origin) if config.origin else None,
        "channels": rows,
        "models": len(names),
        "warnings": config.warnings,
    }
