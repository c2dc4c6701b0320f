"""Counting a request's tokens: planned as a call would be, asked of the upstream that would answer it where that can
count, else estimated. It is free: no hold, no row, no limit, and so it may cost little.

    authenticate -> read -> plan -> { the first candidate's own count | the estimate } -> answer
"""

import logging
from math import inf

import trio

from ftgate import dialects
from ftgate.core.routing import Candidate
from ftgate.dialects.counts import Counting, counted
from ftgate.errors import GateError, UpstreamFailed
from ftgate.line.beside import LARGE_BODY
from ftgate.line.call import Call, Ended, Exchange
from ftgate.line.charge import prompt_of
from ftgate.line.gate import Gate, internal
from ftgate.line.translation import first_fitting
from ftgate.line.words import cut_error, id_headers
from ftgate.ports import Client, Headers

log = logging.getLogger("ftgate.line.counting")

UPSTREAM_S = 4.0
"""Seconds an upstream has for its count: clients ask for one while a person waits."""
AT_ONCE = 16
"""Counts that upstreams are asked for at once, over all callers: nobody pays for one, and past it the estimate does."""
ABSENT_S = 600.0
"""Seconds in which an upstream that has no count for a model is not asked for one again."""
ABSENT_KEPT = 1000
NO_COUNT = (404, 405, 501)
"""Statuses by which an upstream says that it does not count."""
MAX_BYTES = 65_536


class Counter:
    """Answers the routes that count. Built once, beside the gate whose calls it counts."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.asking = 0
        # Addresses and models that have no count, and until when that is believed.
        self.absent: dict[tuple[str, str], float] = {}

    async def count(self, call: Call, client: Client) -> None:
        """Take one request to its answer, as Gate.relay does. Raises nothing of its own."""
        gate = self.gate
        x = Exchange(call, client, gate.settings, gate.ratios, gate.clock.now(), gate.clock.wall_us())
        call.began_at = trio.current_time()
        call.may_take(x.settings.total_s)
        gate.calls[call] = x
        try:
            try:
                headers, body = await self._counted(x)
            except Ended:
                if not call.left:
                    await client.answer(*call.dialect.error(cut_error(x), call.id))
            except GateError as refused:
                await client.answer(*call.dialect.error(refused, call.id))
            except Exception:  # a bug of ours must cost one request, not the process
                log.exception("internal error in call %s", call.id)
                await client.answer(*call.dialect.error(internal(x), call.id))
            else:
                await client.answer(200, headers, body)
        finally:
            del gate.calls[call]

    async def _counted(self, x: Exchange) -> tuple[Headers, bytes]:
        gate, counting = self.gate, dialects.COUNTED[x.call.dialect.NAME]
        gate.enter(x.call)
        x.key = x.call.key or await gate.authenticate(x.call.secret)
        body = x.call.body
        small = len(body) < LARGE_BODY
        x.ask = counting.read(body) if small else await gate.beside.run(counting.read, body)
        if not small and "auto" in x.ask.names:
            await gate.beside.run(gate.planner.grade, x)
        gate.planner.plan(x, x.key, turning=False)
        way = first_fitting(x, x.ways) if small else await gate.beside.run(first_fitting, x, tuple(x.ways))
        if way is None:
            assert x.unfit is not None
            raise x.unfit
        said = dialects.COUNTED.get(way.address.dialect)
        tokens = None if said is None else await self._asked(x, way, said)
        headers = [
            (b"content-type", b"application/json"),
            *id_headers(x),
            (b"x-findtoken-counted-by", b"estimate" if tokens is None else b"upstream"),
        ]
        return headers, counting.answer(prompt_of(x, way.model).whole.likely if tokens is None else tokens)

    async def _asked(self, x: Exchange, way: Candidate, counting: Counting) -> int | None:
        """The upstream's own count; None where it gives none in time. Raises Ended."""
        call, place, now = x.call, (way.address.url, way.model.upstream), self.gate.clock.now()
        if self.asking >= AT_ONCE or self.absent.get(place, -inf) > now:
            return None
        counting_request, body = self.gate.attempts.upward.counting, b""
        self.asking += 1
        try:
            if len(call.body) < LARGE_BODY:
                request = counting_request(x, way, counting)
            else:
                request = await self.gate.beside.run(counting_request, x, way, counting)
            with trio.CancelScope(deadline=trio.current_time() + UPSTREAM_S) as call.scope:
                if call.cancelled:
                    raise Ended
                answer = await self.gate.attempts.upstream.open(request)
                try:
                    if answer.status in NO_COUNT and not way.brought:  # such a caller names models as he likes
                        if len(self.absent) >= ABSENT_KEPT:
                            self.absent.clear()
                        self.absent[place] = now + ABSENT_S
                    if answer.status == 200:
                        body = answer.whole or b""
                        while answer.whole is None and len(body) < MAX_BYTES and (data := await answer.receive()):
                            body += data
                finally:
                    await answer.aclose()
        except UpstreamFailed:
            return None
        finally:
            call.scope = None
            self.asking -= 1
        if call.cancelled:
            raise Ended
        return counted(body)
