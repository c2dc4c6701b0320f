"""Channels: how each stands and has stood for a day, and trying, switching and resetting one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quart import Blueprint, Response

from ftgate.ports.operator import HalfHour
from ftgate.web.api.channels import MOST_MODEL
from ftgate.web.asking import Asker, doer
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form

FAIR, BAD = 5, 25
"""Of a hundred requests so many that fail make a half-hour a fair or a bad one."""
FEW = 5
"""Requests of an hour that are too few to say of a channel that it fails."""
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
    if state == "ok" and (failed := _failing(channel)):
        return "bad", "fails", f"{failed} of its requests in the last hour failed. Calls still go there."
    if state == "ok":
        return "good", "answers", "Calls go there."
    if state == "degraded":
        return "fair", "in part", "Some of its models or keys rest; the others answer."
    if _at_cap(channel):
        return "bad", "at its cap", "It has spent what it may in this month: no call goes there until the next."
    return "bad", "rests", "All of its models or keys rest: calls go elsewhere, if there is another channel."


def _failing(channel: Mapping[str, object]) -> str:
    """How many of how many requests of the last hour failed, where that is bad; "" where it is not."""
    requests, errors = int(str(channel["requests_1h"])), int(str(channel["errors_1h"]))
    return f"{errors} of {requests}" if requests >= FEW and _kind(requests, errors) == "bad" else ""


def _at_cap(channel: Mapping[str, object]) -> bool:
    """Whether it is open although none of its circuits is and a key is free: then by what it has cost."""
    circuits, keys = channel.get("circuits"), channel.get("credentials")
    closed = isinstance(circuits, list) and all(one["state"] == "closed" for one in circuits)
    free = isinstance(keys, list) and any(one["state"] == "ok" for one in keys)
    return channel.get("monthly_cap") is not None and closed and free


def add(routes: Blueprint, desk: Desk) -> None:
    channels = desk.services.channels

    @routes.get("/admin/channels")
    async def listed() -> Response:
        asker = await desk.operator()
        shown = [
            (channel, standing(channel), blocks(channels.day(str(channel["name"])))) for channel in channels.shown()
        ]
        return desk.show("operate/channels.html", asker, channels=shown, since=channels.since_us())

    def page(
        asker: Asker, name: str, form: Form | None = None, tested: Mapping[str, object] | None = None
    ) -> Response:  # fmt: skip
        channel = channels.one(name)
        return desk.show(
            "operate/channel.html", asker, form=form, channel=channel, stands=standing(channel),
            blocks=blocks(channels.day(name)), since=channels.since_us(), reasons=REASONS, path=_path(name),
            tested=tested,
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
