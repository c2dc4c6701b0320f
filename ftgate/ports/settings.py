"""The settings in force, in the part that each room goes by."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ftgate.core.health import Breaker
from ftgate.core.pricing import ONE, Multiplier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model, Routes
from ftgate.core.secret import Secret
from ftgate.errors import Forbidden


class Terms(msgspec.Struct, frozen=True):
    """What a plan means for its accounts. `models` empty is all."""

    multiplier: Multiplier = ONE
    models: tuple[str, ...] = ()
    byok_tokens_per_month: int = 0


class Taker(msgspec.Struct, frozen=True):
    """A provider that takes the keys of callers (BYOK): the channel by which it is asked, without a key, its models
    under every name that they have; and what a model is like there that only the provider knows. Whether a key is good
    is found out by a GET of `check_url`, else by asking for a token of `check_model`."""

    channel: Channel
    stranger: Model
    check_url: str | None = None
    check_model: str | None = None


class GateSettings(msgspec.Struct, frozen=True):
    """The gate's part of the configuration: one immutable snapshot, swapped whole. A call keeps the one it began
    with."""

    routes: Routes
    retry: Retry
    total_s: float
    plans: Mapping[str, Terms]
    keepalive_s: float = 15.0
    """0: never."""
    takers: Mapping[str, Taker] = {}
    """The providers that take the keys of callers, by name."""
    breaker: Breaker = Breaker()
    limited: frozenset[str] = frozenset()
    """Models that have limits of their own."""

    def terms(self, plan: str) -> Terms:
        """A plan's terms. Raises errors.Forbidden (plan_unavailable) for one that is not in the config: what it kept
        its keys from must not fall away with its name."""
        found = self.plans.get(plan)
        if found is None:
            raise Forbidden(
                f"The plan {plan!r} of this API key is not configured here any more: give the key another plan "
                "(`planId`, GET /v1/plans lists them), or ask the operator, who can bring the plan back or move the "
                "account to another one",
                code="plan_unavailable",
            )
        return found


class DoorSettings(msgspec.Struct, frozen=True):
    """The doors' part: the largest body of a request, whether browsers on other sites may call, and the most
    connections from one place (0: any number)."""

    max_body_bytes: int
    cors: bool
    connections_per_address: int = 0


class PlanOffer(msgspec.Struct, frozen=True):
    """A plan as accounts see it. `models` is ("*",) for all; `requests_per_second` None without a limit; `selectable`:
    whoever makes a key may give it this plan."""

    selectable: bool = False
    models: tuple[str, ...] = ("*",)
    requests_per_second: int | None = None
    multiplier: Multiplier = ONE


class SiteSettings(msgspec.Struct, frozen=True):
    """The site's part. `public_url` is the address people open, None where nobody said; `trusted_proxies` are the
    addresses and networks whose X-Forwarded-For is believed. `registration` is open, invite or closed; who signs up
    gets `signup_credits` units. `password_min` in bytes. Who shows the `metrics_token` reads /metrics. Rows of calls
    are kept for `retention_days`, 0 for ever."""

    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    registration: str = "closed"
    password_min: int = 6
    metrics_token: Secret | None = None
    signup_credits: int = 0
    retention_days: int = 0
    plans: Mapping[str, PlanOffer] = {}


class Live(Protocol):
    """The settings in force. Each part is one immutable snapshot, and all are swapped in one step: who needs a setting
    asks here whenever it needs one, and keeps no copy of its own but that of a call for the call's length."""

    @property
    def gate(self) -> GateSettings: ...

    @property
    def doors(self) -> DoorSettings: ...

    @property
    def site(self) -> SiteSettings: ...
