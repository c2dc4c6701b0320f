"""One call as its page tells it: what happened when, what it came to line by line, why it failed."""

from collections.abc import Mapping
from shlex import quote

import msgspec

from ftgate.core import receipt
from ftgate.core.logged import Recorded
from ftgate.core.tries import Try
from ftgate.web.api.usage import attempts
from ftgate.web.pages.reasons import CALL_STATES, OF_THE_KEY, OUTCOMES, OUTCOMES_BEGUN, reason
from ftgate.web.pages.writing import ms, usd

CLASSES = {
    "fresh": "Prompt", "cached": "Prompt, cached", "cache_write": "Prompt, kept for 5 minutes",
    "cache_write_1h": "Prompt, kept for an hour", "output": "Answer", "request": "The request itself",
}  # fmt: skip
"""Classes of tokens, by core.receipt.Line.kind."""
MOVES = {
    "post": "charged", "void": "nothing was charged", "expire": "charged after the gateway was killed",
    "overrun": "charged past what was set aside", "loss": "used past it, and paid by nobody",
}  # fmt: skip
TALK = [{"role": "user", "content": "…"}]
BODIES: Mapping[str, Mapping[str, object]] = {
    "/v1/messages": {"max_tokens": 1024, "messages": TALK}, "/v1/responses": {"input": "…"},
    "/v1/embeddings": {"input": "…"}, "/v1/completions": {"prompt": "…"},
}  # fmt: skip
"""What a body holds at the least, by the end of its route; a chat request's elsewhere."""


class Step(msgspec.Struct, frozen=True):
    """One line of what happened. `at_ms` after the call came, None where that is not known; `kind` a state's."""

    at_ms: int | None
    kind: str
    title: str
    words: str = ""
    more: str = ""


def told(found: Recorded, base: str, *, operator: bool) -> dict[str, object]:
    """All that the page says. `operator`: with what only operators may know, channels and what they answered."""
    row = found.row
    why, helps = reason(row.status, row.error_code, row.http_status, begun=row.first_token_ms is not None)
    return {
        "steps": steps(found, operator=operator),
        "bill": bill(found),
        "why": why,
        "of_the_key": row.error_code in OF_THE_KEY,
        "paid_by": _paid_by(found),
        "helps": helps,
        "curl": curl(found, base),
        "reasoning": found.reasoning_tokens,
        "route": found.route,
        "dialects": (found.client_dialect, found.channel_dialect),
        "remark": found.remark if operator else "",
        "upstream_id": found.upstream_id,
    }


def _paid_by(found: Recorded) -> str:
    row = found.row
    if row.mode == "byok":
        return "an own provider key"
    return "nobody: calls of the account are counted" if hold_of(found) is None and row.cost else "credits"


def steps(found: Recorded, *, operator: bool) -> list[Step]:
    """What happened, in its order."""
    row = found.row
    asked = f"{row.model or 'no model'}{f' at {found.route}' if found.route else ''}"
    said = [Step(0, "plain", "The call came", f"for {asked}")]
    held = next((one for one in found.moved if one.kind == "hold"), None)
    if held is not None:
        words = f"{usd(held.amount)} for what it could cost at most" if held.amount else "nothing had to be set aside"
        said.append(Step((held.at_us - row.created_at_us) // 1000, "plain", "Set aside", words))
    tried = attempts(found)
    begun = len(tried) if row.first_token_ms is not None else 0
    said += [
        attempt(one, number, len(tried), begun=number == begun, operator=operator)
        for number, one in enumerate(tried, 1)
    ]
    if row.first_token_ms is not None:
        said.append(Step(row.first_token_ms, "plain", "First token", "of the answer's stream"))
    kind = "good" if row.status == "ok" else "fair" if row.status == "client_gone" else "bad"
    shown = f", HTTP {row.http_status}" if row.http_status else ""
    said.append(Step(row.latency_ms, kind, "The call ended", f"{CALL_STATES.get(row.status, row.status)}{shown}"))
    for moved in found.moved:
        if moved.kind != "hold":
            words = MOVES[moved.kind]
            at_ms = (moved.at_us - row.created_at_us) // 1000
            title = "Settled" if moved.kind in ("post", "void", "expire") else "And past it"
            said.append(Step(at_ms, "plain", title, words if moved.kind == "void" else f"{usd(moved.amount)} {words}"))
    return said


def attempt(one: Try, number: int, many: int, *, begun: bool, operator: bool) -> Step:
    """What became of one attempt; `begun`: its first token came. Who it went to is the operator's to know."""
    outcomes = OUTCOMES_BEGUN if begun else OUTCOMES
    name = f"{one.model} at {one.channel}" if operator else one.model or "the provider"
    status = f" ({one.status})" if one.status is not None and one.status >= 300 else ""
    words = f"{outcomes.get(one.outcome, one.outcome)}{status} after {ms(one.ms)}"
    kind = "good" if one.outcome == "ok" else "fair" if one.outcome == "client_gone" else "bad"
    title = f"Attempt {number} of {many}: {name}" if many > 1 else f"Asked {name}:"
    return Step(None, kind, title, words, one.error if operator else "")


def bill(found: Recorded) -> dict[str, object]:
    """The arithmetic: each product, their sum, the plan's factor, what it comes to, and who paid it."""
    try:
        attempts_lines = receipt.lines(found)
        numerator, denominator = receipt.factor(found) if found.multiplier else (1, 1)
        due = receipt.due(found) if found.multiplier else found.cost + found.lost
    except ValueError:  # a row from before rows held it, or one that nobody can read
        return {"attempts": [], "held": hold_of(found), "readable": False}
    lines = [
        [(CLASSES[line.kind], line.tokens, line.kind, line.each, line.units) for line in lines]
        for lines in attempts_lines
    ]
    return {
        "attempts": lines,
        "sum": sum(line.units for lines in attempts_lines for line in lines),
        "factor": None if numerator == denominator else (numerator, denominator),
        "due": due,
        "held": hold_of(found),
        "readable": True,
    }


def hold_of(found: Recorded) -> int | None:
    """What was set aside; None where no hold was taken."""
    return next((one.amount for one in found.moved if one.kind == "hold"), None)


def curl(found: Recorded, base: str) -> str:
    """The call again, for a shell: no body is kept, so it holds what every such body has."""
    route = found.route or "/v1/chat/completions"
    body: dict[str, object] = {"model": found.row.model}
    body |= next((said for end, said in BODIES.items() if route.endswith(end)), {"messages": TALK})
    if found.row.stream:
        body["stream"] = True
    said = msgspec.json.encode(body).decode()
    return (
        f"curl {quote(base + route)} \\\n"
        f'  -H "Authorization: Bearer sk-ft_YOUR_KEY" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {quote(said)}"
    )
