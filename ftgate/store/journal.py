"""The request log of a database file, as the account routes show it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from ftgate.store import requests


class StoredJournal:
    """ports.Journal, read in worker threads by short connections of their own: the writer is not disturbed."""

    def __init__(self, database: Path) -> None:
        self.database = database

    async def page(
        self, account: int, *, model: str | None = None, status: str | None = None, from_us: int | None = None,
        to_us: int | None = None,
        page: int, page_size: int,
    ) -> Mapping[str, object]:  # fmt: skip
        """As ports.Journal says."""
        chosen = requests.Filter(account=account, model=model, status=status, from_us=from_us, to_us=to_us)
        return await trio.to_thread.run_sync(
            partial(requests.page, self.database, chosen, page=page, page_size=page_size)
        )
