"""Channels: how each stands and has stood for a day, and trying, switching and resetting one."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from quart import Blueprint, Response

from ftgate.ports.operator import HalfHour
from ftgate.web.api.channels import MOST_MODEL
from ftgate.web.asking import Asker, doer
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form

FAIR, BAD = 5, 25
"""Of a hundred requests so many that fail make a half-hour a fair or a bad one."""
FEW = 5
"""Attempts of an hour, where there are fewer it takes more than some that failed to speak against a channel."""
HOUR_US = 3_600_000_000
REASONS = {
    "rate_limited": "its limit is reached", "credential": "the provider refused it",
    "out_of_credit": "its account has no credit left",
}  # fmt: skip


class Block(NamedTuple):
    """Half an hour as it is drawn; `kind` is good, fair, bad or none."""

    at_us: int
    requests: int
    errors: int
    kind: str


def blocks(day: Sequence[HalfHour]) -> list[Block]:
    return [Block(its.from_us, its.requests, its.errors, _kind(its.requests, its.errors)) for its in day]


def _kind(requests: int, errors: int) -> str:
    if not requests:
        return "none"
    share = errors * 100 / requests
    return "bad" if share >= BAD else "fair" if share >= FAIR else "good"


def standing(channel: Mapping[str, object]) -> tuple[str, str, str]:
    """How a channel stands: the kind of its state, a word, and a sentence."""
    state = channel.get("state")
    if state == "disabled":
        return "plain", "off", "Switched off: no call goes there."
    if state == "ok":
        return _open(int(str(channel["requests_1h"])), int(str(channel["errors_1h"])))
    if state == "degraded":
        return "fair", "in part", "Some of its models or keys rest; the others answer."
    if _at_cap(channel):
        return "bad", "at its cap", "It has spent what it may in this month: no call goes there until the next."
    return "bad", "rests", "All of its models or keys rest: calls go elsewhere, if there is another channel."


def _open(requests: int, errors: int) -> tuple[str, str, str]:
    """How one stands to which calls go, by its attempts of the last hour."""
    words = f"{errors} of its {requests} attempts in the last hour failed. Calls still go there."
    if not requests:
        return "plain", "ready", "Calls go there; in the last hour none has."
    if requests >= FEW and _kind(requests, errors) == "bad":
        return "bad", "fails", words
    if errors == requests:
        return "fair", "fails", words
    return "good", "answers", "Calls go there."


def _at_cap(channel: Mapping[str, object]) -> bool:
    """Whether it is open although none of its circuits is and a key is free: then by what it has cost."""
    circuits, keys = channel.get("circuits"), channel.get("credentials")
    closed = isinstance(circuits, list) and all(one["state"] == "closed" for one in circuits)
    free = isinstance(keys, list) and any(one["state"] == "ok" for one in keys)
    return channel.get("monthly_cap") is not None and closed and free


def add(routes: Blueprint, desk: Desk) -> None:
    channels = desk.services.channels

    def counted() -> dict[str, Any]:
        """Since when all is counted, and the words for the last hour where there has not been one."""
        since = channels.since_us()
        return {"since": since, "hour": "last hour" if time.time_ns() // 1000 - since >= HOUR_US else "since the start"}

    @routes.get("/admin/channels")
    async def listed() -> Response:
        asker = await desk.operator()
        shown = [
            (channel, standing(channel), blocks(channels.day(str(channel["name"])))) for channel in channels.shown()
        ]
        return desk.show("operate/channels.html", asker, channels=shown, **counted())

    def page(
        asker: Asker, name: str, form: Form | None = None, tested: Mapping[str, object] | None = None
    ) -> Response:  # fmt: skip
        channel = channels.one(name)
        return desk.show(
            "operate/channel.html", asker, form=form, channel=channel, stands=standing(channel),
            blocks=blocks(channels.day(name)), reasons=REASONS, path=_path(name), tested=tested,
            errors=channels.errors(name), **counted(),
        )  # fmt: skip

    @routes.get("/admin/channels/<path:name>")
    async def one(name: str) -> Response:
        return page(await desk.operator(), name)

    @routes.post("/admin/channels/<path:name>/test")
    async def test(name: str) -> Response:
        asker, tested = await desk.operator(), None
        channels.one(name)
        form = await desk.form()
        with form.trying():
            model = form.fields("model").text("model", most=MOST_MODEL)
            tested = await channels.test(name, model, doer(asker))
        return page(asker, name, form, tested=tested)

    async def switch(name: str, enabled: bool) -> Response:
        asker = await desk.operator()
        await channels.switch(name, enabled, doer(asker))
        return desk.go(_path(name), said="channel_on" if enabled else "channel_off")

    @routes.post("/admin/channels/<path:name>/enable")
    async def enable(name: str) -> Response:
        return await switch(name, True)

    @routes.post("/admin/channels/<path:name>/disable")
    async def disable(name: str) -> Response:
        return await switch(name, False)

    @routes.post("/admin/channels/<path:name>/reset")
    async def reset(name: str) -> Response:
        asker = await desk.operator()
        await channels.reset(name, doer(asker))
        return desk.go(_path(name), said="channel_reset")


def _path(name: str) -> str:
    return f"/admin/channels/{part(name)}"
