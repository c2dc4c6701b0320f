"""Users, their keys, their credits: in memory for the hot path, in the database for ever.

A key is `sk-ft_` and 43 url-safe characters (256 random bits); only its SHA-256 and its first characters are kept, and it is
found by the whole hash, never by a part of it. A slow hash buys nothing at that size. Passwords are the opposite: scrypt.

Names and rules are checked here before anything is queued for the writer, so what is queued cannot fail.
"""

import base64
import hashlib
import re
import secrets
import sqlite3
from collections.abc import Callable
from decimal import Decimal

import msgspec
import trio

from ftgate.core.books import Books, Entry, Refusal
from ftgate.core.moments import iso, parse_time
from ftgate.core.money import format_usd, format_usd_cents, parse_usd
from ftgate.edge.db import Batch, Writer
from ftgate.errors import InvalidRequest, NotFound
from ftgate.ports import Clock, Key

KEY_PREFIX = "sk-ft_"
OWNER = "owner"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


class User(msgspec.Struct):
    """An account. `mode` overrides the plan's billing mode when not empty. Times in microseconds since 1970."""

    id: int
    username: str
    role: str
    status: str
    plan: str
    mode: str
    email: str = ""
    created_at_us: int = 0


class StoredKey(msgspec.Struct):
    """A key as it is kept: never the key itself. `quota` in units, None without one."""

    id: int
    account: int
    name: str
    prefix: str
    hash: bytes
    status: str
    models: tuple[str, ...]
    quota: int | None
    expires_at_us: int | None
    created_at_us: int


