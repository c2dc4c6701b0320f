"""Provider keys that callers had checked: provider, name, a fingerprint and when, never the key.

The fingerprint is an HMAC keyed by a secret of the server's and the account, so that it can neither be guessed at
elsewhere nor compared between accounts.
"""

import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from ftgate.accounts.acting import audited
from ftgate.accounts.pending import takes_changes, turn, written
from ftgate.accounts.sessions import derived
from ftgate.accounts.throttles import Throttles
from ftgate.core.moments import iso
from ftgate.errors import InvalidRequest, NotFound
from ftgate.ports import Clock
from ftgate.ports.site import Doer, KeyCheck
from ftgate.store.changes import Changes
from ftgate.store.source import Connection

MOST = 100
"""Keys that one account may have checked."""
_SQL = (
    "INSERT INTO byok_keys VALUES (?,?,?,?,?,?,?)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, checked_at_us = excluded.checked_at_us"
)


class CheckedKey(msgspec.Struct):
    """One, as it is kept. Times in microseconds since 1970."""

    id: int
    account: int
    provider: str
    name: str
    fingerprint: str
    created_at_us: int
    checked_at_us: int

    def shown(self) -> dict[str, object]:
        return {
            "id": str(self.id), "provider": self.provider, "name": self.name, "fingerprint": self.fingerprint,
            "valid": True, "created_at": iso(self.created_at_us), "checked_at": iso(self.checked_at_us),
        }  # fmt: skip


BYOK_KEYS = f"SELECT {', '.join(CheckedKey.__struct_fields__)} FROM byok_keys"  # noqa: S608 - names of ours


class ProviderKeys:
    """ports.site.ProviderKeys over the database."""

    def __init__(self, throttles: Throttles, writer: Changes, clock: Clock, secret: bytes) -> None:
        self.throttles = throttles
        self.writer = writer
        self.clock = clock
        self.keys: dict[int, CheckedKey] = {}
        self._last = 0
        self._secret = derived(secret, "provider key")

    def __repr__(self) -> str:
        return f"<ProviderKeys {len(self.keys)}>"

    def load(self, connection: Connection) -> None:
        """Read them all, also once more."""
        self.keys.clear()
        self._last = 0
        for row in connection.execute(f"{BYOK_KEYS} ORDER BY id"):
            self.renew(row)

    def renew(self, row: Sequence[Any]) -> None:
        """A key as it is kept: a row of BYOK_KEYS."""
        self.keys[row[0]] = CheckedKey(*row)
        self._last = max(self._last, row[0])

    def fingerprint(self, account: int, provider: str, key: str) -> str:
        """Of one account's key alone: 16 hex digits."""
        said = f"{account}\0{provider}\0{key}".encode()
        return hmac.new(self._secret, said, "sha256").hexdigest()[:16]

    def of(self, account: int) -> list[dict[str, object]]:
        """As ports.site.ProviderKeys says."""
        return [key.shown() for key in self.keys.values() if key.account == account]

    async def register(
        self, account: int, *, provider: str, key: str, name: str | None, check: KeyCheck, by: Doer
    ) -> dict[str, object]:
        """As ports.site.ProviderKeys says."""
        provider = check.named(provider, key)
        mark = self.fingerprint(account, provider, key)
        self._known(account, provider, mark)  # what cannot be kept need not be checked, and counts as no check
        takes_changes(self.writer, by)
        self.throttles.account("byok", account)
        await check.check(provider, key)
        await turn(self.writer)
        now_us, found = self.clock.wall_us(), self._known(account, provider, mark)
        before: dict[str, object] | None = None
        if found is None:
            self._last += 1
            found = CheckedKey(self._last, account, provider, name or "", mark, now_us, now_us)
            self.keys[found.id] = found
        else:
            before = {"name": found.name}
            found.name = found.name if name is None else name
            found.checked_at_us = now_us
        batch = self.writer.changed()
        batch.statements.append((_SQL, msgspec.structs.astuple(found)))
        after = {"provider": provider, "name": found.name}
        audited(batch, now_us, by, "byok.register", f"byok:{found.id}", before, after)
        await written(self.writer, batch, "the checked provider key", "GET /v1/user/byok lists them", by)
        return found.shown()

    def _known(self, account: int, provider: str, mark: str) -> CheckedKey | None:
        """The account's key of that fingerprint; None where there is none. Raises InvalidRequest where there is no
        room for it."""
        mine = [known for known in self.keys.values() if known.account == account]
        found = next((one for one in mine if (one.provider, one.fingerprint) == (provider, mark)), None)
        if found is None and len(mine) >= MOST:
            raise InvalidRequest(f"an account has {MOST} provider keys at the most: delete one", param="api_key")
        return found

    async def delete(self, id: int, account: int, by: Doer) -> None:
        """As ports.site.ProviderKeys says."""
        await turn(self.writer, by)
        found = self.keys.get(id)
        if found is None or found.account != account:
            raise NotFound(f"no provider key with the id {str(id)!r}")
        del self.keys[id]
        batch = self.writer.changed()
        batch.statements.append(("DELETE FROM byok_keys WHERE id = ?", (id,)))
        before = {"provider": found.provider, "name": found.name}
        audited(batch, self.clock.wall_us(), by, "byok.delete", f"byok:{id}", before)
        what = "the provider key is forgotten, which"
        await written(self.writer, batch, what, "GET /v1/user/byok lists them", by)
