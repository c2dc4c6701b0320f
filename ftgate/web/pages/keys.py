"""An account's API keys: the list, making one (its text is shown once, in the answer to the form), its page."""

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from shlex import quote

import msgspec
from quart import Blueprint, Response

from ftgate.core.accounts import SHOWN_STATUSES
from ftgate.core.windows import RESETS
from ftgate.errors import InvalidRequest
from ftgate.web.api import tokens
from ftgate.web.api.models import served
from ftgate.web.asking import Asker, doer
from ftgate.web.fields import wrong
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form
from ftgate.web.pages.writing import units_of

DAY_US = 86_400_000_000
EXPIRIES = (
    ("never", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"),
    ("date", "On a date"),
)  # fmt: skip
SPANS = {"none": "in all", "day": "a day", "week": "a week", "month": "a month"}
"""For how long a quota is, by `quotaReset`."""
MOST_ORDER, MOST_ORDERS = 64, 10_000
"""Characters of what a form for a new key is known by, and forms that are remembered."""
CENTS = ("quota", "usedQuota")
"""Amounts of a key that TOKEN has in cents."""
MOST_LISTED = 40
"""Models that a form lists with a box each; of more it takes names alone."""
KINDS = {"active": "good", "expired": "fair"}


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services
    orders: dict[tuple[int, str], None] = {}

    @routes.get("/keys")
    async def listed() -> Response:
        asker = await desk.person()
        found = await tokens.page(services, asker.account)
        if (form := lists.form()) != "html":
            return lists.as_file(found, "keys", form, cents=CENTS)
        _, every, _ = await services.keys.page(asker.account, status=None, after=None, skipped=0, size=1)
        _, active, _ = await services.keys.page(asker.account, status="active", after=None, skipped=0, size=1)
        return desk.show(
            "keys/list.html", asker, found=found, keys=[told(key) for key in lists.rows_of(found)], every=every,
            active=active, statuses=SHOWN_STATUSES,
        )  # fmt: skip

    def making(asker: Asker, form: Form | None = None) -> Response:
        return desk.show(
            "keys/new.html", asker, form=form, key=None, offered=offered(desk, asker), order=secrets.token_urlsafe(16)
        )

    @routes.get("/keys/new")
    async def new() -> Response:
        return making(await desk.person())

    @routes.post("/keys/new")
    async def make() -> Response:
        asker = await desk.person()
        form = await desk.form()
        order = (asker.account, form.said("order")[:MOST_ORDER])
        if order in orders:  # sent again: a second click, or the answer loaded anew
            return desk.go("/keys", said="key_made_before")
        if order[1]:
            orders[order] = None
        try:
            with form.trying():
                with form.reading():
                    asked = wanted(form)
                made, secret = await services.keys.make(asker.account, asked, doer(asker))
        finally:
            if not form.done:
                orders.pop(order, None)
        if not form.done:
            return making(asker, form)
        if len(orders) > MOST_ORDERS:
            del orders[next(iter(orders))]
        model = model_for(desk, asker, made)
        curl = first_call(desk.address(), secret, model)
        return desk.show("keys/made.html", asker, key=told(made), secret=secret, model=model, curl=curl)

    add_one(routes, desk)


def add_one(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    def one(asker: Asker, id: str, form: Form | None = None) -> Response:
        key = told(services.keys.shown(tokens.number(id), asker.account))
        plans = {plan["id"]: plan["name"] for plan in services.people.plans()}
        return desk.show("keys/one.html", asker, form=form, key=key, plan=plans.get(key["planId"]), plans=len(plans))

    @routes.get("/keys/<id>")
    async def key(id: str) -> Response:
        return one(await desk.person(), id)

    def changing(asker: Asker, id: str, form: Form | None = None) -> Response:
        key = told(services.keys.shown(tokens.number(id), asker.account))
        return desk.show("keys/edit.html", asker, form=form, key=key, offered=offered(desk, asker))

    @routes.get("/keys/<id>/edit")
    async def edit(id: str) -> Response:
        return changing(await desk.person(), id)

    @routes.post("/keys/<id>/edit")
    async def change(id: str) -> Response:
        asker = await desk.person()
        form = await desk.form()
        with form.trying():
            with form.reading():
                asked = wanted(form)
            await services.keys.change(tokens.number(id), asker.account, asked, doer(asker))
        return desk.go(f"/keys/{tokens.number(id)}", said="key_changed") if form.done else changing(asker, id, form)

    @routes.post("/keys/<id>/<any(enable, disable):what>")
    async def switch(id: str, what: str) -> Response:
        asker = await desk.person()
        status = "active" if what == "enable" else "disabled"
        await services.keys.change(tokens.number(id), asker.account, {"status": status}, doer(asker))
        return desk.go(f"/keys/{tokens.number(id)}", said=f"key_{what}d")

    @routes.post("/keys/<id>/delete")
    async def delete(id: str) -> Response:
        asker = await desk.person()
        form = await desk.form()
        with form.trying():
            named = str(told(services.keys.shown(tokens.number(id), asker.account))["named"])
            if form.said("typed").strip() != named:
                raise wrong("typed", f"Write {named} to delete this key.")
            await services.keys.delete(tokens.number(id), asker.account, doer(asker))
        return desk.go("/keys", said="key_deleted") if form.done else one(asker, id, form)


# Shown


def told(key: Mapping[str, object]) -> dict[str, object]:
    """A key as TOKEN has it, with what it is called, and its quota in words and as a share of a hundred."""
    quota, used = key["quota"], units_of(str(key["usedQuota"]), cents=True)
    limit = None if quota is None else units_of(str(quota), cents=True)
    return {
        **key,
        "named": key["name"] or key["keyPrefix"],
        "span": SPANS[str(key["quotaReset"])],
        "share": None if limit is None else min(used * 100 // limit, 100) if limit else 100,
        "kind": KINDS.get(str(key["status"]), "plain"),
        "path": f"/keys/{part(str(key['id']))}",
    }


def offered(desk: Desk, asker: Asker) -> dict[str, object]:
    """What a key's form offers."""
    names = usable(desk, asker)
    own = asker.person.plan
    plans = [
        (str(plan["id"]), str(plan["name"]))
        for plan in desk.services.people.plans()
        if plan["selectable"] or plan["name"] == own
    ]
    return {
        "models": names if len(names) <= MOST_LISTED else [],
        "expiries": EXPIRIES,
        "resets": [(reset, "Never: it is for all time" if reset == "none" else f"Every {reset}") for reset in RESETS],
        "plans": [("", "As the account's"), *plans] if len(plans) > 1 else [],
        "today": str(datetime.now(UTC).date()),
    }


def model_for(desk: Desk, asker: Asker, key: Mapping[str, object]) -> str:
    """A model for the first call of a key."""
    only = key["models"]
    if not isinstance(only, list) or not only:
        return "auto"
    return next(iter(usable(desk, asker, tuple(only))), str(only[0]))


def usable(desk: Desk, asker: Asker, models: tuple[str, ...] = ()) -> list[str]:
    """The models that a key of this account may call, where it is restricted to these."""
    settings = desk.guard.line.settings
    terms = settings.plans.get(asker.person.plan)
    return list(served(settings.routes, models, terms)) if terms is not None else []


def first_call(base: str, secret: str, model: str) -> str:
    """A first call, for a shell."""
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).decode()
    return " \\\n  ".join(
        (
            f"curl {quote(base)}/v1/chat/completions",
            f"-H {quote(f'Authorization: Bearer {secret}')}",
            "-H 'Content-Type: application/json'",
            f"-d {quote(body)}",
        )
    )


# Read


def wanted(form: Form) -> dict[str, object]:
    """What a key's form says, as KeyRing has it. Its quota is in dollars. Raises InvalidRequest."""
    nulls = ("plan_id",) if "plan_id" in form.texts else ()
    models = {"models": [*form.every("models"), *form.every("more_models")]}
    said = form.also(models).fields(
        "name", "quota_reset", *nulls, lists=("models", "allowed_ips"), nulls=nulls
    )  # fmt: skip
    said.needed("name", said.line("name", most=100))
    found = tokens.wanted(said)
    found["quota"] = form.fields("quota").usd("quota")
    if isinstance(found["quota"], int) and found["quota"] < 0:
        form.fault(wrong("quota", "A limit is zero or more."))
    expiry, on = form.said("expiry", "never"), form.said("expires_on").strip()
    if on and expiry != "date":
        form.fault(wrong("expiry", "A date is given beside: choose “On a date”, or empty it."))
    elif expiry != "as_it_is":
        found["expires_at_us"] = expires_us(expiry, on)
    return found


def expires_us(expiry: str, on: str) -> int | None:
    """When a key expires: so many days from now, or at the end of a date, UTC. Raises InvalidRequest."""
    now_us = time.time_ns() // 1000
    if expiry == "never":
        return None
    if expiry != "date":
        if expiry not in dict(EXPIRIES):
            raise wrong("expiry", "Choose one of these.")
        return now_us + int(expiry) * DAY_US
    try:
        day = date.fromisoformat(on)
    except ValueError:
        raise InvalidRequest("Which day? Write it like 2030-12-31.", param="expires_on") from None
    ends_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**6 + DAY_US - 10**6
    if ends_us <= now_us:
        raise wrong("expires_on", "That day is over.")
    return ends_us
