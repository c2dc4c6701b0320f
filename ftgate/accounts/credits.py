"""What an operator does with credits: grants and corrections, by the command line and over HTTP
(ports.managing.Credits).

Each has a ref, an id of its own: with the same ref it is done once, however often it is asked for. The audit says who
did it, in the same transaction as the entry.
"""

from ftgate.accounts import given
from ftgate.accounts.acting import CLI, audited
from ftgate.accounts.directory import Directory, User
from ftgate.accounts.pending import turn, written
from ftgate.core.books import Entry, Refusal
from ftgate.core.money import format_usd, format_usd_cents
from ftgate.errors import Conflict, InvalidRequest
from ftgate.ports import Clock
from ftgate.ports.site import Doer
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes
from ftgate.store.source import Connection

MOST_NOTE = 500


class Credits:
    """Commands that move credits from outside into an account, or back."""

    def __init__(self, directory: Directory, writer: Changes, clock: Clock) -> None:
        self.directory = directory
        self.books = directory.books
        self.writer = writer
        self.clock = clock
        self.entry_of: dict[str, int] = {}  # ref of every grant and correction -> its entry
        self.unwritten: dict[str, Batch] = {}  # ref of those that may not be committed yet -> their batch

    def load(self, connection: Connection) -> None:
        """Read what has moved credits into memory and into the books, so that no ref is used twice; also once more."""
        self.entry_of.clear()
        for ref, kind, account, amount, debit, id in connection.execute(
            "SELECT ref, kind, account, amount, debit, id FROM entries WHERE kind IN ('grant', 'topup', 'refund', "
            "'correct')"
        ):
            signed = -amount if debit == "credits" else amount
            self.books.moved[ref] = (kind, account, signed)
            self.books.accounts[account].credited += signed
            self.entry_of[ref] = id

    async def grant(self, *, username: str, amount: str, note: str = "", ref: str | None = None) -> dict[str, object]:
        """Give credits (USD, decimal), once for each `ref`, by the command line. Raises InvalidRequest, NotFound,
        Conflict, DatabaseBusy."""
        user, units = self.directory.user(username), given.amount(amount)
        return await self.granted(user.id, units, note=note, ref=ref, by=CLI)

    async def correct(self, *, username: str, amount: str, note: str, ref: str | None = None) -> dict[str, object]:
        """Put a mistake right by a new entry, once for each `ref`: add credits, or take them where the amount (USD) is
        negative. By the command line. Raises as `grant`."""
        user, units = self.directory.user(username), given.usd(amount)
        return await self.corrected(user.id, units, note=note, ref=ref, by=CLI)

    def account(self, username: str) -> int:
        """As ports.managing.Credits says."""
        return self.directory.user(username).id

    async def granted(
        self, account: int, units: int, *, note: str, ref: str | None, by: Doer
    ) -> dict[str, object]:  # fmt: skip
        """As ports.managing.Credits says."""
        user, ref = self.directory.account(account), given.ref_or_new(ref, "grant")
        note = given.line("note", note, most=MOST_NOTE)
        if units <= 0:
            raise InvalidRequest("a grant is more than 0: a correction takes credits back", param="amount")
        if ref not in self.books.moved:
            await turn(self.writer, by)
        known = self._known(ref, "grant", user, units)
        if not known:
            self.give(user, units, note, ref, by)
        return {**await self._moved(user, units, "grant", ref, by), "granted": format_usd(units), "already_done": known}

    async def corrected(
        self, account: int, units: int, *, note: str, ref: str | None, by: Doer
    ) -> dict[str, object]:  # fmt: skip
        """As ports.managing.Credits says."""
        user, ref = self.directory.account(account), given.ref_or_new(ref, "correct")
        note = given.line("note", note, most=MOST_NOTE)
        if not note:
            raise InvalidRequest("a correction needs a note: say what it puts right", param="note")
        if not units:
            raise InvalidRequest("a correction is another amount than 0, of either sign", param="amount")
        if ref not in self.books.moved:
            await turn(self.writer, by)
        known = self._known(ref, "correct", user, units)
        if not known:
            entry = self.books.correct(user.id, units, ref=ref, at_us=self.clock.wall_us(), note=note)
            self._remember(user, units, entry, by, "the amount is out of range: no balance past $1,000,000 either way")
        return {
            **await self._moved(user, units, "correct", ref, by),
            "corrected": format_usd(units),
            "already_done": known,
        }

    def give(self, user: User, units: int, note: str, ref: str, by: Doer) -> None:
        """Queue a grant under a ref that is new. Raises InvalidRequest."""
        entry = self.books.grant(user.id, units, ref=ref, at_us=self.clock.wall_us(), note=note)
        self._remember(user, units, entry, by, "the amount is out of range: from 0, and no balance above $1,000,000")

    def _known(self, ref: str, kind: str, user: User, amount: int) -> bool:
        """Whether just this was done under this ref before. Raises Conflict where something else was."""
        known = self.books.moved.get(ref)
        if known is None or known == (kind, user.id, amount):
            return known is not None
        was, account, units = known
        raise Conflict(
            f"the ref {ref} is that of a {was} of ${format_usd(units)} to {self.directory.users[account].username}; "
            "nothing was changed: repeat it just so, or leave the ref out for another one",
            code="idempotency_conflict", param="ref",
        )  # fmt: skip

    def _remember(self, user: User, units: int, entry: Entry | Refusal, by: Doer, out_of_range: str) -> None:
        """Queue what moved credits by `units`, with its ref and its audit row. Raises InvalidRequest with
        `out_of_range` where the books refused the amount; no other refusal is left, since the account was looked up and
        the ref is new."""
        if entry is Refusal.amount_out_of_range:
            raise InvalidRequest(out_of_range, param="amount")
        assert isinstance(entry, Entry), f"{user.username}: {entry}"
        batch, balance = self.writer.changed(), self.books.accounts[user.id]
        batch.remember((entry,), balance)
        after = {
            "balance": format_usd_cents(balance.posted), "amount": format_usd(units), "ref": entry.ref,
            "note": entry.note, "entry": entry.id,
        }  # fmt: skip
        before = {"balance": format_usd_cents(balance.posted - units)}
        audited(batch, entry.at_us, by, f"credit.{entry.kind}", f"user:{user.id}", before, after)
        self.entry_of[entry.ref] = entry.id
        self.unwritten = {ref: waiting for ref, waiting in self.unwritten.items() if not waiting.over}
        self.unwritten[entry.ref] = batch

    async def _moved(self, user: User, amount: int, kind: str, ref: str, by: Doer) -> dict[str, object]:
        """The answer to what moved credits, once it is written: a repeat waits for it as the first did."""
        if (batch := self.unwritten.get(ref)) is not None and not batch.over:
            name = "grant" if kind == "grant" else "correction"
            await written(
                self.writer, batch, f"the {name} of ${format_usd(amount)} to {user.username}, ref {ref},",
                f"`ftgate ledger entries --user {user.username}` shows whether it is there, and repeated with --ref "
                f"{ref} it is done once", by,
            )  # fmt: skip
        balance = format_usd_cents(self.books.accounts[user.id].posted)
        return {"username": user.username, "balance": balance, "entry": self.entry_of.get(ref), "ref": ref}
