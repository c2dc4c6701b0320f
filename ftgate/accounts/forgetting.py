"""Forgetting a person: who it was goes, what was spent stays.

Of an account there is left a number. Its name, e-mail, password, sessions, logins, invite code, the names of its keys
and of its provider keys, the addresses it came from, and what a payment says beside its amounts are gone, from the
audit too. Entries, requests and sums stay as they are, of that number: they verify as before. It is done in one
transaction, in which the tables that are never changed are opened for just this; what is deleted is overwritten, and
the file is written anew after that, since deleted text may stand in free places of it from long ago.
"""

from collections.abc import Iterator

import msgspec

from ftgate.accounts.acting import CLI, audited
from ftgate.accounts.byok import ProviderKeys
from ftgate.accounts.directory import Directory, User
from ftgate.accounts.payment_rows import PaymentRows, statement
from ftgate.accounts.pending import turn, written
from ftgate.accounts.sessions import SignedIn
from ftgate.core.money import format_usd_cents
from ftgate.core.secret import Secret
from ftgate.errors import Conflict
from ftgate.ports import Clock
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes

QUICK_BYTES = 100_000_000
"""A database up to this is written anew beside running calls: they wait for it, a second or two."""
NOTES = "kind IN ('grant', 'topup', 'refund', 'correct')"
"""Entries that may have a note."""
Statement = tuple[str, tuple[object, ...]]


