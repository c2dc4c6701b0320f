"""What an operator does with users: make, list, enable and disable them."""

import re
import secrets

import trio

from ftgate.accounts import given
from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import Directory, User
from ftgate.accounts.passwords import hash_password
from ftgate.accounts.pending import write_down, written
from ftgate.core.moments import iso
from ftgate.core.money import format_usd_cents
from ftgate.core.secret import Secret
from ftgate.errors import InvalidRequest
from ftgate.ports import Clock
from ftgate.store.writer import Writer

OWNER = "owner"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Users:
    """Commands about users. Each raises InvalidRequest or NotFound with nothing changed, and DatabaseBusy when what it
    decided is not written in time."""

    def __init__(self, directory: Directory, credits: Credits, writer: Writer, clock: Clock) -> None:
        self.directory = directory
        self.credits = credits
        self.writer = writer
        self.clock = clock

    async def create(
        self,
        *,
        username: str,
        admin: bool = False,
        credits: str = "0",
        password: str | None = None,
        metered: bool = False,
    ) -> dict[str, object]:
        """Make an account. `credits` is a decimal amount in USD. Raises InvalidRequest."""
        if not _NAME.fullmatch(username):
            raise InvalidRequest(
                "a username is 1 to 64 letters, digits, dots, dashes, underscores or @, beginning with a letter or "
                "digit"
            )
        amount = given.amount(credits)
        hashed = await trio.to_thread.run_sync(hash_password, given.text("password", password)) if password else ""
        if username.lower() in self.directory.by_name:  # last: from here on nothing awaits until the name is taken
            raise InvalidRequest(f"a user named {username!r} exists already")
        user = User(
            id=max(self.directory.users, default=0) + 1,
            username=username,
            role="admin" if admin else "user",
            status="active",
            plan="default",
            mode="metered" if metered else "",
            created_at_us=self.clock.wall_us(),
            password=Secret(hashed),
            invite_code=secrets.token_hex(4).upper(),
        )
        self.directory.keep_user(user)
        self.directory.books.open_account(user.id, metered=self.directory.metered(user))
        batch = self.writer.changed()
        batch.statements.append(
            (
                "INSERT INTO users (id, username, password, role, status, plan, mode, invite_code, created_at_us)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    user.id,
                    username,
                    hashed,
                    user.role,
                    user.status,
                    user.plan,
                    user.mode,
                    user.invite_code,
                    user.created_at_us,
                ),
            )
        )
        batch.remember((), self.directory.books.accounts[user.id])
        if amount:
            self.credits.give(user, amount, "first credits", given.new_ref("grant"))
        await written(
            self.writer, batch, f"the user {username}", f"`ftgate users list` shows whether {username} is there"
        )
        return self.describe(user)

    async def owner(self) -> User:
        """The operator's own account, metered so that its calls need no credits; made if it is not there."""
        if OWNER not in self.directory.by_name:
            await self.create(username=OWNER, metered=True)
        return self.directory.by_name[OWNER]

    def describe(self, user: User) -> dict[str, object]:
        """A user as commands show it; amounts in USD."""
        balance = self.directory.books.accounts[user.id]
        return {
            "id": str(user.id),
            "username": user.username,
            "role": user.role,
            "status": user.status,
            "plan": user.plan,
            "mode": "metered" if balance.metered else "prepaid",
            "balance": format_usd_cents(balance.posted),
            "held": format_usd_cents(balance.held),
            "used": format_usd_cents(balance.used),
            "created_at": iso(user.created_at_us),
        }

    async def list(self) -> list[dict[str, object]]:
        return [self.describe(user) for user in self.directory.users.values()]

    async def set_status(self, *, username: str, status: str) -> dict[str, object]:
        """Enable or disable an account: its keys answer 401 from the next call on; running calls finish."""
        user = self.directory.user(username)
        if status not in {"active", "disabled"}:
            raise InvalidRequest(f"a user is active or disabled, not {status!r}")
        user.status = status
        for key in self.directory.keys.values():
            if key.account == user.id and key.status != "deleted":
                self.directory.keep_key(key)
        look = f"`ftgate users list` shows what counts now, and it can be repeated (user {user.username})"
        await write_down(
            self.writer,
            f"that user {user.username} is {status}",
            look,
            "UPDATE users SET status = ? WHERE id = ?",
            (status, user.id),
        )
        return self.describe(user)
