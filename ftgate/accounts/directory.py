"""The directory: all users and keys in memory, so that a call's key is found without a look at the database.

A key is `sk-ft_` and 43 url-safe characters (256 random bits); only its SHA-256 and its first characters are kept, and
it is found by the whole hash, never by a part of it. A slow hash buys nothing at that size.
"""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from ftgate.core import windows
from ftgate.core.books import Books, Quota
from ftgate.core.secret import Secret
from ftgate.errors import DatabaseBusy, NotAuthenticated, NotFound
from ftgate.ports import Key, PlanOffer
from ftgate.store.database import balances_in, last_months_in, spent_in
from ftgate.store.source import Connection


class User(msgspec.Struct):
    """An account. `mode` overrides the plan's billing mode when not empty; `password` is its hash, "" where it has
    none; `invited_by` the account whose code it came with. `generation` counts how often all its login tokens were
    ended. Times in microseconds since 1970."""

    id: int
    username: str
    role: str
    status: str
    plan: str
    mode: str
    email: str = ""
    created_at_us: int = 0
    name: str = ""
    password: Secret = Secret("")
    invite_code: str = ""
    invited_by: int | None = None
    generation: int = 0
    last_login_at_us: int | None = None


class StoredKey(msgspec.Struct):
    """A key as it is kept: never the key itself. `quota` in units, None without one; `quota_reset` says when it begins
    anew (core.windows), and `window_used` what the key had spent when the present span began, at `window_us`. `plan` is
    "" where it follows its account's."""

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
    plan: str = ""
    quota_reset: str = "none"
    window_us: int = 0
    window_used: int = 0
    allowed_ips: tuple[str, ...] = ()
    last_used_at_us: int | None = None


R = TypeVar("R", User, StoredKey)
USERS = (
    "SELECT id, username, role, status, plan, mode, email, created_at_us, display_name, password, invite_code,"
    " invited_by, generation, last_login_at_us FROM users"
)
KEYS = (
    "SELECT id, account, name, prefix, hash, status, models, quota, expires_at_us, created_at_us, plan, quota_reset,"
    " window_us, window_used, allowed_ips, last_used_at_us FROM keys"
)
LOGINS = "SELECT account, address, at_us FROM logins"


