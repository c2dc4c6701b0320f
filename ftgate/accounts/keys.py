"""What an operator does with API keys: make, list, enable, disable and delete them."""

import hashlib
import re
import secrets

import msgspec

from ftgate.accounts import given
from ftgate.accounts.directory import Directory, StoredKey, User
from ftgate.accounts.pending import write_down
from ftgate.accounts.users import OWNER, Users
from ftgate.core.moments import iso
from ftgate.core.money import format_usd_cents
from ftgate.core.secret import OWN_KEY
from ftgate.errors import InvalidRequest, NotFound
from ftgate.ports import Clock
from ftgate.store.writer import Writer


class ApiKeys:
    """Commands about keys. Each raises InvalidRequest or NotFound with nothing changed, and DatabaseBusy when what it
    decided is not written in time."""

    def __init__(self, directory: Directory, users: Users, writer: Writer, clock: Clock) -> None:
        self.directory = directory
        self.users = users
        self.writer = writer
        self.clock = clock

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
                name.strip() for name in (given.line("models", model) for model in models or ()) if name.strip()
            )
        )
        if models is not None and not only:  # a script joined an empty list: that is no leave to call everything
            raise InvalidRequest("the list of models is empty; name at least one, or leave it out for all models")
        name = given.line("name", name)[:100]
        user = await self._user_for_key(username)
        secret = OWN_KEY + secrets.token_urlsafe(32)
        key = StoredKey(
            id=max(self.directory.keys, default=0) + 1,
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
        self.directory.books.open_key(key.id, limit=limit)
        self.directory.keep_key(key)
        await write_down(
            self.writer,
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
        return [
            self.describe(key)
            for key in self.directory.keys.values()
            if key.status != "deleted" and account in {None, key.account}
        ]

    async def set_status(self, *, key_id: str, status: str) -> dict[str, object]:
        """Set a key active, disabled or deleted (for good: its past requests stay). Raises NotFound."""
        key = self.directory.keys.get(int(key_id)) if re.fullmatch(r"[0-9]{1,18}", key_id) else None
        if key is None or key.status == "deleted":
            raise NotFound(f"no key with the id {key_id!r}; `ftgate keys list` shows them")
        if status not in {"active", "disabled", "deleted"}:
            raise InvalidRequest(f"a key is active, disabled or deleted, not {status!r}")
        key.status = status
        if status == "deleted":
            self.directory.by_hash.pop(key.hash, None)
        else:
            self.directory.keep_key(key)
        look = f"`ftgate keys list` shows what counts now, and it can be repeated (key {key.id})"
        await write_down(
            self.writer,
            f"that key {key.id} is {status}",
            look,
            "UPDATE keys SET status = ? WHERE id = ?",
            (status, key.id),
        )
        return self.describe(key)
