"""The request log of a database file, as the account and operator routes show it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import trio

from ftgate.core.logged import Glance, Listed, Place, Recorded, Used, Wanted, csv_head, csv_line
from ftgate.core.periods import Window
from ftgate.store import glance, listing, usage
from ftgate.store.source import Source

PIECE = 500
"""Calls in one piece of an export: some milliseconds of reading."""


class StoredJournal:
    """ports.Journal, read in worker threads by short connections of their own: the writer is not disturbed."""

    def __init__(self, database: Source) -> None:
        self.database = database

    async def requests_of(self, accounts: Sequence[int]) -> Mapping[int, int]:
        """As ports.Journal says."""
        return await trio.to_thread.run_sync(usage.requests_of, self.database, accounts)

    async def page(
        self, wanted: Wanted, *, skipped: int, size: int, after: Place | None = None, summed: bool = False
    ) -> Listed:
        """As ports.Journal says."""
        return await trio.to_thread.run_sync(
            partial(listing.page, self.database, wanted, skipped=skipped, size=size, after=after, summed=summed)
        )

    async def csv(self, wanted: Wanted, names: Sequence[str]) -> AsyncIterator[bytes]:
        """As ports.Journal says. No read lasts longer than one piece, so that a slow reader keeps nothing open."""
        newest = await trio.to_thread.run_sync(listing.newest, self.database)
        yield csv_head(names).encode()
        behind = listing.BEGINNING
        while True:
            lines, behind = await trio.to_thread.run_sync(
                partial(self._piece, wanted, names, behind=behind, newest=newest)
            )
            if not lines:
                return
            yield lines

    def _piece(self, wanted: Wanted, names: Sequence[str], *, behind: Place, newest: int) -> tuple[bytes, Place]:
        rows, behind = listing.older_first(self.database, wanted, behind=behind, newest=newest, size=PIECE)
        return "".join([csv_line(row, names) for row in rows]).encode(errors="replace"), behind

    async def call(self, request_id: str, account: int | None = None) -> Recorded | None:
        """As ports.Journal says."""
        return await trio.to_thread.run_sync(listing.recorded, self.database, request_id, account)

    async def used(self, account: int, window: Window) -> Used:
        """As ports.Journal says."""
        return await trio.to_thread.run_sync(usage.used, self.database, account, window)

    async def glance(self, account: int, month: Window, shown: Window) -> Glance:
        """As ports.Journal says."""
        return await trio.to_thread.run_sync(glance.glance, self.database, account, month, shown)
