"""Accounts over a database of their own, which must verify in the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ftgate.accounts import Accounts
from ftgate.core.books import Books
from ftgate.ports import PlanOffer, SiteSettings
from ftgate.store.database import connect, last_entry
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.fakes.ports import TrioClock

SITE = SiteSettings(registration="open", plans={"default": PlanOffer()})


@asynccontextmanager
async def opened(
    path: Path, *, metered_plans: tuple[str, ...] = (), site: SiteSettings | Callable[[], SiteSettings] = SITE
) -> AsyncIterator[Accounts]:
    connection = connect(path, durability="process")
    writer = Writer(connection)
    accounts = Accounts(
        Books(next_id=last_entry(connection) + 1),
        writer,
        TrioClock(),
        lambda plan: plan in metered_plans,
        b"secret of the tests",
        site if callable(site) else lambda: site,
    )
    accounts.load(connection)
    writer.start()
    try:
        yield accounts
    finally:
        await writer.close()
        assert verify_ledger(path)["ok"]


async def found(accounts: Accounts, secret: object) -> Any:
    return await accounts.directory.find(str(secret).encode())
