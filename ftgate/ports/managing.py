"""The seams between the site and what operators do: accounts, their credits, and the records of both."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

from ftgate.ports.site import Doer, Rows


class Users(Protocol):
    """Accounts, as ACCOUNT shows them without the number of their requests. What is not there is errors.NotFound; each
    raises GateError with nothing changed."""

    async def page(self, *, q: str | None, status: str | None, after: int | None, skipped: int, size: int) -> Rows:
        """Some accounts, newest first: those behind the id `after`, or behind the first `skipped`. `q` is a part of a
        name or an email address, in upper or lower case."""
        ...

    def shown(self, id: int) -> Mapping[str, object]:
        """One account."""
        ...

    def own_mode(self, id: int) -> str:
        """How this account pays whatever its plan says; "" where its plan's word holds."""
        ...

    def mode_of(self, plan: str) -> str:
        """How accounts of a plan pay that have no mode of their own."""
        ...

    async def make(self, username: str, fields: Mapping[str, object], by: Doer) -> Mapping[str, object]:
        """Make an account, of `password`, `email`, `name`, `role`, `plan`, `mode` and `credits` (units). Raises
        errors.InvalidRequest, Conflict (username_taken)."""
        ...

    async def change(self, id: int, fields: Mapping[str, str | None], by: Doer) -> Mapping[str, object]:
        """Change its `status`, `role`, `plan`, `mode`, `name` or `email`. Raises errors.InvalidRequest, Conflict
        (last_admin)."""
        ...

    async def set_password(self, id: int, password: str | None, by: Doer) -> str | None:
        """Give it another password, which is returned where none is given; its tokens and sessions end. Raises
        errors.InvalidRequest."""
        ...

    async def logout(self, id: int, by: Doer) -> int:
        """End its login tokens and sessions; how many sessions that were."""
        ...


class Credits(Protocol):
    """Credits from outside, or back. Each is done once for its `ref`, and answered as the command line does. Raises
    errors.NotFound, InvalidRequest, Conflict (idempotency_conflict) with nothing changed."""

    def account(self, username: str) -> int:
        """The id of an account."""
        ...

    async def granted(
        self, account: int, units: int, *, note: str, ref: str | None, by: Doer
    ) -> Mapping[str, object]:  # fmt: skip
        """Give credits."""
        ...

    async def corrected(
        self, account: int, units: int, *, note: str, ref: str | None, by: Doer
    ) -> Mapping[str, object]:  # fmt: skip
        """Put a mistake right: more credits, or fewer."""
        ...


class Acts(msgspec.Struct, frozen=True):
    """Which rows of the audit to show; None is any. `actor` is an account's id, `actor_name` its name then."""

    actor: int | None = None
    actor_name: str | None = None
    action: str | None = None
    target: str | None = None


class Moves(msgspec.Struct, frozen=True):
    """Which entries of the ledger to show; None is any. `account` is an account's id."""

    account: int | None = None
    kind: str | None = None
    ref: str | None = None


class Verification(msgspec.Struct):
    """One of the ledger, under way or over: `done` of `whole` rows are looked at. `said` is what it came to, as
    `ftgate ledger verify` says it; `failed` why it came to nothing. Times in microseconds since 1970."""

    began_us: int
    done: int = 0
    whole: int = 0
    ended_us: int | None = None
    said: Mapping[str, object] | None = None
    failed: str = ""


class Records(Protocol):
    """What was written down and never changes, read beside the event loop."""

    async def acts(self, wanted: Acts, *, after: int | None, skipped: int, size: int) -> Rows:
        """Some rows of the audit, newest first."""
        ...

    async def entries(self, wanted: Moves, *, after: int | None, skipped: int, size: int) -> Rows:
        """Some entries of the ledger, newest first."""
        ...

    def export(self, account: int | None, form: str) -> AsyncIterator[bytes]:
        """Every entry that there is now, of one account or of all, oldest first: as `csv`, or as `json` with one object
        a line."""
        ...

    async def verify(self) -> Mapping[str, object]:
        """Recompute the ledger, as `ftgate ledger verify` does. Raises errors.Conflict (already_running) while another
        one runs."""
        ...

    def begin_verify(self) -> None:
        """The same, without waiting for it. Raises errors.Conflict (already_running)."""
        ...

    def verification(self) -> Verification | None:
        """The last one since the start."""
        ...
