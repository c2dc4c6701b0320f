"""API keys: make, list, change, disable and delete them, by the command line and over HTTP (ports.site.KeyRing)."""

import hashlib
import re
import secrets
from bisect import bisect_left
from collections.abc import Mapping, MutableSequence, Sequence

import msgspec
import trio

from ftgate.accounts import given
from ftgate.accounts.acting import CLI, audited
from ftgate.accounts.directory import Directory, StoredKey, User
from ftgate.accounts.paging import cut
from ftgate.accounts.pending import turn, written
from ftgate.accounts.plans import Plans
from ftgate.accounts.throttles import Throttles
from ftgate.accounts.users import OWNER, Users
from ftgate.core import windows
from ftgate.core.accounts import STATUSES
from ftgate.core.moments import iso
from ftgate.core.money import format_cents, format_usd_cents
from ftgate.core.secret import OWN_KEY
from ftgate.errors import Forbidden, InvalidRequest, NotFound
from ftgate.ports import Clock, Key
from ftgate.ports.site import Doer, Rows
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes

MOST_KEYS = 1000
"""Keys that one account may have."""
STEP = 2000
"""Keys that are looked at before others have their turn."""
MOST_NAME, MOST_MODEL, MOST_MODELS = 100, 200, 200
PLAYGROUND = "playground"
INSIDE = b"no text hashes to this: "
"""How the hash of a key begins that only our own pages call with; its id is behind it. Such a key has no text, so that
nobody can show it, and nobody can find one."""
COLUMNS = {
    "name": "name", "status": "status", "models": "models", "quota": "quota", "quota_reset": "quota_reset",
    "expires_at_us": "expires_at_us", "allowed_ips": "allowed_ips", "plan": "plan",
}  # fmt: skip
"""What can be changed of a key, and the columns in which it stands."""


