"""Channels as an operator sees, tries and switches them (ports.operator.Channels)."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ftgate import dialects
from ftgate.core.health import LastError
from ftgate.core.routing import Channel
from ftgate.errors import NotFound
from ftgate.line.gate import Gate
from ftgate.line.standing import hint
from ftgate.line.trial import trial
from ftgate.ports import Upstream
from ftgate.ports.operator import Deeds, HalfHour, Switches
from ftgate.ports.site import Doer


class Ways:
    """The channels of a gate, which are asked by `upstream`."""

    def __init__(self, gate: Gate, upstream: Upstream, switches: Switches, deeds: Deeds) -> None:
        self.gate = gate
        self.upstream = upstream
        self.switches = switches
        self.deeds = deeds

    def named(self, name: str) -> Channel:
        """Raises NotFound."""
        found = next((c for c in self.gate.settings.routes.channels if c.name == name), None)
        if found is None:
            raise NotFound(f"no channel named {name[:200]!r}; `ftgate channels list` shows them")
        return found

    def shown(self) -> Sequence[Mapping[str, object]]:
        return [self._shown(c) for c in sorted(self.gate.settings.routes.channels, key=lambda c: c.priority)]

    def one(self, name: str) -> Mapping[str, object]:
        return self._shown(self.named(name))

    def _shown(self, channel: Channel) -> dict[str, object]:
        known = self.gate.standing.shown(channel)
        return {
            "name": channel.name, "provider": channel.provider, "base_url": base_url(channel),
            "priority": channel.priority, "weight": channel.weight, "enabled": channel.enabled,
            "models": list(channel.models), **known, "credentials": _keys(channel, known["credentials"]),
        }  # fmt: skip

    def day(self, name: str) -> Sequence[HalfHour]:
        return self.gate.standing.day(self.named(name).name)

    def errors(self, name: str) -> Sequence[LastError]:
        return self.gate.standing.errors(self.named(name).name)

    def since_us(self) -> int:
        return self.gate.standing.since_us

    async def test(self, name: str, model: str | None, by: Doer) -> Mapping[str, object]:
        channel = self.named(name)
        said = (await trial(self.upstream, self.gate.settings, channel, model, self.gate.clock)).shown()
        after = {"model": said["model"], "ok": said["ok"], "status": said["status"]}
        await self.deeds.note(by, "channel.test", name, after=after)
        return said

    async def switch(self, name: str, enabled: bool, by: Doer) -> Mapping[str, object]:
        self.named(name)
        await self.switches.turn(name, enabled, by)
        return self.one(name)

    async def reset(self, name: str, by: Doer) -> Mapping[str, object]:
        channel = self.named(name)
        before = self.gate.standing.shown(channel)["state"]
        self.gate.standing.health.reset(name)
        after = self.gate.standing.shown(channel)["state"]
        await self.deeds.note(by, "channel.reset", name, {"state": before}, {"state": after})
        return self.one(name)


def base_url(channel: Channel) -> str:
    """The address in front of its provider's own dialect, without what may be secret in it."""
    address = next(iter(channel.addresses.values()))
    parts = urlsplit(address.url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    path = parts.path.removesuffix(dialects.ADDRESSES[address.dialect])
    return f"{parts.scheme}://{host}{port}{path}"


def _keys(channel: Channel, resting: object) -> list[dict[str, object]]:
    """Each of its keys by its hint, with every model for which it is left alone."""
    rows: list[dict[str, object]] = list(resting) if isinstance(resting, list) else []
    said = []
    for key in channel.credentials:
        mine = [row for row in rows if row["hint"] == hint(key)]
        said += mine or [{"hint": hint(key), "model": None, "state": "ok", "until": None, "reason": None}]
    return said
