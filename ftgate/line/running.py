"""The calls in flight, as an operator sees and ends them (ports.operator.RunningCalls)."""

from collections.abc import Mapping, Sequence

from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.errors import NotFound
from ftgate.line.call import Call, Exchange
from ftgate.line.gate import Gate
from ftgate.ports.operator import Deeds
from ftgate.ports.site import Doer


class Running:
    """Looks at a gate's calls. One whose money is settled is over: only its answer is still on its way."""

    def __init__(self, gate: Gate, deeds: Deeds) -> None:
        self.gate = gate
        self.deeds = deeds

    def _calls(self) -> Mapping[Call, Exchange]:
        return {call: x for call, x in self.gate.calls.items() if x.key is not None and x.settled is None}

    def shown(self) -> Sequence[Mapping[str, object]]:
        now = self.gate.clock.now()
        return [_shown(x, now) for x in self._calls().values()]

    async def stop(self, request_id: str, by: Doer) -> None:
        found = next(((call, x) for call, x in self._calls().items() if call.id == request_id), None)
        if found is None:
            raise NotFound(f"no call {request_id[:200]!r} is in flight")
        call, x = found
        call.cancel("operator")
        assert x.key is not None
        await self.deeds.note(by, "call.stop", request_id, after={"user": str(x.key.account), "model": _model(x)})


def _model(x: Exchange) -> str:
    """What was asked for; "" while the request is being read."""
    return x.ask.names[0][:200] if x.ask.names else ""


def _shown(x: Exchange, now: float) -> dict[str, object]:
    """One call. Its tokens are those of the attempt in progress, as far as they are known."""
    assert x.key is not None
    held, last = x.held, x.tried[-1] if x.tried else None
    tokens = 0
    if last is not None:
        told = last.meter.reported
        tokens = max(told.output if told else 0, last.meter.output(last.meter.seen()))
    return {
        "request_id": x.call.id, "user": str(x.key.account), "key": str(x.key.id), "model": _model(x),
        "channel": last.candidate.channel.name if last else None, "stream": x.ask.stream,
        "state": "streaming" if x.answering else "waiting",
        "started_at": iso(x.created_at_us), "age_ms": int((now - x.started) * 1000), "completion_tokens": tokens,
        "held": format_usd(held.amount if held is not None and held.bounded else 0),
    }  # fmt: skip