class ApiKeys:
    """Commands about keys. Each raises InvalidRequest or NotFound with nothing changed, and DatabaseBusy when what it
    decided is not written in time."""

    def __init__(
        self, directory: Directory, users: Users, plans: Plans, throttles: Throttles, writer: Changes, clock: Clock
    ) -> None:
        self.directory = directory
        self.users = users
        self.plans = plans
        self.throttles = throttles
        self.writer = writer
        self.clock = clock

    # By the command line

    async def create(
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
        limit = None if quota is None else given.amount(quota)
        expires_at_us = None if expires is None else given.moment(expires)
        only = tuple(
            dict.fromkeys(
                name for name in (given.line("models", model, most=MOST_MODEL) for model in models or ()) if name
            )
        )
        if models is not None and not only:  # a script joined an empty list: that is no leave to call everything
            raise InvalidRequest("the list of models is empty; name at least one, or leave it out for all models")
        if len(only) > MOST_MODELS:
            raise InvalidRequest(f"a key takes {MOST_MODELS} models at the most")
        name = given.line("name", name, most=MOST_NAME)
        user = await self._user_for_key(username)
        await turn(self.writer, CLI)
        key, secret, batch = self._open(
            user, {"name": name, "models": only, "quota": limit, "expires_at_us": expires_at_us}, CLI
        )
        what = f"key {key.id} ({key.prefix}...) of {user.username}, which nobody has seen,"
        await self._written(batch, key, what, CLI)
        return {**self.describe(key), "key": secret}

    async def _user_for_key(self, username: str | None) -> User:
        if username is not None:
            return self.directory.user(username)
        if OWNER in self.directory.by_name or not self.directory.users:
            return await self.users.owner()
        if len(self.directory.users) == 1:
            return next(iter(self.directory.users.values()))
        raise InvalidRequest("say whose key it is: --user NAME; `ftgate users list` shows the users")

    def describe(self, key: StoredKey) -> dict[str, object]:
        """A key as commands show it, never the key itself; amounts in USD."""
        spent = self.directory.books.quotas[key.id].used
        return {
            "id": str(key.id),
            "keyPrefix": key.prefix,
            "name": key.name,
            "user": self.directory.users[key.account].username,
            "status": key.status,
            "models": list(key.models),
            "quota": None if key.quota is None else format_usd_cents(key.quota),
            "used": format_usd_cents(spent),
            "expiresAt": None if key.expires_at_us is None else iso(key.expires_at_us),
            "createdAt": iso(key.created_at_us),
        }

    async def list(self, *, username: str | None = None) -> list[dict[str, object]]:
        account = None if username is None else self.directory.user(username).id
        keys = self.directory.keys if account is None else self.directory.keys_of.get(account, {})
        return [self.describe(key) for key in keys.values()]

    async def set_status(self, *, key_id: str, status: str) -> dict[str, object]:
        """Set a key active, disabled or deleted (for good: its past requests stay). Raises NotFound."""
        key = self.directory.keys.get(int(key_id)) if re.fullmatch(r"[0-9]{1,18}", key_id) else None
        if key is None:
            raise NotFound(f"no key with the id {key_id!r}; `ftgate keys list` shows them")
        if status not in {*STATUSES, "deleted"}:
            raise InvalidRequest(f"a key is active, disabled or deleted, not {status!r}")
        await self._change(key, {"status": status}, CLI)
        return self.describe(key)

    # By their owners and by operators, over HTTP

    async def page(
        self, account: int | None, *, status: str | None, after: int | None, skipped: int, size: int,
        owner: bool = False,
    ) -> Rows:  # fmt: skip
        """As ports.site.KeyRing says."""
        keys = self.directory.keys
        ids: Sequence[int] = self.directory.key_ids if account is None else [*self.directory.keys_of.get(account, ())]
        if status is not None:
            ids = await self._of_status(ids, status)
        total, end = len(ids), len(ids) if after is None else bisect_left(ids, after)
        newest_first = (keys[ids[place]] for place in range(end - 1 - skipped, -1, -1))
        shown, last = cut(newest_first, 0, size, lambda key: key.id)
        return [self._told(key, owner) for key in shown], total, last

    async def _of_status(self, ids: Sequence[int], status: str) -> Sequence[int]:
        """Those keys of them that are shown with this status. Calls go on in between."""
        found: MutableSequence[int] = []
        for place in range(0, len(among := [*ids]), STEP):
            if place:
                await trio.lowlevel.checkpoint()
            some = (self.directory.keys.get(id) for id in among[place : place + STEP])
            found += [key.id for key in some if key is not None and self._status(key) == status]
        return [id for id in found if id in self.directory.keys]

    def one(self, id: int, account: int | None) -> StoredKey:
        """A key of this account, or of any. Raises NotFound."""
        key = self.directory.keys.get(id)
        if key is None or account not in {None, key.account}:
            raise NotFound(f"no API key with the id {str(id)!r}")
        return key

    def shown(self, id: int, account: int | None) -> dict[str, object]:
        """As ports.site.KeyRing says."""
        return self._told(self.one(id, account), account is None)

    async def make(self, account: int, fields: Mapping[str, object], by: Doer) -> tuple[dict[str, object], str]:
        """As ports.site.KeyRing says."""
        await turn(self.writer, by)
        user = self.directory.users[account]
        if len(self.directory.keys_of.get(account, ())) >= MOST_KEYS:
            raise InvalidRequest(f"an account has {MOST_KEYS} keys at the most: delete one first")
        wanted = self._with_plan(fields, user)
        self.throttles.account("token", account)
        key, secret, batch = self._open(user, wanted, by)
        await self._written(batch, key, f"key {key.id} ({key.prefix}...), which nobody has seen,", by)
        return self.token(key), secret

    async def change(
        self, id: int, account: int | None, fields: Mapping[str, object], by: Doer
    ) -> dict[str, object]:  # fmt: skip
        """As ports.site.KeyRing says."""
        self._slow_down(account)
        key, wanted = self.one(id, account), dict(fields)
        if wanted.get("plan_id", 0) == self.plan_id(key):
            del wanted["plan_id"]  # as it is shown: it goes on following its account, if it does
            wanted["plan"] = key.plan
        await self._change(key, self._with_plan(wanted, self.directory.users[key.account]), by)
        return self._told(key, account is None)

    async def delete(self, id: int, account: int | None, by: Doer) -> None:
        """As ports.site.KeyRing says."""
        self._slow_down(account)
        await self._change(self.one(id, account), {"status": "deleted"}, by)

    async def playground(self, account: int, by: Doer) -> Key:
        """As ports.site.OwnKeys says."""
        key = self._inside(account)
        if key is None:
            await turn(self.writer, by)
            key = self._inside(account)
        if key is None:
            key, _, batch = self._open(self.directory.users[account], {"name": PLAYGROUND}, by, inside=True)
            await self._written(batch, key, "the playground's key", by)
        if (status := self._status(key)) != "active":
            raise Forbidden(
                f"The key of the playground is {status}: enable or change it among your keys, or delete it there, and "
                "a new one is made",
                code="key_disabled",
            )
        return self.directory.by_hash[key.hash]

    def _slow_down(self, owner: int | None) -> None:
        """An owner may change so many an hour; operators as many as they like. Raises RateLimited."""
        if owner is not None:
            self.throttles.account("token", owner)

    def _told(self, key: StoredKey, owner: bool) -> dict[str, object]:
        """A key, and for operators its `owner`."""
        return {**self.token(key), "user": str(key.account)} if owner else self.token(key)

    def token(self, key: StoredKey) -> dict[str, object]:
        """A key as TOKEN shows it; amounts in cents. Where the span of its quota is over, the next has begun."""
        quota = self.directory.books.quotas[key.id]
        now = self.clock.wall_us()
        over = quota.until_us is not None and now >= quota.until_us
        used = quota.held + (0 if over else quota.used - quota.before)
        resets_us = windows.ends_us(key.quota_reset, now)
        return {
            "id": str(key.id),
            "keyPrefix": key.prefix,
            "name": key.name,
            "status": self._status(key),
            "planId": self.plan_id(key),
            "quota": None if key.quota is None else format_cents(key.quota),
            "usedQuota": format_cents(used),
            "quotaReset": key.quota_reset,
            "resetAt": None if resets_us is None else iso(resets_us),
            "models": list(key.models),
            "allowedIps": list(key.allowed_ips),
            "expiresAt": None if key.expires_at_us is None else iso(key.expires_at_us),
            "createdAt": iso(key.created_at_us),
            "lastUsedAt": None if quota.seen_us is None else iso(quota.seen_us),
        }

    def plan_id(self, key: StoredKey) -> int:
        """The number of the plan by which its calls go."""
        return self.plans.id_of(self.directory.plan_of(key))

    def _inside(self, account: int) -> StoredKey | None:
        """The key of the account's own pages."""
        mine = self.directory.keys_of.get(account, {}).values()
        return next((key for key in mine if key.hash.startswith(INSIDE)), None)

    def let_go(self) -> None:
        """Other settings are in force, and keys are known as they went by those before. A key that had chosen a plan
        which is gone, and followed its account already since it might not have it, follows it for good."""
        offers = self.directory.offers()
        for key in self.directory.keys.values():
            known = self.directory.by_hash.get(key.hash)
            if key.plan and key.plan not in offers and known is not None and known.plan != key.plan:
                self.plans.follow(key, self.writer.changed(), self.clock.wall_us(), CLI)

    def remember_use(self) -> None:
        """Queue when keys were used last, where that has changed since it was written."""
        batch: Batch | None = None
        for key in self.directory.keys.values():
            seen_us = self.directory.books.quotas[key.id].seen_us
            if seen_us != key.last_used_at_us:
                key.last_used_at_us = seen_us
                batch = batch or self.writer.changed()
                batch.statements.append(("UPDATE keys SET last_used_at_us = ? WHERE id = ?", (seen_us, key.id)))

    def _status(self, key: StoredKey) -> str:
        expired = key.expires_at_us is not None and key.expires_at_us <= self.clock.wall_us()
        return "expired" if expired and key.status == "active" else key.status

    def _with_plan(self, fields: Mapping[str, object], user: User) -> dict[str, object]:
        """The fields with a plan's name for its number."""
        changed = dict(fields)
        if "plan_id" in changed:
            number = changed.pop("plan_id")
            assert number is None or isinstance(number, int)
            changed["plan"] = self.plans.chosen(number, user.plan)
        return changed

    # What both do

    def _open(
        self, user: User, fields: Mapping[str, object], by: Doer, *, inside: bool = False
    ) -> tuple[StoredKey, str, Batch]:
        """Make a key: it, the text that nobody can see again, and the batch with which it is written. One for our own
        pages (`inside`) is found by no text."""
        secret = OWN_KEY + secrets.token_urlsafe(32)
        now, id = self.clock.wall_us(), self.directory.last_key + 1
        key = StoredKey(
            id=id, account=user.id, name="", prefix=PLAYGROUND if inside else secret[:12],
            hash=INSIDE + id.to_bytes(8) if inside else hashlib.sha256(secret.encode()).digest(), status="active",
            models=(), quota=None, expires_at_us=None, created_at_us=now,
        )  # fmt: skip
        for what, said in fields.items():
            setattr(key, what, said)
        quota = self.directory.books.open_key(key.id, limit=key.quota)
        key.window_us = quota.begin(key.quota_reset, now)
        self.directory.keep_key(key)
        batch = self.writer.changed()
        batch.statements.append(
            (
                "INSERT INTO keys (id, account, name, prefix, hash, status, models, quota, expires_at_us,"
                " created_at_us, plan, quota_reset, window_us, window_used, allowed_ips)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    key.id, key.account, key.name, key.prefix, key.hash, key.status, _listed(key.models), key.quota,
                    key.expires_at_us, key.created_at_us, key.plan, key.quota_reset, key.window_us, key.window_used,
                    _listed(key.allowed_ips),
                ),
            )
        )  # fmt: skip
        audited(batch, now, by, "token.create", f"token:{key.id}", None, self._audited(key))
        return key, secret, batch

    async def _change(self, key: StoredKey, fields: Mapping[str, object], by: Doer) -> None:
        """Change these of COLUMNS: what they allow counts from the next call on."""
        await turn(self.writer, by)
        if key.id not in self.directory.keys:  # deleted meanwhile
            raise NotFound(f"no API key with the id {str(key.id)!r}")
        before, batch = self._audited(key), self.writer.changed()
        quota = self.directory.books.quotas[key.id]
        for what, said in fields.items():
            kept = _listed(said) if isinstance(said, tuple) else said
            setattr(key, what, said)
            batch.statements.append((f"UPDATE keys SET {COLUMNS[what]} = ? WHERE id = ?", (kept, key.id)))  # noqa: S608 - names of ours
        quota.limit = key.quota
        if quota.reset != key.quota_reset:
            key.window_us = quota.begin(key.quota_reset, self.clock.wall_us())
            if key.quota_reset == "none":
                quota.before = 0  # all that it ever spent counts
            sql = "UPDATE keys SET window_us = ?, window_used = ? WHERE id = ?"
            batch.statements.append((sql, (key.window_us, quota.before, key.id)))
        if key.status == "deleted":
            self.directory.drop_key(key)
        else:
            self.directory.keep_key(key)
        after = self._audited(key)
        changed = [what for what in before if before[what] != after[what]]
        if changed:
            audited(
                batch, self.clock.wall_us(), by, "token.delete" if key.status == "deleted" else "token.update",
                f"token:{key.id}", {what: before[what] for what in changed}, {what: after[what] for what in changed},
            )  # fmt: skip
        what = f"that key {key.id} is {key.status}" if "status" in fields else f"the change of key {key.id}"
        await self._written(batch, key, what, by)

    def _audited(self, key: StoredKey) -> dict[str, object]:
        """As TOKEN has it, and whose it is; without a plan of its own `planId` is null."""
        return {
            "user": str(key.account), "name": key.name, "status": key.status,
            "planId": self.plans.id_of(key.plan) if key.plan else None,
            "quota": None if key.quota is None else format_cents(key.quota), "quotaReset": key.quota_reset,
            "models": key.models, "allowedIps": key.allowed_ips,
            "expiresAt": None if key.expires_at_us is None else iso(key.expires_at_us),
        }  # fmt: skip

    async def _written(self, batch: Batch, key: StoredKey, what: str, by: Doer) -> None:
        user = self.directory.users[key.account].username
        look = (
            f"`ftgate keys list --user {user}` shows what counts now, and it can be repeated; `ftgate keys delete "
            f"{key.id}` removes it"
        )
        await written(self.writer, batch, what, look, by)


def _listed(texts: object) -> str:
    return msgspec.json.encode(texts).decode()