class Accounts:
    """All users and keys. `metered_plan(plan)` says whether a plan bills without credits."""

    def __init__(self, books: Books, writer: Writer, clock: Clock, metered_plan: Callable[[str], bool]) -> None:
        self.books = books
        self.writer = writer
        self.clock = clock
        self.metered_plan = metered_plan
        self.users: dict[int, User] = {}
        self.by_name: dict[str, User] = {}
        self.keys: dict[int, StoredKey] = {}
        self.by_hash: dict[bytes, Key] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read users, keys and balances into memory and into the books."""
        balances = {row[0]: row[1:] for row in connection.execute("SELECT account, posted, held, used FROM balances")}
        for row in connection.execute("SELECT id, username, role, status, plan, mode, email, created_at_us FROM users"):
            user = User(*row)
            self._keep_user(user)
            posted, _, used = balances.get(user.id, (0, 0, 0))
            self.books.open_account(user.id, posted=posted, used=used, metered=self._metered(user))
        for ref, kind, account, amount, debit in connection.execute(
            "SELECT ref, kind, account, amount, debit FROM entries WHERE kind IN ('grant', 'topup', 'refund', 'correct')"
        ):
            self.books.moved[ref] = (kind, account, -amount if debit == "credits" else amount)
        spent = dict(connection.execute("SELECT key, used FROM spent"))
        columns = "id, account, name, prefix, hash, status, models, quota, expires_at_us, created_at_us"
        for row in connection.execute(f"SELECT {columns} FROM keys"):  # noqa: S608 - names of ours
            key = StoredKey(*row)
            key.models = tuple(msgspec.json.decode(row[6], type=list[str]))
            self.books.open_key(key.id, limit=key.quota, used=spent.get(key.id, 0))
            if key.status == "deleted":
                self.keys[key.id] = key  # its calls may still be open, and its number is never given again
            else:
                self._keep_key(key)

    def _metered(self, user: User) -> bool:
        return user.mode == "metered" or (not user.mode and self.metered_plan(user.plan))

    def _keep_user(self, user: User) -> None:
        self.users[user.id] = user
        self.by_name[user.username.lower()] = user

    def _keep_key(self, key: StoredKey) -> None:
        self.keys[key.id] = key
        user = self.users[key.account]
        self.by_hash[key.hash] = Key(
            id=key.id,
            account=key.account,
            name=key.name,
            prefix=key.prefix,
            active=key.status == "active",
            account_active=user.status == "active",
            metered=self._metered(user),
            plan=user.plan,
            models=key.models,
            expires_at_us=key.expires_at_us,
        )

    async def find(self, secret: bytes) -> Key | None:
        """ports.Keys."""
        return self.by_hash.get(hashlib.sha256(secret).digest())

    # Users and credits

    def user(self, name: str) -> User:
        found = self.by_name.get(name.lower())
        if found is None:
            raise NotFound(f"no user named {name!r}; `ftgate users list` shows them, `ftgate users create {name}` makes one")
        return found

    async def create_user(
        self, *, username: str, admin: bool = False, credits: str = "0", password: str | None = None, metered: bool = False
    ) -> dict[str, object]:
        """Make an account. `credits` is a decimal amount in USD. Raises InvalidRequest."""
        if not _NAME.fullmatch(username):
            raise InvalidRequest("a username is 1 to 64 letters, digits, dots, dashes, underscores or @, beginning with a letter or digit")
        amount = _amount(credits)
        hashed = await trio.to_thread.run_sync(hash_password, _text("password", password)) if password else ""
        if username.lower() in self.by_name:  # last: from here on nothing awaits until the name is taken
            raise InvalidRequest(f"a user named {username!r} exists already")
        user = User(
            id=max(self.users, default=0) + 1,
            username=username,
            role="admin" if admin else "user",
            status="active",
            plan="default",
            mode="metered" if metered else "",
            created_at_us=self.clock.wall_us(),
        )
        self._keep_user(user)
        self.books.open_account(user.id, metered=self._metered(user))
        batch = self.writer.changed()
        batch.statements.append(
            (
                "INSERT INTO users (id, username, password, role, status, plan, mode, invite_code, created_at_us)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (user.id, username, hashed, user.role, user.status, user.plan, user.mode, secrets.token_hex(4).upper(), user.created_at_us),
            )
        )
        batch.remember((), self.books.accounts[user.id])
        if amount:
            self._grant(user, amount, "first credits")
        await self.writer.durable(batch)
        return self.describe_user(user)

    async def grant(self, *, username: str, amount: str, note: str = "") -> dict[str, object]:
        """Give credits (USD, decimal). Raises InvalidRequest, NotFound."""
        user = self.user(username)
        units = _amount(amount)
        batch, entry = self._grant(user, units, _text("note", note))
        await self.writer.durable(batch)
        posted = self.books.accounts[user.id].posted
        return {"username": user.username, "granted": format_usd(units), "balance": format_usd_cents(posted), "entry": entry.id}

    async def correct(self, *, username: str, amount: str, note: str) -> dict[str, object]:
        """Put a mistake right by a new entry: add credits, or take them where the amount (USD) is negative. Raises
        InvalidRequest, NotFound."""
        user = self.user(username)
        units = _amount(amount.removeprefix("-")) * (-1 if amount.startswith("-") else 1)
        if not _text("note", note).strip():
            raise InvalidRequest("a correction needs a note: say what it puts right")
        entry = self.books.correct(user.id, units, ref="correct_" + secrets.token_hex(12), at_us=self.clock.wall_us(), note=note[:500])
        if isinstance(entry, Refusal):
            raise InvalidRequest("the amount is out of range: no balance past $1,000,000 either way")
        batch = self.writer.changed()
        batch.remember((entry,), self.books.accounts[user.id])
        await self.writer.durable(batch)
        posted = self.books.accounts[user.id].posted
        return {"username": user.username, "corrected": format_usd(units), "balance": format_usd_cents(posted), "entry": entry.id}

    def _grant(self, user: User, amount: int, note: str) -> tuple[Batch, Entry]:
        entry = self.books.grant(user.id, amount, ref="grant_" + secrets.token_hex(12), at_us=self.clock.wall_us(), note=note[:500])
        if isinstance(entry, Refusal):
            raise InvalidRequest("the amount is out of range: from 0, and no balance above $1,000,000")
        batch = self.writer.changed()
        batch.remember((entry,), self.books.accounts[user.id])
        return batch, entry

    def describe_user(self, user: User) -> dict[str, object]:
        balance = self.books.accounts[user.id]
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

    async def list_users(self) -> list[dict[str, object]]:
        return [self.describe_user(user) for user in self.users.values()]

    async def set_user(self, *, username: str, status: str) -> dict[str, object]:
        """Enable or disable an account: its keys answer 401 from the next call on; running calls finish."""
        user = self.user(username)
        if status not in {"active", "disabled"}:
            raise InvalidRequest(f"a user is active or disabled, not {status!r}")
        user.status = status
        for key in self.keys.values():
            if key.account == user.id and key.status != "deleted":
                self._keep_key(key)
        await self._do("UPDATE users SET status = ? WHERE id = ?", (status, user.id))
        return self.describe_user(user)

    # Keys

    async def create_key(
        self,
        *,
        username: str | None = None,
        name: str = "",
        models: list[str] | None = None,
        quota: str | None = None,
        expires: str | None = None,
    ) -> dict[str, object]:
        """Make a key; the only time it is shown. `quota` in USD, `expires` ISO 8601 (UTC without an offset). Raises
        InvalidRequest, NotFound."""
        limit = None if quota is None else _amount(quota)
        expires_at_us = None if expires is None else _moment(expires)
        only = tuple(dict.fromkeys(name.strip() for name in (_text("models", model) for model in models or ()) if name.strip()))
        name = _text("name", name)[:100]
        user = await self._user_for_key(username)
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        key = StoredKey(
            id=max(self.keys, default=0) + 1,
            account=user.id,
            name=name,
            prefix=secret[:12],
            hash=hashlib.sha256(secret.encode()).digest(),
            status="active",
            models=only,
            quota=limit,
            expires_at_us=expires_at_us,
            created_at_us=self.clock.wall_us(),
        )
        self.books.open_key(key.id, limit=limit)
        self._keep_key(key)
        await self._do(
            "INSERT INTO keys (id, account, name, prefix, hash, status, models, quota, expires_at_us, created_at_us)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                key.id, key.account, key.name, key.prefix, key.hash, key.status, msgspec.json.encode(key.models).decode(), key.quota,
                key.expires_at_us, key.created_at_us,
            ),
        )  # fmt: skip
        return {**self.describe_key(key), "key": secret}

    async def _user_for_key(self, username: str | None) -> User:
        if username is not None:
            return self.user(username)
        if OWNER in self.by_name or not self.users:
            return await self.owner()
        if len(self.users) == 1:
            return next(iter(self.users.values()))
        raise InvalidRequest("say whose key it is: --user NAME; `ftgate users list` shows the users")

    async def owner(self) -> User:
        """The operator's own account, metered so that its calls need no credits; made if it is not there."""
        if OWNER not in self.by_name:
            await self.create_user(username=OWNER, metered=True)
        return self.by_name[OWNER]

    def describe_key(self, key: StoredKey) -> dict[str, object]:
        spent = self.books.quotas[key.id].used
        return {
            "id": str(key.id),
            "keyPrefix": key.prefix,
            "name": key.name,
            "user": self.users[key.account].username,
            "status": key.status,
            "models": list(key.models),
            "quota": None if key.quota is None else format_usd_cents(key.quota),
            "used": format_usd_cents(spent),
            "expiresAt": None if key.expires_at_us is None else iso(key.expires_at_us),
            "createdAt": iso(key.created_at_us),
        }

    async def list_keys(self, *, username: str | None = None) -> list[dict[str, object]]:
        account = None if username is None else self.user(username).id
        return [self.describe_key(key) for key in self.keys.values() if key.status != "deleted" and account in {None, key.account}]

    async def set_key(self, *, key_id: str, status: str) -> dict[str, object]:
        """Set a key active, disabled or deleted (for good: its past requests stay). Raises NotFound."""
        key = self.keys.get(int(key_id)) if re.fullmatch(r"[0-9]{1,18}", key_id) else None
        if key is None or key.status == "deleted":
            raise NotFound(f"no key with the id {key_id!r}; `ftgate keys list` shows them")
        if status not in {"active", "disabled", "deleted"}:
            raise InvalidRequest(f"a key is active, disabled or deleted, not {status!r}")
        key.status = status
        if status == "deleted":
            self.by_hash.pop(key.hash, None)
        else:
            self._keep_key(key)
        await self._do("UPDATE keys SET status = ? WHERE id = ?", (status, key.id))
        return self.describe_key(key)

    async def _do(self, sql: str, values: tuple[object, ...]) -> None:
        batch = self.writer.changed()
        batch.statements.append((sql, values))
        await self.writer.durable(batch)


def _amount(text: str) -> int:
    try:
        units = parse_usd(Decimal(text) if isinstance(text, (int, Decimal)) else text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if units < 0:
        raise InvalidRequest(f"{text} is negative; an amount is 0 or more")
    return units


def _text(what: str, text: str) -> str:
    """A text that the database takes: a byte of the command line that is not UTF-8 comes as half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {what} is not UTF-8") from None
    return text


def _moment(text: str) -> int:
    """An instant that can be shown again: the calendar ends in the year 9999. Microseconds since 1970."""
    try:
        at_us = parse_time(text)
        iso(at_us)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(str(error)) from None
    return at_us


def hash_password(password: str) -> str:
    """scrypt with its parameters and salt in the text. About 50 ms and 16 MB: call it off the hot path."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)
    return "$".join(
        ["scrypt", *(str(_SCRYPT[k]) for k in ("n", "r", "p")), base64.b64encode(salt).decode(), base64.b64encode(digest).decode()]
    )
