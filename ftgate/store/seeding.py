"""A made-up history for measurements and for checks of day borders: calls of some accounts over some days, through the
same books, batches and rollups as real ones, so that `ledger verify` finds nothing wrong.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from ftgate.core.books import Books, Ended
from ftgate.core.pricing import Price
from ftgate.core.receipt import price_text
from ftgate.ports import STANDARD, Row
from ftgate.store.writer import Writer

GROUP = 4000
"""Calls in one commit."""
AHEAD = 3
"""Commits that are made ready while one is written."""
DAY_US = 86_400_000_000


class Served(msgspec.Struct, frozen=True):
    """A model of the made-up provider; its price in units a token."""

    model: str
    channel: str
    price: Price
    share: int


_MODELS = (
    Served("seed-small", "seed-a", Price(150_000, 600_000, 75_000, 150_000, 150_000), 50),
    Served("seed-large", "seed-a", Price(2_500_000, 10_000_000, 1_250_000, 2_500_000, 2_500_000), 25),
    Served("seed-reasoner", "seed-b", Price(550_000, 2_190_000, 140_000, 550_000, 550_000), 15),
    Served("seed-coder", "seed-b", Price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000), 9),
    Served("seed-rare", "seed-b", Price(1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000), 1),
)
_ENDS = (("ok", 200, "", 940), ("client_gone", 499, "", 25), ("error", 502, "provider_error", 25),
         ("timeout", 504, "provider_timeout", 10))  # fmt: skip
"""How calls ended, by which status and code, and how many of a thousand."""


def calls(requests: int, owners: Sequence[tuple[int, int]], *, days: float, now_us: int, rand: int) -> Iterator[Row]:
    """So many calls of these accounts and keys, spread over the days before now, in the order in which they end, which
    is not quite that of their times. The same for the same `rand` and moment."""
    rng = random.Random(rand)
    shares, ends = [one.share for one in _MODELS], [end[-1] for end in _ENDS]
    prices = {one.model: price_text(one.price) for one in _MODELS}
    step = days * DAY_US / max(requests, 1)
    begins = now_us - int(days * DAY_US)
    served_all, ended_all = rng.choices(_MODELS, shares, k=requests), rng.choices(_ENDS, ends, k=requests)
    for n, served, (status, http_status, code, _) in zip(range(requests), served_all, ended_all, strict=True):
        chance = rng.random
        account, key = owners[int(chance() * len(owners))]
        latency_ms = 200 + int(chance() * 8000)
        at_us = min(begins + int(step * (n + chance() * 4)), now_us - latency_ms * 1000)
        charged = status in {"ok", "client_gone"}
        prompt, output = (50 + int(chance() * 4000), 1 + int(chance() * 900)) if charged else (0, 0)
        cached = prompt // 2 if charged and chance() < 0.2 else 0
        price = served.price
        cost = (prompt - cached) * price.input + cached * price.cached + output * price.output
        stream = chance() < 0.5
        yield Row(
            request_id=f"req_seed{rand:x}_{n:09d}", created_at_us=at_us, account=account, key=key,
            model="auto" if chance() < 0.1 else served.model, served_model=served.model, provider="seed",
            channel=served.channel, status=status, http_status=http_status, error_code=code, mode=STANDARD,
            prompt_tokens=prompt, cached_tokens=cached, cache_write_tokens=0, completion_tokens=output,
            reasoning_tokens=0, cost=cost, lost=0, estimated=status == "client_gone", latency_ms=latency_ms,
            first_token_ms=latency_ms // 3 if stream and charged else None, attempts=1, stream=stream, hold=0,
            price=prices[served.model] if charged else "", route="/v1/chat/completions", client_dialect="openai_chat",
            channel_dialect="openai_chat", multiplier="1/1",
        )  # fmt: skip


async def seed(books: Books, writer: Writer, rows: Iterator[Row]) -> int:
    """Hold and settle a history of calls; how many there were. Each account must be able to pay for its own. Raises
    store.database.DatabaseFault."""
    many, waiting = 0, []
    for row in rows:
        taken = books.hold(
            row.account, row.key, row.cost, ref=row.request_id, estimate=row.cost, at_us=row.created_at_us
        )
        assert isinstance(taken, tuple), f"{row.request_id}: {taken}"
        hold, entry = taken
        ends_us = row.created_at_us + row.latency_ms * 1000
        ended = books.post(hold.id, row.cost, at_us=ends_us) if row.price else books.void(hold.id, at_us=ends_us)
        assert isinstance(ended, Ended)
        row.hold = hold.id
        batch = writer.filling
        batch.remember((entry, *ended.entries), books.accounts[row.account], books.quotas[row.key])
        batch.rows.append(row)
        many += 1
        if many % GROUP == 0:
            waiting.append(writer.changed())
            writer.hand_over()
            if len(waiting) > AHEAD:
                await writer.durable(waiting.pop(0))
    last = writer.changed()
    await writer.durable(waiting[-1] if waiting and not last.size() else last)
    return many
