"""The settings in force, and what each room goes by of them.

There is one whole snapshot, and its parts are made of it when it is put in force; no room keeps a copy. What must keep
something of its own over a change (connections, what limits have counted, whether an account is metered) is told after
the swap, and takes the new settings on by content.
"""

from collections.abc import Callable, Collection

import msgspec

from ftgate.config import Settings, brought
from ftgate.core.limits import Name, Rates, RatesFor, Scope
from ftgate.core.pricing import ONE
from ftgate.core.routing import Routes
from ftgate.ports import DoorSettings, GateSettings, PlanOffer, SiteSettings, Taker, Terms
from ftgate.ports.payments import PaymentTerms


class Live:
    """ports.Live. `started` are the settings of the start: those that only a start obeys hold until the next one."""

    def __init__(self, settings: Settings) -> None:
        self.started = settings
        self.keepers: list[Callable[[], None]] = []
        self.off: frozenset[str] = frozenset()
        """Channels that an operator has switched off."""
        self._take(settings)

    def __repr__(self) -> str:
        return f"<Live of {self.settings.origin or 'the environment'}, {len(self.keepers)} told of changes>"

    def _take(self, settings: Settings) -> None:
        self.settings = settings
        self.gate = _gate(settings, self.off)
        server = settings.server
        self.doors = DoorSettings(server.max_body_mb * 1_000_000, server.cors, server.connections_per_address)
        self.payments = _payments(settings)
        self.site = _site(settings)

    def tell(self, keeper: Callable[[], None]) -> None:
        """Call `keeper` after each change from now on. It must not fail: half of a change would be in force then."""
        self.keepers.append(keeper)

    def adopt(self, settings: Settings) -> None:
        """Put other settings in force, between two turns of the loop: no call sees half of them."""
        self._take(settings)
        for keeper in self.keepers:
            keeper()

    def switch(self, off: Collection[str]) -> None:
        """Let no new call go to these channels, and let them go to all others."""
        self.off = frozenset(off)
        self.adopt(self.settings)

    def metered(self, plan: str) -> bool:
        """Whether a plan bills without credits; never one that is no longer there."""
        terms = self.settings.plans.get(plan)
        return terms is not None and (terms.mode or self.settings.billing.mode) == "metered"

    def rates_for(self, plan_of_key: Callable[[int], str | None]) -> RatesFor:
        """The limits of every scope. `plan_of_key` names the plan of a key's account; None where there is no such
        key."""

        def rates(scope: Scope, name: Name) -> Rates:
            settings = self.settings
            if scope == "model":
                return settings.limits_model.get(str(name), Rates())
            if scope == "account":
                return settings.limits_account
            plan = settings.plans.get(plan_of_key(int(name)) or "")
            return (plan and plan.rates) or settings.limits

        return rates


def _gate(settings: Settings, off: frozenset[str]) -> GateSettings:
    """The gate's part."""
    plans = {
        name: Terms(
            multiplier=ONE if plan.price_multiplier == ONE else plan.price_multiplier,  # no rounding then
            models=() if plan.models == ("*",) else plan.models,
            byok_tokens_per_month=plan.byok_tokens_per_month,
        )
        for name, plan in settings.plans.items()
    }
    return GateSettings(
        routes=_without(settings.routes, off),
        retry=settings.retry,
        total_s=settings.timeouts.total,
        plans=plans,
        keepalive_s=settings.server.keepalive,
        breaker=settings.breaker,
        limited=frozenset(settings.limits_model),
        takers={name: Taker(*known) for name, known in brought(settings).items()},
    )


def _without(routes: Routes, off: frozenset[str]) -> Routes:
    """The routes with these channels switched off."""
    if not any(channel.name in off for channel in routes.channels):
        return routes
    channels = tuple(
        msgspec.structs.replace(channel, enabled=False) if channel.name in off else channel
        for channel in routes.channels
    )
    return msgspec.structs.replace(routes, channels=channels)


def _payments(settings: Settings) -> PaymentTerms:
    """The payments' part."""
    stripe = settings.stripe
    return PaymentTerms(
        secret_key=stripe.secret_key,
        webhook_secret=stripe.webhook_secret,
        api_base=stripe.api_base,
        currency=stripe.currency,
        min_amount=stripe.min_amount,
        max_amount=stripe.max_amount,
        return_origins=stripe.return_origins,
        public_url=settings.server.public_url,
    )


def _site(settings: Settings) -> SiteSettings:
    """The site's part."""
    server = settings.server
    plans = {
        name: PlanOffer(
            selectable=plan.selectable,
            models=plan.models,
            requests_per_second=(plan.rates or settings.limits).requests_per_second or None,
            multiplier=plan.price_multiplier,
        )
        for name, plan in settings.plans.items()
    }
    return SiteSettings(
        public_url=server.public_url,
        trusted_proxies=server.trusted_proxies,
        registration=server.registration,
        password_min=server.password_min,
        metrics_token=server.metrics_token,
        signup_credits=settings.billing.signup_credits,
        retention_days=server.retention_days,
        plans=plans,
    )