class Directory:
    """ports.Keys over all users and keys. `metered_plan(plan)` says whether a plan bills without credits; `offers` are
    the plans of the config in force, by name."""

    def __init__(
        self, books: Books, metered_plan: Callable[[str], bool], offers: Callable[[], Mapping[str, PlanOffer]]
    ) -> None:
        self.books = books
        self.metered_plan = metered_plan
        self.offers = offers
        self.users: dict[int, User] = {}
        self.by_name: dict[str, User] = {}
        self.keys: dict[int, StoredKey] = {}  # in the order of their ids, as users are
        self.key_ids: list[int] = []  # the same, to be cut into pages
        self.keys_of: dict[int, dict[int, StoredKey]] = {}  # of each account
        self.deleted: dict[int, StoredKey] = {}  # their calls may still be open; nobody looks through them
        self.last_key = 0  # the largest id that was given: none is given again
        self.by_hash: dict[bytes, Key] = {}
        self.replanned: Callable[[int], None] = lambda key: None  # called with a key whose plan is another one now
        self.refresh: Callable[[], Awaitable[bool]] | None = None  # looks what other gateways have changed
        self.logins: dict[tuple[int, str], int] = {}  # account and address (throttle.neighbourhood) -> the last login

    def __repr__(self) -> str:
        return f"<Directory {len(self.users)} users, {len(self.keys)} keys, {len(self.by_hash)} of them can be found>"

    def load(self, connection: Connection, found: "Found | None" = None) -> None:
        """Read users, keys and balances into memory and into the books, also once more; `found` is what read() has
        found there. Whoever has a user or a key at hand keeps it."""
        found = found or read(connection)
        users, keys, calls = dict(self.users), {**self.keys, **self.deleted}, dict(self.by_hash)
        same = {user.id for user in found.users if user == users.get(user.id)}
        for kept in (
            self.users, self.by_name, self.keys, self.key_ids, self.keys_of, self.deleted, self.by_hash, self.logins,
        ):  # fmt: skip
            kept.clear()
        self.last_key = 0
        for user in found.users:
            user = self._take_user(user, users.get(user.id))
            posted, _, used = found.balances.get(user.id, (0, 0, 0))
            self.books.open_account(user.id, posted=posted, used=used, metered=self.metered(user))
        self.logins.update(found.logins)
        self.books.months.update(found.months)
        for read_anew in found.keys:
            known = keys.get(read_anew.id)
            as_it_was = calls.get(read_anew.hash) if read_anew == known and read_anew.account in same else None
            key = _taken(known, read_anew)
            self._open_quota(key, found.spent.get(key.id, 0))
            if key.status == "deleted":
                self.drop_key(key)
            elif as_it_was is not None:  # nearly all: this saves half of the time
                self._list(key)
                self.by_hash[key.hash] = as_it_was
            else:
                self._know(key, calls.get(key.hash))

    def _take_user(self, user: User, known: User | None) -> User:
        """`known` is the user that was read from this row before."""
        if known is not None and known.password.reveal() == user.password.reveal():
            user.password = known.password  # who has looked at it sees that it is the same
        user = _taken(known, user)
        self.keep_user(user)
        return user

    def _open_quota(self, key: StoredKey, used: int) -> None:
        quota = self.books.open_key(key.id, limit=key.quota, used=used)
        quota.seen_us = key.last_used_at_us
        if key.quota_reset != "none":
            _span(quota, key)

    def renew_user(self, row: Sequence[Any]) -> None:
        """Another gateway has made or changed this user: a row of USERS."""
        known = self.users.get(row[0])
        if known is not None:
            self.by_name.pop(known.username.lower(), None)
        user = self._take_user(_user(row), known)
        if known is None:
            self.books.open_account(user.id, metered=self.metered(user))
            return
        self.books.accounts[user.id].metered = self.metered(user)
        for key in self.keys_of.get(user.id, {}).values():
            self.keep_key(key)

    def renew_key(self, row: Sequence[Any]) -> None:
        """Another gateway has made or changed this key: a row of KEYS."""
        known = self.keys.get(row[0]) or self.deleted.get(row[0])
        reset = known.quota_reset if known is not None else ""
        key = _taken(known, _key(row))
        if known is None:
            self._open_quota(key, 0)
        else:
            quota = self.books.quotas[key.id]
            quota.limit = key.quota
            if reset != key.quota_reset:
                _span(quota, key)
        (self.drop_key if key.status == "deleted" else self.keep_key)(key)

    def metered(self, user: User) -> bool:
        """Whether its calls are billed without credits: its own mode decides, else its plan's."""
        return user.mode == "metered" or (not user.mode and self.metered_plan(user.plan))

    def adopt(self) -> None:
        """The plans have changed: whoever is billed otherwise now is so from the next call on; open calls end as they
        began."""
        for user in self.users.values():
            balance, metered = self.books.accounts[user.id], self.metered(user)
            if balance.metered is not metered:
                balance.metered = metered
                for key in self.keys_of.get(user.id, {}).values():
                    self.keep_key(key)
        for key in self.keys.values():
            if key.plan and (known := self.by_hash.get(key.hash)) is not None and known.plan != self.plan_of(key):
                self.keep_key(key)

    def plan_of(self, key: StoredKey) -> str:
        """The plan by which a key's calls go. One of its own counts as long as it is its account's or everybody may
        choose it, else its account's does. One that the config has no more still counts: calls by it are refused, and
        a restriction does not fall away by a slip of the pen."""
        own = self.users[key.account].plan
        if not key.plan or key.plan == own:
            return own
        offer = self.offers().get(key.plan)
        return key.plan if offer is None or offer.selectable else own

    def in_use(self) -> dict[str, tuple[int, int]]:
        """Each plan that somebody is on, and how many accounts and keys that are."""
        accounts = Counter(user.plan for user in self.users.values())
        keys = Counter(known.plan for known in self.by_hash.values())
        return {plan: (accounts[plan], keys[plan]) for plan in sorted(accounts.keys() | keys.keys())}

    def keep_user(self, user: User) -> None:
        """Take a user in, or what has changed of one."""
        self.users[user.id] = user
        self.by_name[user.username.lower()] = user

    def keep_key(self, key: StoredKey) -> None:
        """Take a key in, or what has changed of it or of its user: calls find it so from now on."""
        self._know(key, self.by_hash.get(key.hash))

    def _list(self, key: StoredKey) -> None:
        if key.id not in self.keys:
            assert key.id > self.last_key, "keys come in the order of their ids"
            self.keys[key.id] = self.keys_of.setdefault(key.account, {})[key.id] = key
            self.key_ids.append(key.id)
            self.last_key = key.id

    def _know(self, key: StoredKey, before: Key | None) -> None:
        """`before` is how calls found it."""
        self._list(key)
        user = self.users[key.account]
        self.by_hash[key.hash] = now = Key(
            id=key.id,
            account=key.account,
            name=key.name,
            prefix=key.prefix,
            active=key.status == "active",
            account_active=user.status == "active",
            metered=self.books.accounts[user.id].metered,
            plan=self.plan_of(key),
            models=key.models,
            expires_at_us=key.expires_at_us,
            allowed_ips=key.allowed_ips,
        )
        if before is not None and before.plan != now.plan:
            self.replanned(key.id)

    def drop_key(self, key: StoredKey) -> None:
        """One that is deleted, for good: no call finds it from now on."""
        self.deleted[key.id] = key
        self.last_key = max(self.last_key, key.id)
        self.by_hash.pop(key.hash, None)
        if self.keys.pop(key.id, None) is not None:
            del self.key_ids[bisect_left(self.key_ids, key.id)]
            del self.keys_of[key.account][key.id]

    async def find(self, secret: bytes) -> Key | None:
        """ports.Keys. One that nobody knows may have been made at another gateway just now. Raises DatabaseBusy where
        that cannot be looked up."""
        hash = hashlib.sha256(secret).digest()
        found = self.by_hash.get(hash)
        if found is None and self.refresh is not None:
            fresh = await self.refresh()
            found = self.by_hash.get(hash)
            if found is None and not fresh:
                raise DatabaseBusy("the database does not answer, and this API key is not known here yet")
        return found

    def still_holds(self, key: int) -> None:
        """Raises NotAuthenticated for a key that may not be used any more, or whose account may not."""
        found = self.keys.get(key)
        if found is None or found.status != "active" or self.users[found.account].status != "active":
            raise NotAuthenticated("This API key is disabled", code="key_disabled")

    async def posted(self, account: int) -> int:
        """As ports.Accounts says."""
        return self.books.accounts[account].posted

    async def held(self, account: int) -> int:
        """As ports.Accounts says."""
        return self.books.accounts[account].held

    async def byok_tokens(self, account: int, month: str) -> int:
        """As ports.Accounts says."""
        return self.books.used_in(account, month)

    def plan_of_key(self, key: int) -> str | None:
        """The plan by which a key's calls go; None when there is no such key."""
        found = self.keys.get(key) or self.deleted.get(key)
        return self.plan_of(found) if found else None

    def account(self, id: int) -> User:
        """The account of an id. Raises NotFound."""
        found = self.users.get(id)
        if found is None:
            raise NotFound(f"no user with the id {str(id)!r}")
        return found

    def user(self, name: str) -> User:
        """The account of a name. Raises NotFound."""
        found = self.by_name.get(name.lower())
        if found is None:
            raise NotFound(no_user(name))
        return found


