"""The Stripe of a history: what remembers behind tests/fakes/stripe.py's server, asked through the house's own client
without one. Answers take (mock) time, come late, or not at all though it was done.
"""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import trio

from ftgate.accounts.stripe import Stripe
from ftgate.core.secret import Secret
from tests.fakes.stripe import Remembering, Seen


class APIError(Exception):
    """The SDK's, as far as the house looks at it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.http_status = status


class APIConnectionError(Exception):
    """The same, where nothing came."""


class InvalidRequestError(Exception):
    """The same, where it was refused."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(status)
        self.http_status = status
        self.code, self.param = said["error"]["code"], said["error"]["param"]


class Bank(Remembering):
    """What Stripe knows in a history. `calm`: nothing goes wrong with it any more."""

    def __init__(self, rng: random.Random, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.rng = rng
        self.calm = rng.random() < 0.3

    async def asked(self, method: str, path: str, params: dict[str, Any], key: str | None = None) -> SimpleNamespace:
        """One request over the wire. Raises what the SDK would."""
        rng = self.rng
        await trio.sleep(rng.choice([0.0, 0.0, rng.uniform(0, 1.5)]))
        fault = 1.0 if self.calm else rng.random()
        if fault < 0.03:
            raise APIConnectionError
        if fault < 0.04:
            raise APIError(500)
        flat = list(_flat(params))
        status, said = self.answer(Seen(method, path, key, dict(flat)), flat)
        if fault < 0.06:  # it was done, and nobody hears of it
            raise APIError(rng.choice([409, 500]))
        if fault < 0.07:
            await trio.sleep(20)
        await trio.sleep(rng.choice([0.0, 0.0, rng.uniform(0, 1.5)]))
        if status >= 400:
            raise InvalidRequestError(status, said)
        return SimpleNamespace(to_dict=lambda: said)


class Wired(Stripe):
    """The house's own client of Stripe, with the bank in the place of the SDK."""

    def __init__(self, secret: Secret, address: str, bank: Bank) -> None:
        super().__init__(secret, address)

        def got(path: str) -> Callable[..., Any]:
            async def one(*words: Any) -> Any:
                ids = [word for word in words if isinstance(word, str)]
                params = [word for word in words if isinstance(word, dict)]
                return await bank.asked("GET", "/".join(["/v1", path, *ids]), params[0] if params else {})

            return one

        async def create(params: dict[str, Any], options: dict[str, str]) -> Any:
            return await bank.asked("POST", "/v1/checkout/sessions", params, options["idempotency_key"])

        sessions = got("checkout/sessions")
        self._client = SimpleNamespace(
            v1=SimpleNamespace(
                checkout=SimpleNamespace(
                    sessions=SimpleNamespace(create_async=create, retrieve_async=sessions, list_async=sessions)
                ),
                charges=SimpleNamespace(retrieve_async=got("charges")),
                payment_intents=SimpleNamespace(retrieve_async=got("payment_intents")),
                disputes=SimpleNamespace(list_async=got("disputes")),
                events=SimpleNamespace(list_async=got("events")),
            )
        )


def _flat(value: Any, name: str = "") -> Any:
    """Parameters as a form has them: a[b][0]=…"""
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from _flat(one, f"{name}[{inner}]" if name else inner)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _flat(one, f"{name}[{place}]")
    else:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)
