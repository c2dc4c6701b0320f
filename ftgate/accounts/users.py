"""Accounts: make, list, change, enable and disable them; their passwords and invite codes."""

import secrets
import string
from collections.abc import Callable, Mapping

from ftgate.accounts import given
from ftgate.accounts.acting import CLI, audited
from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import Directory, User
from ftgate.accounts.passwords import Hasher
from ftgate.accounts.pending import turn, written
from ftgate.accounts.plans import Plans
from ftgate.accounts.sessions import SignedIn
from ftgate.core.accounts import NAME, NAME_WORDS, STATUSES, password_fault
from ftgate.core.moments import iso
from ftgate.core.money import format_usd_cents
from ftgate.core.secret import Secret
from ftgate.errors import Conflict, InvalidRequest, NotAuthenticated
from ftgate.ports import Clock
from ftgate.ports.site import Doer
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes

OWNER = "owner"
_CODE_SIGNS = string.ascii_uppercase + string.digits
CHANGEABLE = ("status", "role", "plan", "mode", "name", "email")
"""What an operator changes of an account, by the names that the wire has for it."""


class Users:
    """Commands about accounts. Each raises InvalidRequest, NotFound or Conflict with nothing changed, and DatabaseBusy
    when what it decided is not written in time."""

    def __init__(
        self, directory: Directory, credits: Credits, sessions: SignedIn, plans: Plans, hasher: Hasher, writer: Changes,
        clock: Clock,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.credits = credits
        self.sessions = sessions
        self.plans = plans
        self.hasher = hasher
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
        """Make an account, as the command line does. `credits` is a decimal amount in USD. Raises InvalidRequest."""
        units = given.amount(credits)
        made = await self.make(
            username, by=CLI, password=given.text("password", password) if password else None,
            role="admin" if admin else "user", mode="metered" if metered else "", credits=units,
        )  # fmt: skip
        return self.describe(made)

    async def make(
        self, username: str, *, by: Doer, password: str | None = None, role: str = "user", mode: str = "",
        plan: str = "default", name: str = "", email: str = "", credits: int = 0,
        unless: Callable[[], None] = lambda: None,
    ) -> User:  # fmt: skip
        """Make an account for somebody else; `credits` in units. `unless` may refuse it at the last moment.
        Raises InvalidRequest for a name that none has, Conflict for one that is taken."""
        if not NAME.fullmatch(username):
            raise InvalidRequest(NAME_WORDS, param="username")
        self.check_plan(plan)
        hashed = await self.hasher.hash(password) if password else ""
        await turn(self.writer, by)
        unless()
        user, batch = self.open(
            username, by=by, hashed=hashed, role=role, mode=mode, plan=plan, name=name, email=email, credits=credits
        )
        await self._written(batch, f"the user {username}", by)
        return user

    def open(
        self, username: str, *, by: Doer = CLI, hashed: str = "", role: str = "user", mode: str = "",
        plan: str = "default", name: str = "", email: str = "", invited_by: int | None = None, credits: int = 0,
        kind: str = "first credits",
    ) -> tuple[User, Batch]:  # fmt: skip
        """Make an account, whose name and fields are right; the batch with which it is written. `credits` in units.
        Raises Conflict where the name is taken, InvalidRequest for an amount that is out of range. Nothing in it
        awaits: of two at once one is refused."""
        if username.lower() in self.directory.by_name:
            raise Conflict(f"a user named {username!r} exists already", code="username_taken", param="username")
        user = User(
            id=next(reversed(self.directory.users), 0) + 1,
            username=username,
            role=role,
            status="active",
            plan=plan,
            mode=mode,
            email=email,
            created_at_us=self.clock.wall_us(),
            name=name,
            password=Secret(hashed),
            invite_code=self._new_code(),
            invited_by=invited_by,
        )
        self.directory.keep_user(user)
        self.directory.books.open_account(user.id, metered=self.directory.metered(user))
        batch = self.writer.changed()
        batch.statements.append(
            (
                "INSERT INTO users (id, username, display_name, email, password, role, status, plan, mode, invite_code,"
                " invited_by, created_at_us) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    user.id, username, name, email, hashed, role, user.status, plan, mode, user.invite_code, invited_by,
                    user.created_at_us,
                ),
            )
        )  # fmt: skip
        batch.remember((), self.directory.books.accounts[user.id])
        audited(batch, user.created_at_us, by, "user.create", f"user:{user.id}", None, self._audited(user))
        if credits:
            self.credits.give(user, credits, kind, given.new_ref("grant"), by)
        return user, batch

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
            "used": format_usd_cents(balance.spent),
            "created_at": iso(user.created_at_us),
        }

    def account(self, user: User) -> dict[str, object]:
        """An account as operators see it over HTTP."""
        return {
            **self.describe(user),
            "name": user.name,
            "email": user.email,
            "keys": len(self.directory.keys_of.get(user.id, ())),
            "invite_code": user.invite_code,
            "invited_by": None if user.invited_by is None else str(user.invited_by),
            "last_login_at": None if user.last_login_at_us is None else iso(user.last_login_at_us),
            "last_used_at": self._last_used(user),
        }

    def _last_used(self, user: User) -> str | None:
        """When a call of one of its keys ended last."""
        quotas = self.directory.books.quotas
        seen_us = max((quotas[key].seen_us or 0 for key in self.directory.keys_of.get(user.id, ())), default=0)
        return iso(seen_us) if seen_us else None

    async def list(self) -> list[dict[str, object]]:
        return [self.describe(user) for user in self.directory.users.values()]

    async def set_status(self, *, username: str, status: str) -> dict[str, object]:
        """Enable or disable an account: its keys answer 401 from the next call on; running calls finish."""
        user = self.directory.user(username)
        if status not in STATUSES:
            raise InvalidRequest(f"a user is active or disabled, not {status!r}")
        return self.describe(await self.change(user, {"status": status}))

    async def change(self, user: User, changes: Mapping[str, str | None], by: Doer = CLI) -> User:
        """Change some of CHANGEABLE; what is not named stays. `mode` None follows the plan. Raises InvalidRequest,
        Conflict where it would leave no operator."""
        if (plan := changes.get("plan")) is not None:
            self.check_plan(plan)
        await turn(self.writer, by)
        before, changes = self._audited(user), self._asked(user, changes)
        stays = changes.get("role", user.role) == "admin" and changes.get("status", user.status) == "active"
        if self._is_operator(user) and not stays and sum(map(self._is_operator, self.directory.users.values())) == 1:
            raise Conflict(f"{user.username} is the last active operator: make another one first", code="last_admin")
        for what, said in changes.items():
            assert what in CHANGEABLE, what
            setattr(user, what, said or "")
        batch = self.writer.changed()
        if before["plan"] not in (user.plan, *self.plans.offers()):
            for key in self.directory.keys_of.get(user.id, {}).values():
                if key.plan == before["plan"]:  # it had named its account's own
                    self.plans.follow(key, batch, self.clock.wall_us(), by)
        self._counts(user)
        if changes.get("status") == "disabled":
            self.sessions.end_all(user, batch)
        # Also where nothing changes now: it may have been asked for before and not be in the database yet.
        batch.statements.append(
            (
                "UPDATE users SET status = ?, role = ?, plan = ?, mode = ?, display_name = ?, email = ? WHERE id = ?",
                (user.status, user.role, user.plan, user.mode, user.name, user.email, user.id),
            )
        )
        after = self._audited(user)
        if changed := [k for k in before if after[k] != before[k]]:
            was, now = ({k: state[k] for k in changed} for state in (before, after))
            audited(batch, self.clock.wall_us(), by, "user.update", f"user:{user.id}", was, now)
        what = (
            f"that user {user.username} is {user.status}" if "status" in changes else f"the change of {user.username}"
        )
        await self._written(batch, what, by)
        return user

    def _asked(self, user: User, changes: Mapping[str, str | None]) -> Mapping[str, str | None]:
        """What is to be changed of an account. A mode that it has by its plan, before and after, is the one that was
        read: it goes on following."""
        plans = {user.plan, changes.get("plan") or user.plan}
        modes = {"metered" if self.directory.metered_plan(plan) else "prepaid" for plan in plans}
        if user.mode or modes != {changes.get("mode")}:
            return changes
        return {what: said for what, said in changes.items() if what != "mode"}

    def check_plan(self, name: str) -> None:
        """Raises InvalidRequest where there is no such plan."""
        if name not in self.plans.offers():
            raise InvalidRequest(f"there is no plan {name!r}; GET /v1/plans lists them", param="plan")

    async def logout(self, user: User, by: Doer) -> int:
        """End every login token and session of an account; how many sessions that were."""
        await turn(self.writer, by)
        batch = self.writer.changed()
        ended = self.sessions.end_all(user, batch)
        audited(batch, self.clock.wall_us(), by, "user.logout", f"user:{user.id}")
        await self._written(batch, f"the end of what {user.username} is signed in with", by)
        return ended

    async def set_password(
        self, user: User, password: str, by: Doer = CLI, *, instead_of: Secret | None = None
    ) -> None:  # fmt: skip
        """Give it another password; every login token and session ends, API keys stay. Raises InvalidRequest; and
        NotAuthenticated where it is to take the place of one (`instead_of`) that was changed meanwhile."""
        hashed = await self.hasher.hash(given.text("password", password))
        await turn(self.writer, by)
        if instead_of is not None and user.password is not instead_of:
            raise NotAuthenticated("the password was changed meanwhile", code="invalid_credentials")
        batch = self.writer.changed()
        user.password = Secret(hashed)
        batch.statements.append(("UPDATE users SET password = ? WHERE id = ?", (hashed, user.id)))
        self.sessions.end_all(user, batch)
        audited(batch, self.clock.wall_us(), by, "user.password", f"user:{user.id}")
        await self._written(batch, f"the password of {user.username}", by)

    async def new_code(self, user: User, by: Doer) -> str:
        """Another invite code: the one before is void."""
        await turn(self.writer, by)
        user.invite_code = code = self._new_code()
        batch = self.writer.changed()
        batch.statements.append(("UPDATE users SET invite_code = ? WHERE id = ?", (code, user.id)))
        audited(batch, self.clock.wall_us(), by, "user.invite", f"user:{user.id}")
        await self._written(batch, f"the invite code of {user.username}", by)
        return code

    def by_code(self, code: str) -> User | None:
        """The active account whose invite code this is."""
        users = self.directory.users.values()
        return next((user for user in users if user.status == "active" and user.invite_code == code.upper()), None)

    @staticmethod
    def _new_code() -> str:
        return "".join(secrets.choice(_CODE_SIGNS) for _ in range(8))

    @staticmethod
    def _is_operator(user: User) -> bool:
        return user.role == "admin" and user.status == "active"

    def _counts(self, user: User) -> None:
        """What has changed of it counts from the next call on."""
        self.directory.books.accounts[user.id].metered = self.directory.metered(user)
        for key in self.directory.keys_of.get(user.id, {}).values():
            self.directory.keep_key(key)

    @staticmethod
    def _audited(user: User) -> dict[str, object]:
        said: dict[str, object] = {what: getattr(user, what) for what in ("username", *CHANGEABLE)}
        return {**said, "mode": user.mode or None}

    async def _written(self, batch: Batch, what: str, by: Doer) -> None:
        await written(
            self.writer, batch, what, "`ftgate users list` shows what counts now, and it can be repeated", by
        )  # fmt: skip


def password_fits(password: str, least: int, param: str = "password") -> str:
    """A password that may be set, as it is. Raises InvalidRequest."""
    if fault := password_fault(password, least):
        raise InvalidRequest(fault, param=param)
    return password
