"""The first run: whoever has the link that the start printed becomes the operator, and is led to a first call."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quart import Blueprint, Response, request

from ftgate.core.accounts import NAME, NAME_WORDS
from ftgate.doors import http
from ftgate.errors import InvalidRequest, NotFound
from ftgate.ports.managing import Acts
from ftgate.ports.site import Doer
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.entering import name_of, new_password, password, with_cookie
from ftgate.web.pages.forms import Form
from ftgate.web.replies import request_id

NO_TOKEN = (
    "Open the whole link that ftgate printed when it started (it ends in ?token=…, and is good for 30 minutes), or run "
    "the command that stands beside it there"
)
HELLO = '{"model":"auto","messages":[{"role":"user","content":"Hello"}]}'
NAMED = 5
"""Channels that are named, of all that there are."""
LOOKED_AT = 20
"""Tests of channels that are looked at for one that went well, and accounts for one that has made a call."""


class Step(NamedTuple):
    """One of the way to a first call: a link, or a command where it is done elsewhere."""

    name: str
    done: bool
    words: str
    link: str = ""
    opener: str = ""
    command: str = ""


def add(routes: Blueprint, desk: Desk) -> None:
    setup, guard, entrance = desk.services.setup, desk.guard, desk.services.entrance

    def check(token: str) -> None:
        """Raises NotFound; RateLimited where there were too many guesses from this address."""
        if not token and setup.needed():
            raise NotFound(NO_TOKEN)
        try:
            setup.check(token)
        except NotFound:
            if setup.needed() and (wait_s := guard.throttle.guessed("login", guard.address())) is not None:
                raise http.too_many_guesses(wait_s) from None
            raise

    def page(token: str, form: Form | None = None) -> Response:
        return desk.show("setup/setup.html", form=form, token=token, password_min=guard.live.site.password_min)

    @routes.get("/setup")
    async def first_run() -> Response:
        token = request.args.get("token", "")
        check(token)
        return page(token)

    @routes.post("/setup")
    async def make() -> Response:
        form = await desk.stranger()
        token = form.said("token")
        check(token)
        with form.trying():
            with form.reading():
                username = name_of(form, NAME, NAME_WORDS)
                chosen = new_password(form, max(guard.live.site.password_min, 1))
                if password(form, "again") != chosen:
                    form.fault(InvalidRequest("the two passwords are not the same", param="again"))
            by = Doer(None, username, "session", guard.address(), request_id())
            await setup.make(token, username, chosen, metered=form.ticked("metered"), by=by)
            cookie, _ = await entrance.open_session(
                username=username, password=chosen, address=guard.address(),
                replacing=request.cookies.get(guard.cookie_name),
            )  # fmt: skip
        if not form.done:
            return page(token, form)
        return with_cookie(desk.go("/admin/start", said="operator_made"), cookie, guard)

    @routes.get("/admin/start")
    async def start() -> Response:
        asker = await desk.operator()
        steps = await steps_of(desk, asker.account)
        return desk.show("setup/start.html", asker, steps=steps, done=sum(step.done for step in steps))


async def steps_of(desk: Desk, account: int) -> Sequence[Step]:
    """What leads to a first call, and what of it is done."""
    services = desk.services
    channels = services.channels.shown()
    real = [str(channel["name"]) for channel in channels if channel["provider"] != "demo"]
    tests, _, _ = await services.records.acts(Acts(action="channel.test"), after=None, skipped=0, size=LOOKED_AT)
    tested = any(_went_well(test.get("after")) for test in tests)
    keys, _, _ = await services.keys.page(account, status=None, after=None, skipped=0, size=1)
    users, _, _ = await services.users.page(q=None, status=None, after=None, skipped=0, size=LOOKED_AT)
    made = await services.journal.requests_of([account, *(int(str(user["id"])) for user in users)])
    path = services.config.shown()["path"]
    return (
        Step(
            "Add a channel", bool(real),
            f"There: {_named(real)}." if real else
            "So far there is the demo, which answers canned text. A channel is an address and a key of a provider."
            + (f" Write one into {path}; it counts as soon as the file is saved." if path else
               " Stop ftgate, give it a provider's key, and start it again:"),
            command="" if real or path else "export DEEPSEEK_API_KEY=…",
        ),
        Step(
            "Test it", tested, "One real call of a few tokens with each of its keys, charged to nobody.",
            link="/admin/channels", opener="Channels",
        ),
        Step(
            "Make a key", bool(keys), "Programs show it with every call. Its text is shown once.",
            link="/keys", opener="Keys",
        ),
        Step(
            "Send a call", any(made.values()),
            "From the playground in the browser, or from a program with your key; then see under Calls what it cost.",
            link="/playground", opener="Playground",
            command=f'curl {desk.address()}/v1/chat/completions \\\n  -H "Authorization: Bearer sk-ft_YOUR_KEY" \\\n'
            f'  -H "Content-Type: application/json" -d \'{HELLO}\'',
        ),
    )  # fmt: skip


def _named(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _went_well(after: object) -> bool:
    return isinstance(after, Mapping) and after.get("ok") is True
