"""What other gateways of a shared ledger have changed of accounts, taken into memory row by row."""

from collections.abc import Callable, Sequence
from typing import Any

from ftgate.accounts.byok import BYOK_KEYS, ProviderKeys
from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import KEYS, LOGINS, USERS, Directory
from ftgate.accounts.payment_rows import PAYMENTS, PaymentRows
from ftgate.accounts.plans import PLAN_IDS, Plans
from ftgate.accounts.sessions import ENDED_TOKENS, SESSIONS, SignedIn
from ftgate.accounts.switches import SWITCHES, Switches

Taking = Callable[[Sequence[str], Sequence[Sequence[Any]]], None]


class Following:
    """store.postgres.memory.People. Ids are texts, as the triggers write them."""

    def __init__(
        self, directory: Directory, credits: Credits, sessions: SignedIn, payments: PaymentRows, plans: Plans,
        switches: Switches, provider_keys: ProviderKeys,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.credits = credits
        self.sessions = sessions
        self.payments = payments
        self.plans = plans
        self.switches = switches
        self.provider_keys = provider_keys
        self._tables: dict[str, tuple[str, str, Callable[[str], str], Taking]] = {
            "users": (USERS, "id", _number, lambda ids, rows: _each(directory.renew_user, rows)),
            "keys": (KEYS, "id", _number, lambda ids, rows: _each(directory.renew_key, rows)),
            "logins": (LOGINS, "account", _number, self._logins),
            "sessions": (SESSIONS, "id", _bytes, self._sessions),
            "ended_tokens": (ENDED_TOKENS, "id", _text, self._ended),
            "plan_ids": (PLAN_IDS, "id", _number, lambda ids, rows: plans.ids.update((name, id) for name, id in rows)),
            "switches": (SWITCHES, "channel", _text, self._switches),
            "byok_keys": (BYOK_KEYS, "id", _number, self._provider_keys),
            "payments": (PAYMENTS, "id", _text, lambda ids, rows: _each(payments.renew, rows)),
        }

    def wanted(self, table: str, ids: Sequence[str]) -> str:
        """SQL that reads these rows, the lower ids first."""
        sql, column, kind, _ = self._tables[table]
        return f"{sql} WHERE {column} IN ({', '.join(map(kind, ids))}) ORDER BY 1"

    def renewed(self, table: str, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Take these rows in; an id without one is gone."""
        self._tables[table][3](ids, rows)

    def moved(self, ref: str, entry: int) -> None:
        """Credits were moved under this ref."""
        self.credits.entry_of[ref] = entry

    def _logins(self, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        logins, accounts = self.directory.logins, {int(id) for id in ids}
        for place in [place for place in logins if place[0] in accounts]:
            del logins[place]
        for account, address, at_us in rows:
            logins[account, address] = at_us

    def _sessions(self, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        there = {bytes(row[0]) for row in rows}
        for id in map(bytes.fromhex, ids):
            if id not in there:
                self.sessions.gone(id)
        _each(self.sessions.renew, rows)

    def _ended(self, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        for until_s, id in rows:  # what is forgotten has ended by its time
            self.sessions.ended_elsewhere(until_s, id)

    def _switches(self, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        found = {name: enabled for name, enabled in rows}  # noqa: C416 - rows are not typed
        for channel in ids:
            self.switches.renew(channel, bool(found.get(channel, True)))

    def _provider_keys(self, ids: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        for id in map(int, ids):
            self.provider_keys.keys.pop(id, None)
        _each(self.provider_keys.renew, rows)


def _number(id: str) -> str:
    """As SQL; so are the next two."""
    return str(int(id))


def _text(id: str) -> str:
    return "'" + id.replace("'", "''") + "'"


def _bytes(id: str) -> str:
    return f"'\\x{bytes.fromhex(id).hex()}'::bytea"


def _each(take: Callable[[Sequence[Any]], None], rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        take(row)
