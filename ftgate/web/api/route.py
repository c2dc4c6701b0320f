"""`POST /v1/route/explain`: how a call would be routed, without the call."""

from typing import cast

from quart import Quart, Response, request

from ftgate.ports import Explanation, Line
from ftgate.web.asked import text
from ftgate.web.asking import Guard, provider_key
from ftgate.web.replies import number, reply, versioned


def add(app: Quart, line: Line, guard: Guard) -> None:
    @app.post("/v1/route/explain")
    async def explain() -> Response:
        key = await guard.key()
        body = cast(bytes, await request.get_data())
        route = text("route") or ("/v1/messages" if versioned() else None)
        return reply(shown(await line.explain(key, body, route, provider_key())))


def shown(found: Explanation) -> dict[str, object]:
    """As CONTRACT.md has it; costs are exact."""
    return {
        "data": [
            {
                "model": one.model,
                "channel": one.channel,
                "provider": one.provider,
                "score": one.score,
                "expected_cost": number(one.expected_cost),
                "why": one.why,
            }
            for one in found.data
        ],
        "left_out": [{"model": out.model, "channel": out.channel, "reason": out.reason} for out in found.left_out],
        "complexity": found.complexity,
        "complexity_why": found.complexity_why,
    }
