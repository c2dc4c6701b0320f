"""What the tests of payments share: a house with a Stripe beside it, and what a payer, Stripe and a bank do."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from ftgate.core.payments import CENT
from ftgate.store.database import read_only
from tests.blackbox.harness import Account, House, channel
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

WEBHOOK = "/v1/billing/webhook"


def config(stripe: FakeStripe, more: str = "") -> str:
    return settings(stripe, more) + channel("lab", ["plain"])


def settings(stripe: FakeStripe, more: str = "") -> str:
    """How the house reaches this Stripe, in TOML."""
    return f"""
[stripe]
secret_key = "{SECRET_KEY}"
webhook_secret = "{WEBHOOK_SECRET}"
api_base = "{stripe.url}"
return_origins = ["https://shop.example", "https://app.find-token.com"]
{more}
"""


@dataclass
class Shop:
    """A house that takes payments, and the Stripe that it asks."""

    house: House
    stripe: FakeStripe

    def checkout(self, account: Account, amount: object = 10, key: str = "", **fields: Any) -> httpx.Response:
        headers = {**account.headers, **({"Idempotency-Key": key} if key else {})}
        return self.house.http.post("/v1/user/credits", json={"amount": amount, **fields}, headers=headers)

    def session(self, account: Account, amount: object = 10) -> str:
        """The id of a new session."""
        said = self.checkout(account, amount)
        assert said.status_code == 200, said.text
        return str(said.json()["session_id"])

    def tell(self, event: Any, **signing: Any) -> httpx.Response:
        """Deliver an event."""
        body, signature = self.stripe.signed(event, **signing)
        return self.send(body, signature)

    def send(self, body: bytes, signature: str | bytes | None) -> httpx.Response:
        headers = {} if signature is None else {"Stripe-Signature": signature}
        return self.house.http.post(WEBHOOK, content=body, headers=headers)

    def told(self, *events: Any) -> None:
        """Deliver events, each of which is taken."""
        for event in events:
            said = self.tell(event)
            assert said.status_code == 200 and said.json() == {"received": True}, said.text

    def payment(self, account: Account, id: str) -> dict[str, Any]:
        return dict(self.house.get(f"/v1/user/payments/{id}", account))

    def status(self, id: str) -> str:
        return str(next(p["status"] for p in self.listed() if id in (p["id"], p["session_id"])))

    def listed(self) -> list[dict[str, Any]]:
        return list(self.house.cli("payments", "list", "--limit", "10000", "--json")["data"])

    def balance(self, account: Account) -> Decimal:
        return self.house.balance(account)

    def entries(self, account: Account) -> list[tuple[str, int]]:
        """What moved an account's credits beside grants, in cents, oldest first."""
        with closing(read_only(self.house.source)) as connection:
            return connection.execute(
                f"SELECT kind, (CASE debit WHEN 'credits' THEN -1 ELSE 1 END) * amount / {CENT} FROM entries"
                " WHERE kind IN ('topup', 'refund') AND account IN (SELECT id FROM users WHERE username = ?)"
                " ORDER BY id",
                (account.name,),
            ).fetchall()


@contextmanager
def shop(base: Path, more: str = "", **house: Any) -> Iterator[Shop]:
    with FakeStripe() as stripe, House(base, config(stripe, more), upstream=False, **house) as opened:
        opened.canaries += [SECRET_KEY, WEBHOOK_SECRET]
        yield Shop(opened, stripe)
