"""Prices in force, and a public list's prices beside them and into the config's file (ports.operator.Prices). The
command line imports by the same functions.

What is written stands between two marks at the file's end (config.imported), and is put in the place of the file that
is there once it is seen to load: half a config is never there.
"""

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import trio

from ftgate import config
from ftgate.config import Settings, imported
from ftgate.core.money import format_price, format_usd
from ftgate.core.pricing import Price, Tier
from ftgate.core.routing import Channel, Model
from ftgate.errors import ConfigFaults, ConfigInvalid, Conflict, InvalidRequest, NotFound
from ftgate.house.reload import Reloader
from ftgate.ports.operator import Deeds, PriceList
from ftgate.ports.site import Doer
from ftgate.store.owner import keep_owner

LARGEST_LIST = 64 * 1024 * 1024
"""Bytes of a list that are read; LiteLLM's has under four million."""
KEPT = 4
"""Lists that were compared and may still be applied."""
RATES = ("input", "output", "cached", "cache_write", "cache_write_1h")


class NotWritten(Exception):
    """The config is as it was: why, in words."""


def decoded(data: bytes) -> str:
    """A list's text. Raises ValueError."""
    if len(data) > LARGEST_LIST:
        raise ValueError(f"it has more than {LARGEST_LIST} bytes, which no price list has")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None


