"""[stripe]: what payments go by."""

from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET
from tests.walk.gateway import Gateway
from tests.walk.table import walk

SECRET = {"stripe.secret_key": f'"{SECRET_KEY}"'}
EVENTS = {"stripe.webhook_secret": f'"{WEBHOOK_SECRET}"'}
AT = {"stripe.api_base": '"STRIPE"'}


async def _asked(gateway: Gateway, amount: float, **more: str) -> int:
    return (await gateway.post("/v1/user/credits", await gateway.account(), amount=amount, **more)).status_code


@walk("stripe.secret_key", f'"{SECRET_KEY}"', {**EVENTS, **AT})
async def _(gateway: Gateway) -> None:
    assert await _asked(gateway, 10) == 200 and len(gateway.stripe.sessions) == 1


@walk("stripe.api_base", '"STRIPE"', {**SECRET, **EVENTS})
async def _(gateway: Gateway) -> None:
    assert gateway.house.settings.stripe.api_base == gateway.stripe.url  # before anybody else is asked
    assert await _asked(gateway, 10) == 200 and len(gateway.stripe.sessions) == 1


@walk("stripe.webhook_secret", f'"{WEBHOOK_SECRET}"', {**SECRET, **AT})
async def _(gateway: Gateway) -> None:
    body, signature = gateway.stripe.signed({"type": "customer.created"})
    said = await gateway.http.post("/v1/billing/webhook", content=body, headers={"Stripe-Signature": signature})
    assert said.json() == {"received": True}


@walk("stripe.min_amount", "6", {**SECRET, **EVENTS, **AT})
async def _(gateway: Gateway) -> None:
    assert (await _asked(gateway, 5.99), await _asked(gateway, 6)) == (400, 200)


@walk("stripe.max_amount", "900", {**SECRET, **EVENTS, **AT})
async def _(gateway: Gateway) -> None:
    assert (await _asked(gateway, 900.01), await _asked(gateway, 900)) == (400, 200)


@walk("stripe.return_origins", '["https://shop.example"]', {**SECRET, **EVENTS, **AT})
async def _(gateway: Gateway) -> None:
    assert await _asked(gateway, 10, success_url="https://shop.example/thanks") == 200
