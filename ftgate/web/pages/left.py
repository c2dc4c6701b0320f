"""What is left now of what a refused call had too little of: no row keeps what there was then, or what it needed."""

import time
from collections.abc import Awaitable, Callable, Mapping

from ftgate.core.logged import Logged
from ftgate.core.moments import month
from ftgate.errors import NotFound
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.keys import SPANS
from ftgate.web.pages.writing import count, units_of, usd

NOT_KEPT = "What the call needed stood in its answer, and is not kept."


async def left(desk: Desk, row: Logged) -> str:
    """In sentences, in units of now; "" for a call that was not refused for that."""
    say = SAYING.get(row.error_code)
    return "" if say is None else await say(desk, row)


async def _credits(desk: Desk, row: Logged) -> str:
    accounts = desk.services.accounts
    if desk.services.people.self_of(row.account)["mode"] == "metered":
        return "Now the account is metered: its calls need no credits."
    posted, held = await accounts.posted(row.account), await accounts.held(row.account)
    running = f" (a balance of {usd(posted)}, of which calls that run hold {usd(held)})" if held else ""
    return f"{NOT_KEPT} Now {usd(posted - held)} can be spent{running}."


async def _quota(desk: Desk, row: Logged) -> str:
    try:
        key = desk.services.keys.shown(row.key, row.account)
    except NotFound:
        return f"{NOT_KEPT} The key is deleted."
    if key["quota"] is None:
        return f"{NOT_KEPT} Now the key has no limit."
    limit, used = (units_of(str(key[name]), cents=True) for name in ("quota", "usedQuota"))
    span = SPANS[str(key["quotaReset"])]
    return f"{NOT_KEPT} Now {usd(max(limit - used, 0))} of the key's {usd(limit)} {span} is left."


async def _byok(desk: Desk, row: Logged) -> str:
    used = await desk.services.accounts.byok_tokens(row.account, month(time.time_ns() // 1000))
    plan = desk.guard.line.settings.plans.get(desk.services.sessions.person(row.account).plan)
    limit = plan.byok_tokens_per_month if plan else 0
    return f"Now {count(used)} of the {count(limit)} tokens a month of the account's plan are used."


SAYING: Mapping[str, Callable[[Desk, Logged], Awaitable[str]]] = {
    "insufficient_credits": _credits, "key_quota_exceeded": _quota, "byok_limit_exceeded": _byok,
}  # fmt: skip
