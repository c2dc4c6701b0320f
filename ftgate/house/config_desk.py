"""The config as an operator sees and reloads it (ports.operator.Config)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ftgate.config import inspected
from ftgate.core.moments import iso
from ftgate.errors import ConfigFaults, ConfigInvalid
from ftgate.house.reload import Reloader
from ftgate.ports.operator import Deeds
from ftgate.ports.site import Doer


class ConfigDesk:
    """Over the one that reads it. `given` are the settings that the command line gave to this process, by name: they
    hold whatever the file says."""

    def __init__(self, reloader: Reloader, deeds: Deeds, given: Mapping[str, object] = MappingProxyType({})) -> None:
        self.reloader = reloader
        self.deeds = deeds
        self.given = given

    def shown(self) -> Mapping[str, object]:
        config, change = self.reloader.live.settings, self.reloader.last_change
        return {
            "path": None if config.origin is None else str(config.origin),
            "loaded_at": iso(self.reloader.loaded_at_us),
            "settings": inspected(config, self.reloader.live.started, self.given),
            "given": self.given,
            "last_error": "\n".join(self.reloader.faults) or None,
            "last_change": None if change is None else {"at": iso(change[0]), "settings": list(change[1])},
        }

    async def path(self) -> str | None:
        """The file in force, as one finds it from anywhere; None where there is none."""
        origin = self.reloader.live.settings.origin
        return None if origin is None else str(origin.absolute())

    async def check(self) -> Sequence[str]:
        return await self.reloader.check()

    async def reload(self, by: Doer) -> Mapping[str, object]:
        try:
            done = await self.reloader.told("a command")
        except ConfigFaults as faulty:
            raise ConfigInvalid(faulty.faults) from None
        said = {"changed": list(done.changed), "needs_restart": list(done.needs_restart)}
        target = self.reloader.live.settings.origin
        await self.deeds.note(by, "config.reload", "" if target is None else str(target), after=said)
        return {"ok": True, **said}

    async def command(self) -> Mapping[str, object]:
        """As the command line asks for it: what was done, or the faults."""
        try:
            return await self.reload(Doer())
        except ConfigInvalid as invalid:
            return {"ok": False, "faults": invalid.faults}
