"""Which channels an operator has switched off. It outlives a restart and a reload, and is forgotten with the name."""

from collections.abc import Callable, Collection

from ftgate.accounts.acting import audited
from ftgate.accounts.pending import turn, written
from ftgate.ports import Clock
from ftgate.ports.site import Doer
from ftgate.store.changes import Changes
from ftgate.store.source import Connection

SWITCHES = "SELECT channel, enabled FROM switches"


class Switches:
    """ports.operator.Switches over the database."""

    def __init__(self, writer: Changes, clock: Clock) -> None:
        self.writer = writer
        self.clock = clock
        self.off: set[str] = set()
        self.turned: Callable[[], None] = lambda: None
        """Told when one was turned, before it is written down: it holds at once."""

    def load(self, connection: Connection) -> None:
        """Read which are off, also once more."""
        self.off.clear()
        self.off.update(name for name, enabled in connection.execute(SWITCHES) if not enabled)

    def renew(self, name: str, enabled: bool) -> None:
        """One was turned at another gateway."""
        (self.off.discard if enabled else self.off.add)(name)
        self.turned()

    def keep(self, names: Collection[str]) -> None:
        """Only these channels are there now."""
        for name in self.off - set(names):
            self.off.discard(name)
            self.writer.changed().statements.append(("DELETE FROM switches WHERE channel = ?", (name,)))

    async def turn(self, name: str, enabled: bool, by: Doer) -> None:
        """Switch a channel on or off. Raises errors.DatabaseBusy when that is not written in time; it holds then."""
        await turn(self.writer, by)
        before = name not in self.off
        (self.off.discard if enabled else self.off.add)(name)
        self.turned()
        batch = self.writer.changed()
        sql = "INSERT INTO switches VALUES (?, ?) ON CONFLICT (channel) DO UPDATE SET enabled = excluded.enabled"
        batch.statements.append((sql, (name, int(enabled))))
        said = "enable" if enabled else "disable"
        after = {"enabled": enabled}
        audited(batch, self.clock.wall_us(), by, f"channel.{said}", name, {"enabled": before}, after)
        await written(
            self.writer,
            batch,
            f"the channel {name} is {said}d, which",
            "`ftgate channels list` shows how it stands",
            by,
        )
