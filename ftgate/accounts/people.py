"""Accounts as they see themselves (ports.site.People)."""

from collections.abc import Mapping

from ftgate.accounts.directory import Directory
from ftgate.accounts.plans import Plans
from ftgate.accounts.users import Users
from ftgate.core.moments import iso
from ftgate.core.money import format_cents
from ftgate.ports.site import Doer


class OwnAccounts:
    """Over the directory and what changes it."""

    def __init__(self, directory: Directory, users: Users, plans: Plans) -> None:
        self.directory = directory
        self.users = users
        self._plans = plans

    def self_of(self, account: int) -> dict[str, object]:
        """As ports.site.People says. What was credited is what is left and what was used, whatever came in between."""
        user, balance = self.directory.users[account], self.directory.books.accounts[account]
        return {
            "id": str(user.id),
            "username": user.username,
            "email": user.email,
            "role": user.role,
            "status": user.status,
            "quota": None if balance.metered else format_cents(balance.posted + balance.spent),
            "usedQuota": format_cents(balance.spent),
            "inviteCode": user.invite_code,
            "name": user.name,
            "plan": user.plan,
            "planId": self._plans.id_of(user.plan),
            "mode": "metered" if balance.metered else "prepaid",
            "createdAt": iso(user.created_at_us),
        }

    async def change_self(self, account: int, fields: Mapping[str, str], by: Doer) -> None:
        """As ports.site.People says."""
        await self.users.change(self.directory.users[account], fields, by)

    async def new_code(self, account: int, by: Doer) -> str:
        """As ports.site.People says."""
        return await self.users.new_code(self.directory.users[account], by)

    def plans(self) -> list[dict[str, object]]:
        """As ports.site.People says."""
        return self._plans.shown()