def _span(quota: Quota, key: StoredKey) -> None:
    """The span in which a key's quota is, as it was written."""
    quota.reset, quota.before = key.quota_reset, key.window_used
    quota.until_us = windows.ends_us(key.quota_reset, key.window_us)


class Found(NamedTuple):
    """What stands in the database of users and keys."""

    users: list[User]
    keys: list[StoredKey]
    balances: dict[int, tuple[int, int, int]]
    spent: dict[int, int]
    months: dict[int, tuple[str, int]]
    logins: dict[tuple[int, str], int]


def read(connection: Connection) -> Found:
    """It changes nothing in memory: in any thread."""
    return Found(
        [_user(row) for row in connection.execute(f"{USERS} ORDER BY id")],
        [_key(row) for row in connection.execute(f"{KEYS} ORDER BY id")],
        balances_in(connection),
        spent_in(connection),
        last_months_in(connection),
        {(account, address): at_us for account, address, at_us in connection.execute(LOGINS)},
    )


def _user(row: Sequence[Any]) -> User:
    """Of a row of USERS."""
    user = User(*row)
    user.password = Secret(row[9])
    return user


def _key(row: Sequence[Any]) -> StoredKey:
    """Of a row of KEYS."""
    key = StoredKey(*row)
    key.models, key.allowed_ips = _listed(row[6]), _listed(row[14])
    return key


@lru_cache(maxsize=1000)
def _listed(texts: str) -> tuple[str, ...]:
    """Most keys have the same lists, which need not be there once for each."""
    return tuple(msgspec.json.decode(texts, type=list[str]))


def _taken(known: R | None, anew: R) -> R:
    """What was read anew, in the place of what is known of it already."""
    if known is None:
        return anew
    if known != anew:
        for name in anew.__struct_fields__:
            setattr(known, name, getattr(anew, name))
    return known


def no_user(name: str) -> str:
    return f"no user named {name!r}; `ftgate users list` shows them, `ftgate users create {name}` makes one"
