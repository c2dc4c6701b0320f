"""Which candidates rest, and for how long: circuits of channels, cool-downs of credentials. Pure: times are given.

    what an attempt said                    what follows
    408, 5xx, 529, out of reach, cut off,   a failure of this channel with this model; `failures` of them in a row
    a time limit, no answer in a 200        within `window` open its circuit: it rests for `cooldown`, doubled each
                                            time, up to `cooldown_cap`; then one call goes there, as a probe
    429                                     this credential rests with this model: for Retry-After; else for a second,
                                            doubled each time, and is asked where nothing else is left; up to
                                            `cooldown_cap`
    401, 403                                this credential is refused with this model, until the settings change: only
                                            where nothing else is left is it tried
    out of credit                           the same for `cooldown_cap`, since accounts are topped up elsewhere
    a whole answer, or the beginning of     the upstream works: circuit closed, nothing counted
    a probe's; an error of the request

A call that fails several times at one candidate is one failure: one bad call is no outage. Models are kept apart:
providers limit, lose and forbid them one by one. While all is well nothing is remembered, and asking costs nothing.

Source: DESIGN.md, "Upstreams that fail".
"""

from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from ftgate.core.retrying import Outcome
from ftgate.core.routing import Candidate, Channel
from ftgate.core.secret import Secret
from ftgate.core.verdicts import Verdict

FAILURES = frozenset({Verdict.overloaded, Verdict.unreachable, Verdict.timeout, Verdict.hollow})
"""What speaks against a channel with a model."""
REFUSALS = frozenset({Verdict.credential, Verdict.out_of_credit})
"""What speaks against a credential."""
FIRST_REST_S = 1.0
"""Seconds a credential rests after a 429 that does not say how long."""
SLACK_S = 0.001
"""A rest that is nearly over is over: who has waited for it must not be turned away for a rounding."""
ERRORS_KEPT = 1000
"""Channels whose last errors are remembered."""
ERRORS_EACH = 5
"""Different errors of one channel that are: one that comes again and again hides no other."""


class Breaker(msgspec.Struct, frozen=True):
    """When a channel is left alone, and for how long. Seconds."""

    failures: int = 3
    window: float = 60.0
    cooldown: float = 5.0
    cooldown_cap: float = 300.0


class Circuit:
    """Of one channel with one model. It is there from the first failure to the next answer."""

    __slots__ = ("failed_at", "opened", "probe", "until")

    def __init__(self) -> None:
        self.failed_at: list[float] = []
        self.opened = 0  # how often in a row
        self.until = -inf
        self.probe: str | None = None  # the call that is the probe now

    def state(self, now: float) -> str:
        """closed, open or half-open."""
        return "closed" if not self.opened else "open" if now < self.until else "half-open"

    def rest_s(self, now: float, breaker: Breaker) -> float:
        """Seconds until a call may take it: while a probe is on its way, as long as a first rest."""
        if not self.opened:
            return 0.0
        return breaker.cooldown if self.probe is not None else max(self.until - now, 0.0)

    def fail(self, call: str, now: float, breaker: Breaker) -> bool:
        """Count a failure of this call; whether that opens it."""
        if self.opened:
            if self.probe != call:
                return False  # it had begun before it opened
        else:
            self.failed_at = [at for at in self.failed_at if at > now - breaker.window]
            self.failed_at.append(now)
            if len(self.failed_at) < breaker.failures:
                return False
        self.probe = None
        self.until = now + min(breaker.cooldown * 2.0 ** min(self.opened, 60), breaker.cooldown_cap)
        self.opened += 1
        return True


class Rest(msgspec.Struct):
    """A credential that is left alone until `until`, because of `verdict`, for the `times`-th time in a row; `told` by
    the provider for how long, and not guessed."""

    until: float
    verdict: Verdict
    times: int = 1
    told: bool = False


class LastError(msgspec.Struct, frozen=True):
    """What a channel last failed with, and for which of its models; `text` has no secret in it."""

    at_us: int
    model: str
    text: str


