"""Accounts as operators see and change them, over HTTP and by the command line (ports.managing.Users)."""

import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import trio

from ftgate.accounts import given
from ftgate.accounts.acting import CLI
from ftgate.accounts.directory import Directory, User
from ftgate.accounts.paging import cut
from ftgate.accounts.users import Users, password_fits
from ftgate.ports import SiteSettings
from ftgate.ports.site import Doer, Rows

GIVEN = 20
"""Characters of a password that nobody chose: 119 bits."""
STEP = 1000
"""Accounts that are looked at in one turn of the event loop: some milliseconds."""
_SIGNS = string.ascii_letters + string.digits


class ManagedAccounts:
    """Over the directory and what changes it. `site` are the site's settings in force."""

    def __init__(self, directory: Directory, users: Users, site: Callable[[], SiteSettings]) -> None:
        self.directory = directory
        self.users = users
        self.site = site

    async def page(
        self, *, q: str | None, status: str | None, after: int | None, skipped: int, size: int
    ) -> Rows:  # fmt: skip
        """As ports.managing.Users says."""
        newest = next(reversed(self.directory.users), 0)
        behind = newest + 1 if after is None else min(after, newest + 1)
        if q is None and status is None:
            total, rest = len(self.directory.users), self._of(q, status, behind)
        else:
            every = await self._every(q, status, newest)
            total, rest = len(every), (user for user in every if user.id < behind)
        shown, last = cut(rest, skipped, size, lambda user: user.id)
        return [self.users.account(user) for user in shown], total, last

    async def _every(self, q: str | None, status: str | None, newest: int) -> list[User]:
        """All accounts that are asked for, newest first. Calls go on in between."""
        found: list[User] = []
        for behind in range(newest + 1, 1, -STEP):
            found += self._of(q, status, behind, max(behind - STEP, 1))
            await trio.lowlevel.checkpoint()
        return found

    def _of(self, q: str | None, status: str | None, behind: int, last: int = 1) -> Iterator[User]:
        """The accounts that are asked for, newest first, behind one id and down to another."""
        part = None if q is None else q.casefold()
        for id in range(behind - 1, last - 1, -1):
            user = self.directory.users.get(id)
            if user is None or status not in {None, user.status}:
                continue
            if part is None or any(part in said.casefold() for said in (user.username, user.name, user.email)):
                yield user

    def shown(self, id: int) -> dict[str, object]:
        """As ports.managing.Users says."""
        return self.users.account(self.directory.account(id))

    def own_mode(self, id: int) -> str:
        """As ports.managing.Users says."""
        return self.directory.account(id).mode

    def mode_of(self, plan: str) -> str:
        """As ports.managing.Users says."""
        return "metered" if self.directory.metered_plan(plan) else "prepaid"

    async def make(self, username: str, fields: Mapping[str, Any], by: Doer) -> dict[str, object]:
        """As ports.managing.Users says."""
        if (password := fields.get("password")) is not None:
            password_fits(password, self.site().password_min)
        return self.users.account(await self.users.make(username, by=by, **fields))

    async def change(self, id: int, fields: Mapping[str, str | None], by: Doer) -> dict[str, object]:
        """As ports.managing.Users says."""
        if (plan := fields.get("plan")) is not None:
            self.users.check_plan(plan)  # what is wrong by itself is told before who is not there
        return self.users.account(await self.users.change(self.directory.account(id), fields, by))

    async def set_password(self, id: int, password: str | None, by: Doer) -> str | None:
        """As ports.managing.Users says."""
        least = self.site().password_min
        if password is not None:
            password_fits(password, least, "newPassword")
        made = "".join(secrets.choice(_SIGNS) for _ in range(max(GIVEN, least))) if password is None else None
        await self.users.set_password(self.directory.account(id), made or password or "", by)
        return made

    async def create(self, *, password: str | None = None, **wanted: Any) -> dict[str, object]:
        """Make an account, by the command line (users.Users.create). Raises InvalidRequest, Conflict."""
        if password is not None:
            password_fits(given.text("password", password), self.site().password_min)
        return await self.users.create(password=password, **wanted)

    async def password(self, *, username: str, password: str) -> dict[str, object]:
        """Give an account another password, by the command line. Raises InvalidRequest, NotFound."""
        user = self.directory.user(username)
        await self.set_password(user.id, given.text("password", password), CLI)
        return {"id": str(user.id), "username": user.username}

    async def edit(self, *, username: str, **fields: str | None) -> dict[str, object]:
        """Change an account's role, plan or mode, by the command line. Raises InvalidRequest, NotFound, Conflict."""
        said = {name: value for name, value in fields.items() if name in ("role", "plan", "mode")}
        return await self.change(self.directory.user(username).id, said, CLI)

    async def sign_out(self, *, username: str) -> dict[str, object]:
        """End an account's sessions and tokens, by the command line. Raises NotFound."""
        user = self.directory.user(username)
        return {"id": str(user.id), "username": user.username, "ended": await self.logout(user.id, CLI)}

    async def logout(self, id: int, by: Doer) -> int:
        """As ports.managing.Users says."""
        return await self.users.logout(self.directory.account(id), by)
