"""The auditor's own count of rate limits: plain lists of every call of a boot, looked through from the beginning each
time.

A call counts at its key and its account from the moment it comes, at a model from when it goes up until it is settled.
Where its key's plan has changed since, it counts in those windows for which the plan of then had a limit.
Where it cannot know from outside how many tokens a call takes, it counts twice: the fewest that the house must have
counted (no admission may pass a limit by it), and the most (nobody may be refused before it is full).
"""

import math
import re
from collections.abc import Callable, Iterable

from ftgate.core.limits import Rates
from tests.days.needs import Needs
from tests.days.seen import Seen, Told

SPANS = {"requests_per_second": 1.0, "requests_per_minute": 60.0}
MINUTE = 60.0
Weights = list[tuple[float, int]]


def wait(weights: Weights, now: float, span: float, limit: int, more: int) -> float:
    """Seconds until `more` fits under `limit` beside what was counted in the last `span`; 0.0 when it fits. What is
    past the limit by itself fits where nothing else counts."""
    counted = sorted((at, weight) for at, weight in weights if at > now - span)
    left = sum(weight for _, weight in counted)
    if left + min(more, limit) <= limit:
        return 0.0
    for at, weight in counted:
        left -= weight
        if left + min(more, limit) <= limit:
            return max(at + span - now, 0.0)
    return span


