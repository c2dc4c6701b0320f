"""What several routes show alike."""

import time
from collections.abc import Mapping, Sequence

import msgspec

from ftgate.core.moments import month, next_month_us
from ftgate.ports import Line
from ftgate.web.asking import Asker
from ftgate.web.services import Services


class ByokMonth(msgspec.Struct, frozen=True):
    """Tokens of calls with keys of the caller's own: used in this month, and the limit. `resets_us` is when the next
    month begins, in microseconds since 1970."""

    used: int
    limit: int
    resets_us: int


async def byok_month(line: Line, services: Services, asker: Asker) -> ByokMonth:
    """The month of who asks, by the plan of its key or its account."""
    plan = line.settings.plans.get(asker.key.plan if asker.key else asker.person.plan)
    now_us = time.time_ns() // 1000
    used = await services.accounts.byok_tokens(asker.account, month(now_us))
    return ByokMonth(used, plan.byok_tokens_per_month if plan else 0, next_month_us(now_us))


async def self_of(services: Services, account: int) -> dict[str, object]:
    """An account as SELF shows it."""
    made = (await services.journal.requests_of([account]))[account]
    return {**services.people.self_of(account), "requestCount": str(made)}


async def with_requests(services: Services, users: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Accounts with the numbers of their requests, as ACCOUNT shows them."""
    made = await services.journal.requests_of([int(str(user["id"])) for user in users])
    return [{**user, "request_count": made[int(str(user["id"]))]} for user in users]
