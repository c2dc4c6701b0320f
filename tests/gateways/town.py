"""Two gateways that nobody calls but the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from ftgate.core.limits import Ticket, take_requests
from ftgate.core.pricing import ONE, Quote
from ftgate.ports import Held, HoldRequest
from ftgate.store.postgres.wire import Away
from tests.core.offers import offers
from tests.gateways.world import PRICE, TOKENS, Gateway, World
from tests.store.faulty import row

QUOTE = Quote(price=PRICE, prompt_tokens=10, answers=1, cap=100, model_limit=4000, likely_tokens=10)
LOST = "its hold was lost by the database"


class Town(World):
    """Two gateways that nobody calls but the test."""

    @asynccontextmanager
    async def lived(self) -> AsyncIterator[tuple[Gateway, Gateway]]:
        a, b = (Gateway(self, name) for name in self.names)
        self.gateways |= {"g0": a, "g1": b}
        for gateway in (a, b):
            await gateway.begin()
        for account in (1, 2):
            await self._grant(account)
        yield a, b
        await self._end()
        self._check()

    async def hold(self, gateway: Gateway, ref: str, account: int = 1) -> tuple[Held, Ticket]:
        ticket = Ticket()
        assert take_requests(gateway.limits.scopes(("account", account)), gateway.clock.now(), ticket) is None
        try:
            held = await gateway.ledger.hold(HoldRequest(account, account, offers(QUOTE), ONE, 1, ref, ticket=ticket))
        except trio.Cancelled:
            ticket.release(gateway.clock.now(), 0)
            raise
        assert isinstance(held, Held)
        return held, ticket

    async def settle(
        self, gateway: Gateway, ref: str, taken: tuple[Held, Ticket], account: int = 1
    ) -> tuple[int | None, str]:
        """What it charged, and the remark in its row."""
        of = row(ref, account=account, key=account, cost=70)
        settled = await gateway.ledger.settle(taken[0].id, 70, of)
        assert await gateway.ledger.durable_within(settled.ticket, 10)
        taken[1].release(gateway.clock.now(), TOKENS)
        return settled.charged, of.remark

    def cut_once(self, gateway: Gateway, place: str, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        """The gateway's next trip loses its connection at this place, after what happens meanwhile."""
        real = gateway.store._step

        async def step(at: str) -> None:
            await real(at)
            if at == place:
                gateway.store._step = real  # type: ignore[method-assign]
                if meanwhile is not None:
                    await meanwhile()
                raise Away("cut")

        gateway.store._step = step  # type: ignore[method-assign]

    async def call(self, gateway: Gateway, ref: str) -> None:
        await self.settle(gateway, ref, await self.hold(gateway, ref))


def counted(gateway: Gateway) -> tuple[int, int]:
    """Of account 1: calls in flight elsewhere, and those that came within a minute, here and elsewhere."""
    meters = gateway.limits.meters("account", 1)
    return meters.elsewhere, meters.minute.used