class Windows:
    """What the limits of one boot must have said. `rates_for` is the operator's: the limits of a scope and name."""

    def __init__(self, calls: list[Seen], needs: Needs, rates_for: Callable[[str, str], Rates]) -> None:
        self.calls = calls
        self.needs = needs
        self.rates_for = rates_for

    # What counts where

    def _scopes(self, seen: Seen) -> list[tuple[Rates, list[tuple[Seen, Rates]]]]:
        """The limits of a call's key and of its account, each with all other calls that count there and the limits that
        these came under."""
        key, account = self.rates_for("key", seen.plan), self.rates_for("account", "")
        others = [call for call in self.calls if call.counted and call is not seen]
        return [
            (key, [(c, self.rates_for("key", c.plan)) for c in others if c.key == seen.key]),
            (account, [(c, account) for c in others if c.account == seen.account]),
        ]

    @staticmethod
    def _ended(call: Seen, at: float, end: float) -> tuple[float, int]:
        """What a call has used counts from when it was admitted; from its end, when that is more than a minute
        later."""
        return (at if at > end - MINUTE else end), call.used_tokens

    def _tokens(self, calls: Iterable[tuple[Seen, Rates]], side: int) -> Weights:
        """Of key and account: `side` 0 is the fewest, 1 the most."""
        return [
            (call.at, call.borrowed[side]) if call.released is None else self._ended(call, call.at, call.released)
            for call, then in calls
            if then.tokens_per_minute
        ]

    @staticmethod
    def _turns_to(call: Seen, name: str) -> list[Told]:
        """The attempts at which a call turned to a model, from its start or from another one."""
        before = [None, *(told.name for told in call.told)]
        return [told for was, told in zip(before, call.told, strict=False) if told.name == name != was]

    def _at_model(self, seen: Seen, name: str) -> tuple[Weights, Weights, int]:
        """Of the other calls that went up to a model: when each came, the tokens each takes of it, how many run
        there."""
        came: Weights = []
        tokens: Weights = []
        running = 0
        for call in self.calls:
            turns = self._turns_to(call, name)
            if not turns or call is seen or call.byok:
                continue
            came += [(told.at, 1) for told in turns]
            if call.told[-1].name == name:  # a model is free again when the call's money is settled
                end, last = call.settled_at, turns[-1]
                running += end is None
                tokens.append((last.at, last.tokens) if end is None else self._ended(call, last.at, end))
        return came, tokens, running

    @staticmethod
    def _requests(rates: Rates, came: Callable[[str], Weights], running: int, now: float) -> list[float]:
        """The waits of the request limits that are full; `came` says what counts under each."""
        waits = [1.0] if rates.concurrent and running >= rates.concurrent else []
        for name, span in SPANS.items():
            if limit := getattr(rates, name):
                waits.append(wait(came(name), now, span, limit, 1))
        return [seconds for seconds in waits if seconds]

    def _request_waits(self, seen: Seen, now: float) -> list[float]:
        waits: list[float] = []
        for rates, calls in self._scopes(seen):
            running = sum(call.released is None and then != Rates() for call, then in calls)

            def came(name: str, calls: list[tuple[Seen, Rates]] = calls) -> Weights:
                return [(call.at, 1) for call, then in calls if getattr(then, name)]

            waits += self._requests(rates, came, running, now)
        return waits

    # What must have happened

    def came(self, seen: Seen, now: float) -> None:
        """A call comes: it counts at its key and account, or there is no room for it."""
        seen.at = now
        seen.counted = not seen.barred and not self._request_waits(seen, now)

    def sized(self, seen: Seen) -> None:
        """What it takes of token limits, wherever of its first model's channels it is planned to go first."""
        tokens = [self.needs.tokens(seen, model) for model in seen.models(*seen.names[:1])]
        seen.borrowed = min(tokens), max(tokens)

    def turned_away(self, seen: Seen) -> None:
        """It did not go up: it may have taken its tokens before it was refused, and has them until its answer is
        sent."""
        if seen.names and seen.status not in {401, 403, 503}:
            self.sized(seen)
            seen.borrowed = 0, seen.borrowed[1]

    def went_up(self, seen: Seen, told: Told) -> list[str]:
        """What is wrong with an attempt that reaches its upstream now."""
        told.tokens = self.needs.tokens(seen, told.candidate.model)
        wrong = [] if seen.counted else ["a call past the limits of its key or account went up"]
        if len(seen.told) == 1:
            self.sized(seen)
            # A model's own token limit may have passed over the channel that it was planned for.
            if seen.first is not None and not self.rates_for("model", seen.first.name).tokens_per_minute:
                exact = self.needs.tokens(seen, seen.first)
                seen.borrowed = exact, exact
            for rates, calls in self._scopes(seen):
                limit = rates.tokens_per_minute
                if limit and wait(self._tokens(calls, 0), told.at, MINUTE, limit, seen.borrowed[0]):
                    wrong.append("more tokens than the key or account may have")
            skipped = seen.names[: seen.names.index(told.name)]
            wrong += [
                f"{name} was left out while it had room"
                for name in skipped
                if name not in seen.unaffordable and not self._model_wait(seen, name, told.at)
            ]
        if not seen.byok and self._turns_to(seen, told.name)[-1] is told:
            rates = self.rates_for("model", told.name)
            came, tokens, running = self._at_model(seen, told.name)
            if self._requests(rates, lambda name: came, running, told.at):
                wrong.append(f"more calls at {told.name} than it may have")
            if rates.tokens_per_minute and wait(tokens, told.at, MINUTE, rates.tokens_per_minute, told.tokens):
                wrong.append(f"more tokens at {told.name} than it may have")
        return wrong

    def refused(self, seen: Seen, now: float, body: bytes) -> list[str]:
        """What is wrong with a 429 that is sent now."""
        waits = self._request_waits(seen, now)
        if seen.names:
            for rates, calls in self._scopes(seen):
                if limit := rates.tokens_per_minute:
                    waits.append(wait(self._tokens(calls, 1), now, MINUTE, limit, seen.borrowed[1]))
            if not seen.byok:  # of a model are limited the calls that use our keys
                waits.append(min(self._model_wait(seen, name, now) for name in seen.names))
        longest = max(waits, default=0.0)
        if not longest:
            return ["a 429 while there is room"]
        said = re.search(rb"Try again in ([0-9.]+)s", body)
        told = int(seen.headers[b"retry-after"])
        if (
            said is None
            or float(said[1]) > max(longest, 0.1) + 0.1 + 1e-6
            or told > math.ceil(max(longest, 0.1) + 1e-6)
        ):
            return [f"a 429 that says {said and said[1]!r} and Retry-After {told} where {longest} s are needed"]
        return []

    def _model_wait(self, seen: Seen, name: str, now: float) -> float:
        """The longest that any full limit of a model asks for; 0.0 when it has room."""
        rates = self.rates_for("model", name)
        came, tokens, running = self._at_model(seen, name)
        waits = self._requests(rates, lambda name: came, running, now)
        if limit := rates.tokens_per_minute:
            most = max(self.needs.tokens(seen, model) for model in seen.models(name))
            waits.append(wait(tokens, now, MINUTE, limit, most))
        return max(waits, default=0.0)
