"""Looking at who may read the secrets: the config and what it names, and the certificate with its key."""

import grp
import ssl
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ftgate.config import Settings
from ftgate.core.certificate import validity
from ftgate.house.checkup import modes
from ftgate.house.findings import Finding

SOON_DAYS = 14
"""Most certificates live for 90 days and are renewed 30 before their end: this one was forgotten."""
SECRETS = {"keys", "secret_key", "webhook_secret", "metrics_token", "headers", "query", "proxy"}
"""Settings that hold a secret, or may."""


def of_config(settings: Settings) -> Iterator[Finding]:
    """Files of the config that hold secrets and may be read by others."""
    if settings.origin is None:
        return
    try:
        raw = tomllib.loads(settings.origin.read_text("utf-8-sig"))
    except (OSError, ValueError):  # it was read a moment ago: that is a fault of its own
        return
    written, named = _secrets(raw)
    files = [*([settings.origin] if written else []), *named]
    if settings.server.tls_key is not None:
        files.append(settings.server.tls_key)
    yield from modes("secrets", [file for file in files if not _a_group_s(file)])


def _a_group_s(file: Path) -> bool:
    """Whether a group other than root's may read it and nobody else: so a service's user comes to it."""
    try:
        found = file.stat()
    except OSError:
        return False
    return found.st_mode & 0o077 == 0o040 and found.st_gid not in {0, *_everybody_s()}


def _everybody_s() -> set[int]:
    """Groups that many people are in on some systems."""
    found = set()
    for name in ("users", "staff", "everyone"):
        with suppress(KeyError):
            found.add(grp.getgrnam(name).gr_gid)
    return found


def named(origin: Path) -> list[Path]:
    """The files that a config takes secrets and its certificate from; none where it cannot be read."""
    try:
        raw = tomllib.loads(origin.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return []
    server = raw.get("server")
    pair = [server.get(name) for name in ("tls_cert", "tls_key")] if isinstance(server, dict) else []
    with suppress(RuntimeError):
        return [*_secrets(raw)[1], *(Path(name).expanduser() for name in pair if isinstance(name, str))]
    return []


class Reach(NamedTuple):
    """What a user without any file of his own reads: by which `groups` he has to, and what he does `not_` read."""

    groups: tuple[str, ...]
    not_: tuple[Path, ...]


def reach(files: Iterable[Path]) -> Reach:
    """By which groups a service's user would read these files. Those that are not there are a fault of the config's."""
    groups: dict[int, str] = {}
    closed = []
    for file in files:
        try:
            own = file.stat()
            ways = [(own, 0o4), *((place.stat(), 0o1) for place in file.absolute().parents)]
        except OSError:
            continue
        wanted = {}
        for found, right in ways:
            if not found.st_mode & right:
                wanted[found.st_gid] = bool(found.st_mode & right << 3 and found.st_gid)
        if not all(wanted.values()):
            closed.append(file)
            continue
        for gid in wanted:
            with suppress(KeyError):
                groups[gid] = grp.getgrgid(gid).gr_name
    return Reach(tuple(sorted(groups.values())), tuple(closed))


def _secrets(raw: Mapping[str, Any]) -> tuple[bool, list[Path]]:
    """Whether a config holds secrets as they are, and the files it takes some from."""
    written, named = False, []
    for name, value in raw.items():
        texts = list(_texts(value)) if name in SECRETS else []
        for text in texts:
            if text.startswith("file:"):
                with suppress(RuntimeError):  # no such home: a fault of the config
                    named.append(Path(text.removeprefix("file:")).expanduser())
            elif text not in {"", "none"} and not text.startswith("env:"):
                written = True
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and name not in SECRETS:
                more = _secrets(inner)
                written, named = written or more[0], named + more[1]
    return written, named


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def certificate(cert: Path | None, key: Path | None, now: datetime | None = None) -> Iterator[Finding]:
    """Whether the certificate can be served, and for how long yet."""
    if cert is None or key is None:
        return
    now = now or datetime.now(UTC)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        begins, ends = validity(ssl.PEM_cert_to_DER_cert(_first(cert.read_text("ascii"))))
    except ssl.SSLError as error:
        words = "the key is not that of the certificate" if "MISMATCH" in str(error) else f"it is no PEM: {error}"
        yield Finding("wrong", "tls", f"{cert} with {key}: {words}. Put the pair there that belongs together")
        return
    except (OSError, ValueError) as error:
        yield Finding("wrong", "tls", f"{cert} with {key} cannot be read: {error}")
        return
    days, until = (ends - now).days, f"{ends:%Y-%m-%d}"
    if begins > now:
        yield Finding("wrong", "tls", f"{cert} holds from {begins:%Y-%m-%d} on: look at the clock, or take another one")
    elif ends <= now:
        yield Finding(
            "wrong", "tls", f"{cert} ended on {until}: renew it; a new one at the same place is taken at once"
        )
    elif days < SOON_DAYS:
        yield Finding("look", "tls", f"{cert} ends on {until}, in {days} days: renew it, or look why nobody has")
    else:
        yield Finding("ok", "tls", f"the certificate holds until {until}, {days} days")


def _first(pem: str) -> str:
    """The first certificate of a chain, which is the server's own. Raises ValueError where there is none."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    at = pem.index(begin)
    return pem[at : pem.index(end, at) + len(end)]
