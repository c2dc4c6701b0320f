"""All payments in memory, as the books are: what is decided on is never older than the last decision.

A payment takes about a kilobyte. The database has each as one row, which is written anew whole when it changes.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from ftgate.core.payments import Payment
from ftgate.store.source import Connection

_COLUMNS = Payment.__struct_fields__
_SQL = (
    f"INSERT INTO payments ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - names of ours
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[2:])}"
)

PAYMENTS = f"SELECT {', '.join(_COLUMNS)} FROM payments"  # noqa: S608 - names of ours


class PaymentRows:
    """Payments by our id, by Stripe's ids, and by account."""

    def __init__(self) -> None:
        self.by_id: dict[str, Payment] = {}
        self.by_session: dict[str, str] = {}  # Stripe's id of a session -> ours; so the next two
        self.by_intent: dict[str, str] = {}
        self.by_charge: dict[str, str] = {}
        self.by_request: dict[tuple[int, str], str] = {}  # account and its Idempotency-Key -> the newest such payment
        self.of_account: dict[int, list[str]] = defaultdict(list)  # oldest first
        self.all: list[str] = []  # oldest first
        self.open: set[str] = set()

    def __repr__(self) -> str:
        return f"<PaymentRows {len(self.all)}, {len(self.open)} of them open>"

    def load(self, connection: Connection) -> None:
        """Read them all, also once more."""
        for kept in (
            self.by_id, self.by_session, self.by_intent, self.by_charge, self.by_request, self.of_account, self.all,
            self.open,
        ):  # fmt: skip
            kept.clear()
        for row in connection.execute(f"{PAYMENTS} ORDER BY number"):
            self.renew(row)

    def renew(self, row: Sequence[Any]) -> None:
        """A payment as it is kept: a row of PAYMENTS."""
        payment = Payment(*row)
        self.keep(msgspec.structs.replace(payment, livemode=bool(payment.livemode)))

    def next_number(self) -> int:
        return self.by_id[self.all[-1]].number + 1 if self.all else 1

    def keep(self, payment: Payment) -> None:
        """Take a payment in, or what has changed of one."""
        id = payment.id
        if id not in self.by_id:
            self.all.append(id)
            self.of_account[payment.account].append(id)
            if payment.request:
                self.by_request[payment.account, payment.request] = id
        self.by_id[id] = payment
        if payment.session:
            self.by_session[payment.session] = id
        if payment.intent:
            self.by_intent[payment.intent] = id
        if payment.charge:
            self.by_charge[payment.charge] = id
        (self.open.add if payment.status == "open" else self.open.discard)(id)

    def listed(self, account: int | None) -> Sequence[str]:
        """The ids of an account's payments, or of all; oldest first."""
        return self.all if account is None else self.of_account.get(account, ())


def statement(payment: Payment) -> tuple[str, tuple[Any, ...]]:
    """What writes a payment down as it is now."""
    return _SQL, tuple(getattr(payment, name) for name in _COLUMNS)