def put(path: Path, text: str, *, new: bool) -> None:
    """Put a config in the place of the one that is there, once it is seen to load. Raises NotWritten."""
    place = path.resolve()
    beside = place.with_name(f"{place.name}.new")
    try:
        if new and place.exists():
            raise NotWritten(f"{path} is there, but is not the config in use. Name it with --config.")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.chmod(file.fileno(), 0o600 if new else place.stat().st_mode & 0o7777)
            keep_owner(beside, place.parent if new else place)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        config.load(beside, os.environ)
        beside.replace(place)
    except ConfigFaults as faulty:
        faults = "\n".join(fault.replace(f"{beside}:", f"{path}:") for fault in faulty.faults)
        raise NotWritten(f"with these prices the config would not load; it is as it was.\n{faults}") from None
    except OSError as problem:
        raise NotWritten(f"{path} cannot be written: {problem.strerror or problem}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


class _Seen(msgspec.Struct, frozen=True):
    """A list that was compared, to be applied as it was shown."""

    asked: PriceList
    changes: tuple[imported.Change, ...]


class PriceDesk:
    """Over the settings in force, and the one that reads them anew."""

    def __init__(self, reloader: Reloader, deeds: Deeds) -> None:
        self.reloader = reloader
        self.deeds = deeds
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def shown(self) -> Sequence[Mapping[str, object]]:
        """As ports.operator.Prices says."""
        settings, rows = self.reloader.live.settings, dict[tuple[str, str, object], dict[str, object]]()
        for at, channel in enumerate(settings.routes.channels):
            for name, model in channel.models.items():
                place = channel.provider, name, (model.price, model.hours)
                row = rows.setdefault(place, _row(settings, at, channel, name, model))
                channels = row["channels"]
                assert isinstance(channels, list)
                channels.append(channel.name)
        return sorted(rows.values(), key=lambda row: (str(row["provider"]), str(row["model"])))

    async def compare(self, asked: PriceList) -> Mapping[str, object]:
        """As ports.operator.Prices says."""
        known, found = await trio.to_thread.run_sync(self._held_against, asked)
        id = secrets.token_hex(8)
        self._seen[id] = _Seen(asked, found.changes)
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return {"id": id, "path": self._path(), **_said(known, found)}

    async def apply(self, id: str, *, force: bool, by: Doer) -> Mapping[str, object]:
        """As ports.operator.Prices says."""
        seen = self._seen.get(id)
        if seen is None:
            raise NotFound("that list is no longer known: compare it again")
        path = self.reloader.live.settings.origin
        if path is None:
            raise Conflict("there is no config file: `ftgate init` writes one", code="no_config")
        written = await trio.to_thread.run_sync(partial(self._written, seen, path, force=force))
        said = {"written": written, "from": seen.asked.format}
        await self.deeds.note(by, "prices.import", str(path), after=said)
        try:
            done = await self.reloader.told("imported prices")
        except ConfigFaults as faulty:
            raise ConfigInvalid(faulty.faults) from None
        return {**said, "path": str(path), "changed": list(done.changed)}

    def _path(self) -> str | None:
        origin = self.reloader.live.settings.origin
        return None if origin is None else str(origin)

    def _held_against(self, asked: PriceList) -> tuple[Mapping[str, str], imported.Compared]:
        """In a thread. Raises InvalidRequest."""
        settings = self.reloader.live.settings
        try:
            before = settings.origin.read_text("utf-8-sig") if settings.origin is not None else ""
            text = decoded(asked.data)
            return imported.held_against(
                settings, before, asked.format, text, name=asked.provider, new=asked.new
            )  # fmt: skip
        except OSError as problem:
            raise InvalidRequest(f"{settings.origin} cannot be read: {problem.strerror}") from None
        except ValueError as problem:
            words = f"The list cannot be used: {problem}"
            raise InvalidRequest(words, code="invalid_value", param="list") from None

    def _written(self, seen: _Seen, path: Path, *, force: bool) -> int:
        """In a thread: write what was shown, and how many models that are. Raises Conflict, InvalidRequest."""
        _, found = self._held_against(seen.asked)
        if found.changes != seen.changes:
            raise Conflict("the config has changed since the list was compared: compare it again", code="changed")
        taken = [change for change in found.changes if imported.takes(change, force=force)]
        if not taken:
            return 0
        stamp = imported.stamp(seen.asked.format, time.strftime("%Y-%m-%d", time.gmtime()))
        try:
            put(path, imported.with_prices(path.read_text("utf-8-sig"), taken, stamp), new=False)
        except OSError as problem:
            raise Conflict(f"{path} cannot be read: {problem.strerror}", code="not_written") from None
        except (ValueError, NotWritten) as problem:
            raise Conflict(str(problem), code="not_written") from None
        return len(taken)


def _row(settings: Settings, at: int, channel: Channel, name: str, model: Model) -> dict[str, object]:
    """A model's price, without its channels. Amounts in USD, those of RATES for a million tokens."""
    shipped = config.provider(channel.provider) if channel.provider in config.provider_names() else None
    known = shipped.models.get(name) if shipped is not None else None
    as_shipped = known is not None and (known.price, known.hours) == (model.price, model.hours)
    return {
        "provider": channel.provider, "model": name, "channels": [], "kind": model.kind,
        **_rates(model.price), "per_request": format_usd(model.price.per_request) if model.price.per_request else None,
        "tiers": [{"above": tier.above, **_rates(tier)} for tier in model.price.tiers], "hours": bool(model.hours),
        "date": shipped.prices_date if shipped is not None and as_shipped else None,
        "source": shipped.prices_source if shipped is not None and as_shipped else None,
    }  # fmt: skip


def _rates(price: Price | Tier) -> dict[str, object]:
    return {of: format_price(getattr(price, of)) for of in RATES}


def _said(known: Mapping[str, str], found: imported.Compared) -> dict[str, object]:
    """What is different, in plain values."""
    return {
        "known": sorted(known),
        "changes": [
            {
                "provider": change.provider, "model": change.model, "new": change.was is None, "large": change.large,
                "hand": change.hand, "channels": list(change.channels),
                "fields": [{"field": of, "now": now, "then": then} for of, now, then in change.fields],
            }
            for change in found.changes
        ],
        "same": found.same, "unlisted": list(found.unlisted), "others": found.others,
        "unread": [{"model": model, "why": why} for model, why in found.unread],
    }  # fmt: skip
