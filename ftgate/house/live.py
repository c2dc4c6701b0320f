"""What the rooms go by of the settings, each made from one whole snapshot of them."""

from collections.abc import Callable

from ftgate.config import Settings
from ftgate.core.limits import Name, Rates, RatesFor, Scope
from ftgate.core.pricing import ONE
from ftgate.ports import GateSettings, Terms


def gate_settings(settings: Settings) -> GateSettings:
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
        routes=settings.routes,
        retry=settings.retry,
        total_s=settings.timeouts.total,
        plans=plans,
        keepalive_s=settings.server.keepalive,
    )


def rates_for(settings: Settings, plan_of_key: Callable[[int], str | None]) -> RatesFor:
    """The limits of every scope. `plan_of_key` names the plan of a key's account; None where there is no such key."""

    def rates(scope: Scope, name: Name) -> Rates:
        if scope == "model":
            return settings.limits_model.get(str(name), Rates())
        if scope == "account":
            return settings.limits_account
        plan = settings.plans.get(plan_of_key(int(name)) or "")
        return (plan and plan.rates) or settings.limits

    return rates
