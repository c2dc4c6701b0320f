"""How channels stand (core.health), as the line sees it: who may be asked now, and what attempts have taught. A call
with a key of its caller's own is asked whatever is known, and teaches nothing; so is one that goes on by settings which
hold no more, at a channel that is now reached in another way: what fails there speaks against nobody who is there."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from ftgate.core.health import FAILURES, REFUSALS, Health, LastError, reached
from ftgate.core.lately import HALF_HOUR_S, Lately
from ftgate.core.moments import iso
from ftgate.core.money import format_usd_cents
from ftgate.core.pace import Pace
from ftgate.core.redact import redact
from ftgate.core.retrying import Outcome
from ftgate.core.routing import Candidate, Channel
from ftgate.core.secret import Secret
from ftgate.core.spending import Spending
from ftgate.core.verdicts import Verdict
from ftgate.errors import NoHealthyProvider
from ftgate.line.call import Exchange, Tried
from ftgate.ports import Clock
from ftgate.ports.operator import HalfHour

log = logging.getLogger("ftgate.line.standing")

FAULTS = FAILURES | REFUSALS | {Verdict.rate_limited}
"""What counts as an error of a channel; the rest is the request's."""
UNUSED = Lately()


class Standing:
    """Built once by the gate, with the channels that are there then."""

    def __init__(self, clock: Clock, channels: tuple[Channel, ...]) -> None:
        self.health = Health()
        self.clock = clock
        self.spending = Spending()
        self.lately: dict[str, Lately] = {}
        self.pace = Pace()
        self.since_us = clock.wall_us()
        """Since when what is known of lately has been counted."""
        self._there(channels)

    def _there(self, channels: tuple[Channel, ...]) -> None:
        self.channels = channels
        self.named = {channel.name: channel for channel in channels}

    def _apart(self, way: Candidate) -> bool:
        """Whether nothing is known of it, and nothing is to be learned."""
        if way.brought:
            return True
        there = self.named.get(way.channel.name)
        return there is not way.channel and (there is None or reached(there) != reached(way.channel))

    def rests(self, x: Exchange) -> Callable[[Candidate], float]:
        """How long a candidate rests from now on, in seconds."""
        if self.health.fine:
            return _never
        now, breaker = self.clock.now(), x.settings.breaker
        return lambda way: 0.0 if way.brought else self.health.rest_s(way, now, breaker)

    def at_cap(self, way: Candidate) -> bool:
        """Whether its channel has spent what it may in this month."""
        return way.channel.monthly_cap is not None and self.spending.capped(way.channel, self.clock.wall_us())

    def passed_over(self, x: Exchange, way: Candidate) -> bool:
        """Whether a plan leaves this candidate out, as long as there is another. It is noted in x.resting then."""
        if self.at_cap(way):
            x.resting.append((self.spending.left_s(self.clock.wall_us()), way))
            return True
        if self.health.fine or way.brought:
            return False
        now = self.clock.now()
        wait = self.health.rest_s(way, now, x.settings.breaker)
        if wait <= 0 and not self.health.is_refused(way, now):
            return False
        x.resting.append((wait, way))
        return True

    def last_resort(self, x: Exchange) -> tuple[float, Candidate] | None:
        """Of what was left out, what may be asked all the same where nothing else is left, and after how many seconds:
        a refused credential, one at a limit that did not say when it ends, or one whose limit ends soon. Never a
        channel whose circuit is open, or that may cost no more."""
        now, most = self.clock.now(), x.settings.retry.max_retry_after
        found = []
        for wait, way in x.resting:
            if self.at_cap(way):
                continue
            if wait <= 0 or self.health.is_guessed(way, now, x.settings.breaker):
                found.append((0.0, way))
            elif wait <= most and self.health.is_limited(way, now) and not self._open(way, now):
                found.append((wait, way))
        return min(found, key=lambda one: one[0], default=None)

    def _open(self, way: Candidate, now: float) -> bool:
        circuit = self.health.circuits.get((way.channel.name, way.model.name))
        return circuit is not None and circuit.state(now) != "closed"

    def enter(self, x: Exchange, way: Candidate) -> bool:
        """An attempt begins there; whether it may. It ends with answered, left or failed."""
        return self._apart(way) or self.health.enter(way, x.call.id, self.clock.now(), x.settings.breaker)

    def begun(self, way: Candidate) -> None:
        """Its stream has begun."""
        if not (self.health.fine or self._apart(way)):
            self.health.begun(way)

    def answered(self, way: Candidate) -> None:
        """It has answered whole."""
        if not (self.health.fine or self._apart(way)):
            self.health.answered(way)

    def left(self, x: Exchange, way: Candidate) -> None:
        """It was ended, and nothing was learned."""
        if not way.brought:
            self.health.left(way, x.call.id)

    def failed(self, x: Exchange, tried: Tried, outcome: Outcome) -> None:
        """It has failed. `outcome` is of this attempt and not yet in x.outcomes; its words hold no credential."""
        way = tried.candidate
        if self._apart(way):
            return
        self.health.remember(way, self.clock.wall_us(), _error_text(outcome))
        if outcome.verdict is Verdict.timeout and not tried.awaited:  # there was no time to ask
            self.left(x, way)
            return
        again = any(x.tried[at].candidate.channel.name == way.channel.name for at in range(len(x.tried) - 1))
        words = self.health.note(way, x.call.id, outcome, self.clock.now(), x.settings.breaker, again=again)
        if words:
            log.warning("%s", words)

    def gone_by(self, tried: Tried, outcome: Outcome) -> None:
        """An attempt has failed and the call goes on without it: it counts among what its channel did lately."""
        name = tried.candidate.channel.name
        if not tried.candidate.brought and name in self.named:
            self._lately(name).ended(tried.ended, failed=outcome.verdict in FAULTS)

    def ended(self, x: Exchange, status: str, now: float) -> None:
        """The call is over, recorded as `status`. What it has cost counts toward its channel's monthly cap; how its
        last attempt ended, how long that took and how much it wrote is remembered, unless it is gone by."""
        tried = x.tried[-1] if x.tried else None
        if tried is None or tried.ended or tried.candidate.brought:
            return
        way = tried.candidate
        name = way.channel.name
        if tried.cost:
            self.spending.add(name, tried.cost, x.created_at_us)
        lately = self.lately.get(name)
        if lately is None:
            if name not in self.named:
                return
            lately = self._lately(name)
        if not tried.complete:
            lately.ended(now, failed=status in ("error", "timeout"))
            return
        began, first_at = tried.began or x.started, x.first_content_at
        lately.answered(now, now - began, None if first_at is None else first_at - began)
        if x.measured is not None:
            self.pace.learn((name, way.model.name), now, began, first_at, x.measured.usage.output)

    def _lately(self, name: str) -> Lately:
        return self.lately.setdefault(name, Lately())

    def adopt(self, channels: Iterable[Channel]) -> None:
        """Other settings are in force."""
        after = tuple(channels)
        self.health.adopt(self.channels, after)
        stay = {channel.name for channel in after}
        self.lately = {name: known for name, known in self.lately.items() if name in stay}
        self.pace.adopt(stay)
        self._there(after)

    def all_rest(self, x: Exchange) -> NoHealthyProvider:
        """What a caller is told where everything that could serve it rests."""
        now = self.clock.now()
        names = ", ".join(dict.fromkeys(way.channel.provider for _, way in x.resting))
        wait = min((wait for wait, _ in x.resting), default=1.0)
        limited = all(self.health.is_limited(way, now) for _, way in x.resting)
        capped = all(self.at_cap(way) for _, way in x.resting)
        words = "is rate limited" if limited else "has reached its monthly cap" if capped else "rests after failures"
        error = NoHealthyProvider(
            f"every provider that could answer {words}: {names}", retry_after_s=min(max(wait, 1.0), 3600.0)
        )
        error.overloaded = limited
        return error

    def circuits(self) -> Iterator[tuple[str, str, str]]:
        """Each channel with each of its models, and the state of their circuit: closed, half-open, open."""
        now = self.clock.now()
        for channel in self.channels:
            for model in channel.models:
                circuit = self.health.circuits.get((channel.name, model))
                yield channel.name, model, circuit.state(now) if circuit is not None else "closed"

    def shown(self, channel: Channel) -> dict[str, object]:
        """A channel's state as the operator sees it; of its keys the last characters only."""
        now, health = self.clock.now(), self.health
        error = health.last_error(channel.name)
        return {
            "state": self._state(channel, now),
            "circuits": [
                {
                    "model": model, "state": circuit.state(now), "failures": len(circuit.failed_at),
                    "until": self._moment(circuit.until),
                }
                for (name, model), circuit in sorted(health.circuits.items())
                if name == channel.name
            ],
            "credentials": [
                {
                    "hint": hint(key), "model": model, "state": "refused" if rest.verdict in REFUSALS else "resting",
                    "until": self._moment(rest.until), "reason": rest.verdict.value,
                }
                for (name, key, model), rest in health.rests.items()
                if name == channel.name and rest.until > now
            ],
            "spent_month": format_usd_cents(self.spending.of(channel.name, self.clock.wall_us())),
            "monthly_cap": None if channel.monthly_cap is None else format_usd_cents(channel.monthly_cap),
            "last_error": {"at": iso(error.at_us), "text": f"{error.model}: {error.text}"} if error else None,
            **self.lately.get(channel.name, UNUSED).shown(now),
        }  # fmt: skip

    def errors(self, name: str) -> Sequence[LastError]:
        """What a channel has last failed with, the newest first."""
        return self.health.errors.get(name, ())

    def day(self, name: str) -> list[HalfHour]:
        """What a channel did in each of the last half-hours, the oldest first."""
        now, wall_us = self.clock.now(), self.clock.wall_us()
        return [
            HalfHour(wall_us + int((its.number * HALF_HOUR_S - now) * 1_000_000), its.requests, its.errors)
            for its in self.lately.get(name, UNUSED).day(now)
        ]

    def _state(self, channel: Channel, now: float) -> str:
        """In a word: as core.health has it, or disabled."""
        if not channel.enabled:
            return "disabled"
        return "open" if self.spending.capped(channel, self.clock.wall_us()) else self.health.state_of(channel, now)

    def _moment(self, until: float) -> str | None:
        """A time of the clock that only counts, as one that people read; None where it is past or never."""
        left = until - self.clock.now()
        return iso(self.clock.wall_us() + int(left * 1_000_000)) if 0 < left < inf else None


def _error_text(outcome: Outcome) -> str:
    """How it failed, for the operator: "answered 500: overloaded"."""
    status = f"answered {outcome.status}: " if outcome.status is not None and outcome.status >= 300 else ""
    return f"{status}{redact(outcome.detail)[:500] or outcome.verdict.value}"


def hint(key: Secret) -> str:
    """Tells an operator which of his keys is meant."""
    text = key.reveal()
    return f"…{text[-4:]}" if len(text) >= 16 else "…"


def _never(way: Candidate) -> float:
    return 0.0