class Health:
    """What is known against the channels of this process. It outlives other settings, as far as they leave a channel as
    it was."""

    def __init__(self) -> None:
        self.circuits: dict[tuple[str, str], Circuit] = {}
        self.rests: dict[tuple[str, Secret, str], Rest] = {}
        self.errors: dict[str, tuple[LastError, ...]] = {}
        """By channel, the newest first."""

    def __repr__(self) -> str:
        return f"<Health {len(self.circuits)} circuits, {len(self.rests)} credentials rest>"

    @property
    def fine(self) -> bool:
        """Nothing is known against anybody."""
        return not (self.circuits or self.rests)

    def rest_s(self, way: Candidate, now: float, breaker: Breaker) -> float:
        """Seconds until a call may go to a candidate; 0 is now. A refused credential is asked for apart (`is_refused`):
        it may be all there is."""
        wait = 0.0
        if self.circuits:
            circuit = self.circuits.get((way.channel.name, way.model.name))
            wait = circuit.rest_s(now, breaker) if circuit else 0.0
        if self.is_limited(way, now):
            wait = max(wait, self.rests[way.channel.name, way.credential, way.model.name].until - now)
        return wait if wait > SLACK_S else 0.0

    def is_refused(self, way: Candidate, now: float) -> bool:
        """Whether its credential is better not shown again."""
        return self._rests(way, now) in REFUSALS

    def is_limited(self, way: Candidate, now: float) -> bool:
        """Whether it rests by a 429, which says itself when it ends."""
        return self._rests(way, now) is Verdict.rate_limited

    def _rests(self, way: Candidate, now: float) -> Verdict | None:
        """Because of what, if at all."""
        rest = self.rests.get((way.channel.name, way.credential, way.model.name)) if self.rests else None
        return rest.verdict if rest is not None and rest.until > now else None

    def enter(self, way: Candidate, call: str, now: float, breaker: Breaker) -> bool:
        """A call (its id) goes there now; whether it may. Where the circuit is half-open it is the probe, and the only
        one."""
        if self.fine:
            return True
        if self.rest_s(way, now, breaker) > 0 and not self.is_guessed(way, now, breaker):
            return False
        circuit = self.circuits.get((way.channel.name, way.model.name))
        if circuit is not None and circuit.opened:
            circuit.probe = call
        return True

    def is_guessed(self, way: Candidate, now: float, breaker: Breaker) -> bool:
        """Whether it rests only because of a 429 that did not say for how long: who has nothing else may ask."""
        circuit = self.circuits.get((way.channel.name, way.model.name))
        if circuit is not None and circuit.rest_s(now, breaker) > 0:
            return False
        return self.is_limited(way, now) and not self.rests[way.channel.name, way.credential, way.model.name].told

    def left(self, way: Candidate, call: str) -> None:
        """A call has gone from there and nothing was learned: if it was the probe, the next is."""
        circuit = self.circuits.get((way.channel.name, way.model.name)) if self.circuits else None
        if circuit is not None and circuit.probe == call:
            circuit.probe = None

    def begun(self, way: Candidate) -> None:
        """A stream has begun: a probe need not wait for its end. One that breaks off is a failure all the same."""
        if not self.fine:
            circuit = self.circuits.get((way.channel.name, way.model.name))
            if circuit is None or circuit.opened:
                self.answered(way)

    def answered(self, way: Candidate) -> None:
        """It works."""
        if not self.fine:
            self.circuits.pop((way.channel.name, way.model.name), None)
            self.rests.pop((way.channel.name, way.credential, way.model.name), None)

    def note(
        self, way: Candidate, call: str, outcome: Outcome, now: float, breaker: Breaker, *, again: bool = False
    ) -> str:
        """What an attempt there has said; `again`: of a call that has failed there before. In words what follows for
        others, "" is nothing."""
        name, model, verdict = way.channel.name, way.model.name, outcome.verdict
        if verdict in FAILURES:
            circuit = self.circuits.setdefault((name, model), Circuit())
            if again and not circuit.opened:
                return ""
            if circuit.fail(call, now, breaker):
                return f"{name} rests with {model} for {circuit.until - now:g} s: its circuit is open"
            return ""
        self.circuits.pop((name, model), None)  # whatever it said, it works
        if verdict is Verdict.rate_limited:
            return self._limit(way, outcome, now, breaker)
        if verdict in REFUSALS:
            until = now + breaker.cooldown_cap if verdict is Verdict.out_of_credit else inf
            known = self.is_refused(way, now)
            self.rests[name, way.credential, model] = Rest(until, verdict)
            why = "is out of credit" if verdict is Verdict.out_of_credit else f"was refused for {model}"
            return "" if known else f"a key of {name} {why} and is left alone: give it another, or reload the config"
        return ""

    def _limit(self, way: Candidate, outcome: Outcome, now: float, breaker: Breaker) -> str:
        place = way.channel.name, way.credential, way.model.name
        before = self.rests.get(place)
        times = before.times + 1 if before is not None and before.verdict is Verdict.rate_limited else 1
        # One that says none at all, or a time that is past, has said as little as one that does not say.
        rest = outcome.retry_after_s or FIRST_REST_S * 2.0 ** min(times - 1, 60)
        until = now + min(rest, breaker.cooldown_cap)
        if before is None or until > before.until or before.verdict is not Verdict.rate_limited:
            self.rests[place] = Rest(until, Verdict.rate_limited, times, bool(outcome.retry_after_s))
        return ""

    def remember(self, way: Candidate, at_us: int, text: str) -> None:
        """Keep the last errors of a channel, to be shown. One that has come before counts as of now."""
        if len(self.errors) >= ERRORS_KEPT and way.channel.name not in self.errors:
            self.errors.clear()
        new = LastError(at_us, way.model.name, text)
        others = (one for one in self.errors.get(way.channel.name, ()) if (one.model, one.text) != (new.model, text))
        self.errors[way.channel.name] = (new, *others)[:ERRORS_EACH]

    def last_error(self, name: str) -> LastError | None:
        """What a channel last failed with."""
        return next(iter(self.errors.get(name, ())), None)

    def adopt(self, before: Iterable[Channel], after: Iterable[Channel]) -> None:
        """Other channels are there. What is known of one that is reached as before stays; refused credentials get
        another chance, as whoever changes the settings expects."""
        same = _reached(before)
        stay = {name for name, reached in _reached(after).items() if same.get(name) == reached}
        self.circuits = {place: circuit for place, circuit in self.circuits.items() if place[0] in stay}
        self.rests = {
            place: rest for place, rest in self.rests.items() if place[0] in stay and rest.verdict not in REFUSALS
        }
        self.errors = {name: errors for name, errors in self.errors.items() if name in stay}

    def state_of(self, channel: Channel, now: float) -> str:
        """In a word: ok; degraded, where some of it rests; open, where all of its models or of its keys do."""
        circuits = [self.circuits.get((channel.name, model)) for model in channel.models]
        out = [circuit is not None and circuit.state(now) != "closed" for circuit in circuits]
        verdicts = [
            {rest.verdict for at, rest in self.rests.items() if at[:2] == (channel.name, key) and rest.until > now}
            for key in channel.credentials
        ]
        if not any(out) and not any(verdicts):
            return "ok"
        return "open" if all(out) or all(said & REFUSALS for said in verdicts) else "degraded"

    def reset(self, name: str) -> None:
        """Forget what is known against a channel."""
        self.circuits = {place: circuit for place, circuit in self.circuits.items() if place[0] != name}
        self.rests = {place: rest for place, rest in self.rests.items() if place[0] != name}


def reached(channel: Channel) -> object:
    """By what a channel is the same one under other settings."""
    return channel.addresses, channel.reach


def _reached(channels: Iterable[Channel]) -> Mapping[str, object]:
    return {channel.name: reached(channel) for channel in channels}
