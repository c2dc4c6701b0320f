"""Reading the config again while calls are running: on a command, on SIGHUP, and when one of its files has changed.

All of it is read and checked first, in a thread; then everything is put in force in one step. What cannot be used
changes nothing: its faults are told, and the gateway goes on with what it has. Calls in flight keep the settings they
began with.
"""

import logging
import time
from collections.abc import Awaitable, Callable

import msgspec
import trio

from ftgate.config import Settings, changed, lost_channels, needing_restart
from ftgate.config.stamps import Stamps, look
from ftgate.errors import ConfigFaults
from ftgate.house.live import Live

log = logging.getLogger("ftgate.reload")

CHANGED_FILE = "a file has changed"
WATCH_S = 1.0
"""How often the files of the config are looked at. One that changes between two looks is still being written."""


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload has done, in the names of the file: what is in force now and was not before, and what is written
    there and waits for the next start."""

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Reloader:
    """Puts what is written in force. `read` gives the settings as they are written now, or raises ConfigFaults; it is
    called in a thread. `refused` says why this process cannot take settings that are good in themselves."""

    def __init__(
        self,
        live: Live,
        read: Callable[[], Settings],
        refused: Callable[[Settings], str | None] = lambda settings: None,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.live = live
        self.read = read
        self.refused = refused
        self.faults: tuple[str, ...] = ()
        """Of the last try; none when it went well."""
        self.tried: Stamps = live.settings.files
        """The files as they were at the last try."""
        self.loaded_at_us = wall_us()
        """When what is in force was read."""
        self.last_change: tuple[int, tuple[str, ...]] | None = None
        """When a reading last changed something, in microseconds since the epoch, and what."""
        self._wall_us = wall_us
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Reloader of {self.live!r}, {len(self.faults)} faults>"

    async def reload(self) -> Reloaded:
        """Read and put in force. Raises ConfigFaults; then nothing has changed."""
        async with self._turn:
            try:
                new = await self._written()
            except ConfigFaults as faulty:
                self.faults = tuple(faulty.faults)
                self.tried = {**self.live.settings.files, **faulty.files}
                raise
            self.faults, self.tried = (), new.files
            done = Reloaded(tuple(changed(self.live.settings, new)), tuple(needing_restart(self.live.started, new)))
            for warning in new.warnings:
                if warning not in self.live.settings.warnings:
                    log.warning("%s", warning)
            self.live.adopt(new)
            self.loaded_at_us = self._wall_us()
            if done.changed:
                self.last_change = self.loaded_at_us, done.changed
        return done

    async def _written(self) -> Settings:
        """What is written now. Raises ConfigFaults where this process cannot use it."""
        new = await trio.to_thread.run_sync(self.read, abandon_on_cancel=True)
        if why := lost_channels(self.live.settings, new) or self.refused(new):
            raise ConfigFaults([why], new.files)
        return new

    async def check(self) -> list[str]:
        """What is wrong with the config as it is written now; nothing changes."""
        try:
            await self._written()
        except ConfigFaults as faulty:
            return faulty.faults
        return []

    async def told(self, why: str) -> Reloaded:
        """Reload, and say in the log what came of it."""
        try:
            done = await self.reload()
        except ConfigFaults as faulty:
            for fault in faulty.faults:
                log.error("%s", fault)
            log.error("the config was read again (%s) and cannot be used: nothing has changed", why)
            raise
        if done.changed or why != CHANGED_FILE:
            log.warning("the config was read again (%s); %s", why, _said(done.changed))
        if done.needs_restart:
            log.warning("these settings hold from the next start on: %s", ", ".join(done.needs_restart))
        return done

    async def attempt(self, why: str) -> None:
        """Reload where nobody waits for the answer."""
        try:
            await self.told(why)
        except ConfigFaults:
            pass  # told already
        except Exception:  # a bug in reading must not end the server, which has good settings
            log.exception("the config could not be read again")

    async def heed(self, hangup: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled, reload at each SIGHUP, for which `hangup` waits."""
        while True:
            await hangup()
            await self.attempt("SIGHUP")

    async def watch(self) -> None:
        """Until cancelled, reload when a file of the config is another than at the last try, and has come to rest."""
        before = self.tried
        while True:
            await trio.sleep(WATCH_S)
            paths = tuple(self.tried)
            now = await trio.to_thread.run_sync(look, paths, abandon_on_cancel=True)
            if now != self.tried and now == before:
                self.tried = now
                await self.attempt(CHANGED_FILE)
            before = now


def _said(changed: tuple[str, ...]) -> str:
    return f"in force now: {', '.join(changed)}" if changed else "nothing is different"