class Forgetting:
    """Over an account's rooms."""

    def __init__(
        self, directory: Directory, sessions: SignedIn, provider_keys: ProviderKeys, payments: PaymentRows,
        writer: Changes, clock: Clock,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.sessions = sessions
        self.provider_keys = provider_keys
        self.payments = payments
        self.writer = writer
        self.clock = clock

    async def forget(self, *, username: str, despite: bool = False, whole: bool = False) -> dict[str, object]:
        """Forget the person behind an account; what stays of it. `despite` calls that run, payments that are open and
        a balance; `whole`: the database may be written anew however large it is. Raises NotFound, Conflict with nothing
        changed, DatabaseBusy."""
        await turn(self.writer, CLI)
        user = self.directory.user(username)
        self._may_go(user, despite=despite)
        balance = self.directory.books.accounts[user.id].posted
        batch = self.writer.changed()
        for one in self._gone(user, batch):
            batch.statements.append(one)
        audited(batch, self.clock.wall_us(), CLI, "user.forget", f"user:{user.id}")
        await written(self.writer, batch, f"that the user {user.id} is forgotten", "`ftgate users list` shows it", CLI)
        left = await self.compact(whole=whole)
        return {"id": str(user.id), "username": user.username, "balance": format_usd_cents(balance), **left}

    async def compact(self, *, whole: bool = False) -> dict[str, object]:
        """Write the database anew, so that nothing that was deleted stands in it; why it was not, if it was not."""
        why = await self.writer.compact(None if whole else QUICK_BYTES)
        return {"compacted": why is None, "why": why}

    def _may_go(self, user: User, *, despite: bool) -> None:
        """Raises Conflict."""
        operators = [one for one in self.directory.users.values() if one.role == "admin" and one.status == "active"]
        if operators == [user]:
            raise Conflict(f"{user.username} is the last active operator: make another one first", code="last_admin")
        if despite:
            return
        books = self.directory.books
        reasons = []
        if books.accounts[user.id].held or any(hold.account == user.id for hold in books.open.values()):
            reasons.append("has calls that run")
        if any(self.payments.by_id[id].status == "open" for id in self.payments.listed(user.id)):
            reasons.append("has a payment that is open")
        if balance := books.accounts[user.id].posted:
            reasons.append(f"has a balance of ${format_usd_cents(balance)}, which would be nobody's")
        if reasons:
            words = " and ".join(reasons)
            raise Conflict(f"{user.username} {words}. Nothing was changed; --yes does it all the same", code="in_use")

    def _gone(self, user: User, batch: Batch) -> Iterator[Statement]:
        """Take the person out of memory; what takes it out of the database, beside what is put into the batch here."""
        name, email, id = user.username, user.email, user.id
        yield "PRAGMA secure_delete = ON", ()
        self.sessions.end_all(user, batch)
        yield from self._account(user)
        yield from self._keys(id)
        yield from self._paid(id)
        yield from _unaudited(user, name)
        yield from _unnoted(id, name, email)

    def _account(self, user: User) -> Iterator[Statement]:
        directory = self.directory
        directory.by_name.pop(user.username.lower(), None)
        user.username = f"(forgotten {user.id})"  # a name that nobody can have
        user.name = user.email = user.invite_code = ""
        user.password, user.invited_by, user.last_login_at_us = Secret(""), None, None
        user.role, user.status = "user", "disabled"
        directory.keep_user(user)
        for place in [place for place in directory.logins if place[0] == user.id]:
            del directory.logins[place]
        yield (
            "UPDATE users SET username = ?, display_name = '', email = '', password = '', invite_code = '', role = ?,"
            " status = ?, invited_by = NULL, last_login_at_us = NULL WHERE id = ?",
            (user.username, user.role, user.status, user.id),
        )
        yield "DELETE FROM sessions WHERE account = ?", (user.id,)
        yield "DELETE FROM logins WHERE account = ?", (user.id,)

    def _keys(self, account: int) -> Iterator[Statement]:
        directory = self.directory
        for key in list(directory.keys_of.get(account, {}).values()):
            key.status = "deleted"
            directory.drop_key(key)
        for key in directory.deleted.values():
            if key.account == account:
                key.name, key.allowed_ips = "", ()
        for id in [id for id, known in self.provider_keys.keys.items() if known.account == account]:
            del self.provider_keys.keys[id]
        yield "UPDATE keys SET status = 'deleted', name = '', allowed_ips = '[]' WHERE account = ?", (account,)
        yield "DELETE FROM byok_keys WHERE account = ?", (account,)

    def _paid(self, account: int) -> Iterator[Statement]:
        """Where a payer came from and went to. Stripe's ids stay: entries and refunds go by them."""
        rows = self.payments
        for id in rows.listed(account):
            before = rows.by_id[id]
            after = msgspec.structs.replace(before, success_url="", cancel_url="", request="", url="", receipt_url="")
            rows.by_request.pop((account, before.request), None)
            rows.keep(after)
            yield statement(after)


def _opened(table: str, statements: Iterator[Statement]) -> Iterator[Statement]:
    """Changes of a table that is never changed."""
    trigger = f"{table}_never_updated"
    yield f"DROP TRIGGER {trigger}", ()
    yield from statements
    words = f"SELECT RAISE(ABORT, '{'audit is' if table == 'audit' else 'entries are'} never updated')"
    yield f"CREATE TRIGGER {trigger} BEFORE UPDATE ON {table} BEGIN {words}; END", ()


def _unaudited(user: User, name: str) -> Iterator[Statement]:
    """The audit of an account and of its keys without who it was. What the account did to others stays said of them:
    only its own words, which are notes, and the names of its provider keys go."""
    own = (
        "(target = 'user:' || ?1 OR target IN (SELECT 'token:' || id FROM keys WHERE account = ?1)"
        " OR actor = ?1 AND target LIKE 'byok:%')"
    )
    words: dict[str, object] = {"note": ""}
    who: dict[str, object] = {"username": user.username, "name": "", "email": "", "allowedIps": []}

    def told(hidden: dict[str, object], of: str) -> Statement:
        parts = "".join(f", '$.{what}', json(?{at})" for at, what in enumerate(hidden, 2))
        said = (f"{it} = CASE WHEN {it} = '' THEN '' ELSE json_replace({it}{parts}) END" for it in ("before", "after"))
        values = (msgspec.json.encode(text).decode() for text in hidden.values())
        return f"UPDATE audit SET {', '.join(said)} WHERE {of}", (user.id, *values)  # noqa: S608 - words of ours

    def changes() -> Iterator[Statement]:
        yield told({**words, **who}, own)
        yield told(words, "actor = ?1")
        yield "UPDATE audit SET actor_name = ?, address = '' WHERE actor = ?", (user.username, user.id)
        yield "UPDATE audit SET actor_name = ? WHERE actor_name = ?", (user.username, name)
        alone = "UPDATE audit SET address = '' WHERE target = 'user:' || ? AND actor IS NULL"
        yield alone, (user.id,)  # who signs up is nobody yet

    return _opened("audit", changes())


def _unnoted(account: int, name: str, email: str) -> Iterator[Statement]:
    """Notes of entries that name the person: the account's own, and anybody's with the e-mail."""

    def changes() -> Iterator[Statement]:
        named = "UPDATE entries SET note = '' WHERE instr(lower(note), ?) > 0 AND "
        yield f"{named} {NOTES} AND account = ?", (_lower(name), account)
        if email:
            yield f"{named} {NOTES}", (_lower(email),)

    return _opened("entries", changes())


def _lower(text: str) -> str:
    """As the databases' own lower() has it, which knows the letters of ASCII alone."""
    return text.encode().lower().decode()
