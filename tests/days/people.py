"""The auditor's own account of who may call, at which terms and within which quota: what operators and owners have
said, in the order in which they said it.

Every act is noted in the moment in which it is decided. After a start the database must stand where it stood after one
of them: after all that were answered, and with just the entries that came before the next one.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ftgate.core.pricing import ONE, Multiplier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    """What a plan means, as the config says it. `models` empty is all of them; `byok_tokens` may be used in a month by
    calls with a provider key of their own."""

    multiplier: Multiplier = ONE
    models: tuple[str, ...] = ()
    metered: bool = False
    byok_tokens: int = 0


@dataclass
class Person:
    """An account. `mode` is "" where its plan decides."""

    status: str = "active"
    plan: str = "default"
    mode: str = ""


@dataclass
class Pass:
    """A key. `since` is the last entry before its quota began anew by a word of its owner's; `plan` "" is its
    account's."""

    account: int
    status: str = "active"
    plan: str = ""
    models: tuple[str, ...] = ()
    quota: int | None = None
    reset: str = "none"
    expires_us: int | None = None
    since: int = 0


@dataclass
class State:
    people: dict[int, Person] = field(default_factory=dict)
    passes: dict[int, Pass] = field(default_factory=dict)


@dataclass
class Said:
    """What somebody has said, and how all stands after it; `entries` is the last entry that was decided before."""

    state: State
    entries: int = 0
    answered: bool = False


class People:
    """Who may what. `plans` are those of the config."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self.plans = plans
        self.said = [Said(State(), answered=True)]

    @property
    def now(self) -> State:
        return self.said[-1].state

    def act(self, last_entry: int, change: Callable[[State], None]) -> Said:
        """Somebody says something; it holds from now on."""
        state = copy.deepcopy(self.now)
        change(state)
        self.said.append(Said(state, last_entry))
        return self.said[-1]

    def started(self, found: State, last_entry: int) -> None:
        """A start has found this in the database, and entries up to the last one. Raises AssertionError where it is not
        what must be there."""
        answered = max(place for place, said in enumerate(self.said) if said.answered)
        ends = [said.entries for said in self.said[1:]] + [last_entry]
        fits = [
            said
            for place, (said, end) in enumerate(zip(self.said, ends, strict=True))
            if place >= answered and said.entries <= last_entry <= end and _same(said.state, found)
        ]
        assert fits, (
            f"{found} is found with {last_entry} entries, which is not what was answered ({self.said[answered]}) or a "
            f"beginning of what came then: {self.said[answered + 1 :]}"
        )
        self.said = [Said(fits[-1].state, last_entry, answered=True)]

    # What holds now

    def key(self, key: int) -> Pass:
        return self.now.passes[key]

    def metered(self, account: int) -> bool:
        person = self.now.people[account]
        return person.mode == "metered" or (not person.mode and self.plans[person.plan].metered)

    def plan(self, key: int) -> str:
        one = self.key(key)
        return one.plan or self.now.people[one.account].plan

    def barred(self, key: int, now_us: int) -> str:
        """Why a key may not call at all; "" where it may."""
        one = self.key(key)
        if one.status == "deleted":
            return "invalid_api_key"
        if "disabled" in {one.status, self.now.people[one.account].status}:
            return "key_disabled"
        return "key_expired" if one.expires_us is not None and one.expires_us <= now_us else ""

    def lists(self, key: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The lists of models that a key is held to: its own, and its plan's."""
        return self.key(key).models, self.plans[self.plan(key)].models


def may(lists: tuple[tuple[str, ...], ...], name: str) -> bool:
    """Whether each of these lists lets a model through: it names it, or the beginning of it and a star, or nobody."""
    return all(
        not names or any(name == one or (one[-1:] == "*" and name[: len(one) - 1] == one[:-1]) for one in names)
        for names in lists
    )


def span_began_us(reset: str, now_us: int) -> int:
    """When the day, week or month of UTC in which it is now began; 0 without one."""
    if reset == "none":
        return 0
    now = EPOCH + timedelta(microseconds=now_us)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if reset == "week":
        day -= timedelta(days=day.weekday())
    return int(((day.replace(day=1) if reset == "month" else day) - EPOCH) / timedelta(microseconds=1))


def _same(said: State, found: State) -> bool:
    """Since when a quota counts does not stand in the database as an entry."""
    bare = [{id: (*vars(one).values(),)[:-1] for id, one in state.passes.items()} for state in (said, found)]
    return said.people == found.people and bare[0] == bare[1]
