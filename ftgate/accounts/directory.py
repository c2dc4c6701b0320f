"""Users, their keys, their credits: in memory for the hot path, in the database for ever.

A key is `sk-ft_` and 43 url-safe characters (256 random bits); only its SHA-256 and its first characters are kept, and
it is found by the whole hash, never by a part of it. A slow hash buys nothing at that size. Passwords are the opposite:
scrypt.

Names and rules are checked here before anything is queued for the writer, so what is queued cannot fail. Whoever asked
waits ANSWER_S for the commit at most: a change that is not written by then is told as that, decided and not yet
written. So a grant has a ref, an id of its own: with the same ref it is done once, however often it is asked for.
"""

import base64
import hashlib
import re
import secrets
import sqlite3
from collections.abc import Callable

import msgspec
import trio

from ftgate.core.books import Books, Entry, Refusal
from ftgate.core.moments import iso, parse_time
from ftgate.core.money import format_usd, format_usd_cents, parse_usd
from ftgate.errors import DatabaseBusy, InvalidRequest, NotFound
from ftgate.ports import Clock, Key
from ftgate.store.writer import Batch, DatabaseFault, Writer

KEY_PREFIX = "sk-ft_"
OWNER = "owner"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
ANSWER_S = 20.0
"""How long a command is given to be written down before it is answered without that; the command line waits longer."""
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
        self.entry_of: dict[str, int] = {}  # ref of every grant and correction -> its entry
        self.unwritten: dict[str, Batch] = {}  # ref of those that may not be committed yet -> their batch

    def load(self, connection: sqlite3.Connection) -> None:
        """Read users, keys and balances into memory and into the books."""
        balances = {row[0]: row[1:] for row in connection.execute("SELECT account, posted, held, used FROM balances")}
        for row in connection.execute("SELECT id, username, role, status, plan, mode, email, created_at_us FROM users"):
            user = User(*row)
            self._keep_user(user)
            posted, _, used = balances.get(user.id, (0, 0, 0))
            self.books.open_account(user.id, posted=posted, used=used, metered=self._metered(user))
        for ref, kind, account, amount, debit, id in connection.execute(
            "SELECT ref, kind, account, amount, debit, id FROM entries WHERE kind IN ('grant', 'topup', 'refund', "
            "'correct')"
        ):
            self.books.moved[ref] = (kind, account, -amount if debit == "credits" else amount)
            self.entry_of[ref] = id
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

    async def posted(self, account: int) -> int:
        """As ports.Accounts says."""
        return self.books.accounts[account].posted

    def plan_of_key(self, key: int) -> str | None:
        """The plan that a key's account is on; None when there is no such key."""
        found = self.keys.get(key)
        return self.users[found.account].plan if found else None

    def user(self, name: str) -> User:
        found = self.by_name.get(name.lower())
        if found is None:
            raise NotFound(no_user(name))
        return found

    async def create_user(
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
                (
                    user.id,
                    username,
                    hashed,
                    user.role,
                    user.status,
                    user.plan,
                    user.mode,
                    secrets.token_hex(4).upper(),
                    user.created_at_us,
                ),
            )
        )
        batch.remember((), self.books.accounts[user.id])
        if amount:
            self._grant(user, amount, "first credits", _new_ref("grant"))
        await self._written(batch, f"the user {username}", f"`ftgate users list` shows whether {username} is there")
        return self.describe_user(user)

    async def grant(self, *, username: str, amount: str, note: str = "", ref: str | None = None) -> dict[str, object]:
        """Give credits (USD, decimal), once for each `ref`. Raises InvalidRequest, NotFound, DatabaseBusy."""
        user = self.user(username)
        units = _amount(amount)
        ref = _ref(ref, "grant")
        known = self._known(ref, "grant", user, units)
        if not known:
            self._grant(user, units, _line("note", note), ref)
        return {**await self._moved(user, units, "grant", ref), "granted": format_usd(units), "already_done": known}

    async def correct(self, *, username: str, amount: str, note: str, ref: str | None = None) -> dict[str, object]:
        """Put a mistake right by a new entry, once for each `ref`: add credits, or take them where the amount (USD) is
        negative. Raises InvalidRequest, NotFound, DatabaseBusy."""
        user = self.user(username)
        units = _usd(amount)
        ref = _ref(ref, "correct")
        known = self._known(ref, "correct", user, units)
        if not _line("note", note).strip():
            raise InvalidRequest("a correction needs a note: say what it puts right")
        if not known:
            entry = self.books.correct(user.id, units, ref=ref, at_us=self.clock.wall_us(), note=note[:500])
            self._remember(user, entry, "the amount is out of range: no balance past $1,000,000 either way")
        return {**await self._moved(user, units, "correct", ref), "corrected": format_usd(units), "already_done": known}

    def _grant(self, user: User, amount: int, note: str, ref: str) -> None:
        entry = self.books.grant(user.id, amount, ref=ref, at_us=self.clock.wall_us(), note=note[:500])
        self._remember(user, entry, "the amount is out of range: from 0, and no balance above $1,000,000")

    def _known(self, ref: str, kind: str, user: User, amount: int) -> bool:
        """Whether just this was done under this ref before. Raises InvalidRequest where something else was."""
        known = self.books.moved.get(ref)
        if known is None or known == (kind, user.id, amount):
            return known is not None
        was, account, units = known
        raise InvalidRequest(
            f"the ref {ref} is that of a {was} of ${format_usd(units)} to {self.users[account].username}; nothing "
            "was changed: repeat it"
            " just so, or leave --ref out for another one"
        )

    def _remember(self, user: User, entry: Entry | Refusal, out_of_range: str) -> None:
        """Queue what moved credits, with its ref. Raises InvalidRequest for the one refusal that is left."""
        if isinstance(entry, Refusal):
            raise InvalidRequest(out_of_range)
        batch = self.writer.changed()
        batch.remember((entry,), self.books.accounts[user.id])
        self.entry_of[entry.ref] = entry.id
        self.unwritten = {ref: waiting for ref, waiting in self.unwritten.items() if not waiting.done}
        self.unwritten[entry.ref] = batch

    async def _moved(self, user: User, amount: int, kind: str, ref: str) -> dict[str, object]:
        """The answer to what moved credits, once it is written: a repeat waits for it as the first did."""
        if (batch := self.unwritten.get(ref)) is not None:
            name = "grant" if kind == "grant" else "correction"
            await self._written(
                batch, f"the {name} of ${format_usd(amount)} to {user.username}, ref {ref},",
                f"`ftgate ledger entries --user {user.username}` shows whether it is there, and repeated with --ref "
                f"{ref} it is done once",
            )  # fmt: skip
        balance = format_usd_cents(self.books.accounts[user.id].posted)
        return {"username": user.username, "balance": balance, "entry": self.entry_of.get(ref), "ref": ref}

    async def _written(self, batch: Batch, what: str, look: str) -> None:
        """Wait until a change is committed. Raises DatabaseBusy with what was decided, and how to `look`, when that
        takes too long; DatabaseFault when the database has failed, which leaves open whether it is in."""
        try:
            if await self.writer.durable_within(batch, ANSWER_S):
                return
        except DatabaseFault as fault:
            raise DatabaseFault(
                f"{fault}. Whether {what} was written is not known: start again, then {look}"
            ) from fault
        why = self.writer.busy() or "no commit has come back"
        raise DatabaseBusy(
            f"{what} is decided and not yet written, because the database takes no commits now ({why}); it is "
            "written as soon as it does,"
            f" unless the process ends before. Look before you repeat it: {look}"
        )

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
        look = f"`ftgate users list` shows what counts now, and it can be repeated (user {user.username})"
        await self._do(
            f"that user {user.username} is {status}",
            look,
            "UPDATE users SET status = ? WHERE id = ?",
            (status, user.id),
        )
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
        only = tuple(
            dict.fromkeys(name.strip() for name in (_line("models", model) for model in models or ()) if name.strip())
        )
        name = _line("name", name)[:100]
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
            f"key {key.id} ({key.prefix}...) of {user.username}, which nobody has seen,",
            f"`ftgate keys list --user {user.username}` shows whether it is there, `ftgate keys delete {key.id}` "
            "removes it",
            "INSERT INTO keys (id, account, name, prefix, hash, status, models, quota, expires_at_us, created_at_us)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                key.id, key.account, key.name, key.prefix, key.hash, key.status,
                msgspec.json.encode(key.models).decode(), key.quota,
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
        return [
            self.describe_key(key)
            for key in self.keys.values()
            if key.status != "deleted" and account in {None, key.account}
        ]

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
        look = f"`ftgate keys list` shows what counts now, and it can be repeated (key {key.id})"
        await self._do(
            f"that key {key.id} is {status}", look, "UPDATE keys SET status = ? WHERE id = ?", (status, key.id)
        )
        return self.describe_key(key)

    async def _do(self, what: str, look: str, sql: str, values: tuple[object, ...]) -> None:
        """Write one change down; `what` it is and how to `look` for it, in words."""
        batch = self.writer.changed()
        batch.statements.append((sql, values))
        await self._written(batch, what, look)


def no_user(name: str) -> str:
    return f"no user named {name!r}; `ftgate users list` shows them, `ftgate users create {name}` makes one"


def _new_ref(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _ref(text: str | None, kind: str) -> str:
    """The ref as it was given, or a new one."""
    if text is not None and not _REF.fullmatch(text):
        raise InvalidRequest(
            "a ref is 1 to 100 letters, digits, dots, dashes, underscores or colons, beginning with a letter or digit"
        )
    return text or _new_ref(kind)


def _usd(text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _amount(text: str) -> int:
    units = _usd(text)
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


def _line(what: str, text: str) -> str:
    """A text that is shown in one line, in tables and on terminals."""
    if found := _CONTROL.search(_text(what, text)):
        raise InvalidRequest(
            f"the {what} holds a control character (U+{ord(found[0]):04X}); write plain text in one line"
        )
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
        [
            "scrypt",
            *(str(_SCRYPT[k]) for k in ("n", "r", "p")),
            base64.b64encode(salt).decode(),
            base64.b64encode(digest).decode(),
        ]
    )
