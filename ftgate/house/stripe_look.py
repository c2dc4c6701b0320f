"""Looking at the settings of card payments: two secrets, which must be of one mode and of the right kind."""

from collections.abc import Callable, Iterator

from ftgate.config import Settings
from ftgate.config.settings import Stripe
from ftgate.house.findings import Finding

HOOK = "/v1/billing/webhook"


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Nobody is asked for this."""
    stripe = settings.stripe
    if stripe.secret_key is None or stripe.webhook_secret is None:
        yield Finding("ok", "stripe", "card payments are off")
        return
    mode = _mode(stripe.secret_key.reveal())
    if mode is None:
        words = (
            "secret_key begins neither with sk_ nor with rk_: it is no secret key of Stripe's (Developers, API keys)"
        )
        yield Finding("wrong", "stripe", words)
    if not stripe.webhook_secret.reveal().startswith("whsec_"):
        words = (
            f"webhook_secret does not begin with whsec_: take the signing secret of the endpoint that sends to {HOOK}"
        )
        yield Finding("wrong", "stripe", words)
    if mode is None:
        return
    yield Finding("ok", "stripe", f"card payments are on, in {mode} mode")
    if mode == "live" and stripe.api_base != "https://api.stripe.com":
        yield Finding("look", "stripe", f"a live key goes to {stripe.api_base}, which is not Stripe's: unset api_base")
    if mode == "test" and settings.server.public_url:
        yield Finding("look", "stripe", "nobody can pay really in test mode: set live keys when you are ready")
    if mode == "live" and (settings.server.public_url or "").startswith("http:"):
        yield Finding("wrong", "stripe", "Stripe sends live events to https only: set server.public_url to such a one")


def _mode(key: str) -> str | None:
    kind, _, rest = key.partition("_")
    if kind not in {"sk", "rk"}:
        return None
    return "live" if rest.startswith("live_") else "test"


def asked(stripe: Stripe, status_of: Callable[[str, str], tuple[int, str]]) -> Finding | None:
    """Whether Stripe takes the key; `status_of` makes the call. None where payments are off."""
    if stripe.secret_key is None or stripe.webhook_secret is None:
        return None
    status, why = status_of(f"{stripe.api_base}/v1/balance", stripe.secret_key.reveal())
    if status in {200, 403}:  # a restricted key may not look at the balance, and is known all the same
        return Finding("ok", "stripe", "Stripe takes the key")
    if status == 401:
        return Finding(
            "wrong", "stripe", "Stripe does not take secret_key (401): make another one (Developers, API keys)"
        )
    return Finding("wrong", "stripe", f"Stripe does not answer as it should: {status or why}")
