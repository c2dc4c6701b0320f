"""The playground: a call to any model, or to two at once, made here. It goes the way of all calls, by a key that the
account has for it.

The script posts a chat request to /playground/call and shows the stream; without it the form posts to /playground, and
a page with the whole answer comes back. Whoever leaves stops the upstream in both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request

from ftgate.core import connect
from ftgate.core.connect import Chat
from ftgate.doors.http import new_request_id
from ftgate.errors import GateError
from ftgate.ports import Headers
from ftgate.ports.site import PageCall
from ftgate.web import fields
from ftgate.web.api.models import served
from ftgate.web.asking import Asker, doer
from ftgate.web.connection import of_request
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.forms import Form
from ftgate.web.replies import error_reply, request_id

MOST_BYTES = 1024 * 1024
AUTO = "auto"
MOST_MODEL, MOST_TEXT, MOST_TOKENS = 200, 200_000, 10_000_000


class Said(msgspec.Struct, frozen=True):
    """What one model answered, for a page. `cost` in USD as a text, "" where nothing is known of it."""

    model: str
    request_id: str
    text: str = ""
    thought: str = ""
    error: str = ""
    served: str = ""
    cost: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    took_ms: int = 0


def add(routes: Blueprint, desk: Desk) -> None:
    def page(asker: Asker, form: Form | None = None, answers: Sequence[Said] = ()) -> Response:
        form = form or Form({})
        chat = Chat(
            form.said("model", request.args.get("model", AUTO)), form.said("message", "Hello"), form.said("system"),
            _number(form.said("max_tokens")), form.ticked("stream", default=True),
        )  # fmt: skip
        base = desk.address()
        return desk.show(
            "playground.html", asker, form=form, models=_models(desk, asker), model=chat.model, answers=answers,
            calls=connect.written(chat, base), ways=[(name, *both) for name, both in connect.TEMPLATES.items()],
            placeholder=connect.PLACEHOLDER,
        )  # fmt: skip

    @routes.get("/playground")
    async def playground() -> Response:
        return page(await desk.person())

    @routes.post("/playground")
    async def asked() -> Response:
        asker = await desk.person()
        form, answers = await desk.form(), []
        with form.trying():
            chats = _chats(form)
            calls = [await _begin(desk, asker, _body(chat), id) for chat, id in chats]
            answers = await _answered(calls, chats)
        return page(asker, form, answers)

    @routes.post("/playground/call")
    async def call() -> Response:
        asker = await desk.person()
        try:
            begun = await _begin(desk, asker, await fields.received(MOST_BYTES), request_id())
        except GateError as error:
            return error_reply(error)
        connection = of_request()
        connection.gone, connection.pushed = begun.client_gone, True
        await begun.to(connection.send)
        return Response("")


async def _begin(desk: Desk, asker: Asker, body: bytes, id: str) -> PageCall:
    return await desk.services.page_calls.begin(asker.account, body, id=id, by=doer(asker))


def _models(desk: Desk, asker: Asker) -> list[str]:
    """The chat models that the account may use."""
    settings = desk.guard.line.settings
    found = served(settings.routes, (), settings.terms(asker.person.plan))
    return sorted(name for name, (_, model) in found.items() if model.kind == "chat")


def _chats(form: Form) -> list[tuple[Chat, str]]:
    """What the form asks for: one call, or two, each with an id. Raises InvalidRequest."""
    said = form.fields("model", "beside", "max_tokens", whole=("message", "system"))
    model = said.text("model", most=MOST_MODEL) or AUTO
    message = said.needed("message", said.text("message", most=MOST_TEXT))
    system, cap = said.text("system", most=MOST_TEXT) or "", form.said("max_tokens").strip()
    if cap and (_number(cap) is None):
        raise fields.wrong("max_tokens", f"Max tokens is a whole number from 1 to {MOST_TOKENS}, or left empty")
    first = Chat(model, message, system, _number(cap), stream=False)
    beside = said.text("beside", most=MOST_MODEL)
    both = [first, msgspec.structs.replace(first, model=beside)] if beside else [first]
    return [(chat, request_id() if chat is first else new_request_id()) for chat in both]


def _number(text: str) -> int | None:
    text = text.strip()
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_TOKENS))
    return int(text) if plain and 1 <= int(text) <= MOST_TOKENS else None


def _body(chat: Chat) -> bytes:
    return msgspec.json.encode(chat.fields())


async def _answered(calls: Sequence[PageCall], chats: Sequence[tuple[Chat, str]]) -> list[Said]:
    """All of them at once, in their order."""
    found: dict[int, Said] = {}

    def gone() -> None:
        for call in calls:
            call.client_gone()

    async def one(at: int) -> None:
        began = trio.current_time()
        answer = await calls[at].whole()
        chat, id = chats[at]
        found[at] = _read(chat.model, id, *answer, took_ms=int((trio.current_time() - began) * 1000))

    of_request().gone = gone
    async with trio.open_nursery() as nursery:
        for at in range(len(calls)):
            nursery.start_soon(one, at)
    return [found[at] for at in range(len(calls))]


def _read(model: str, id: str, status: int, headers: Headers, body: bytes, *, took_ms: int) -> Said:
    """A whole answer, as a page shows it."""
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = {}
    answer = answer if isinstance(answer, Mapping) else {}
    if status != 200:
        error = answer.get("error")
        words = error.get("message") if isinstance(error, Mapping) else None
        return Said(model, id, error=str(words or f"status {status}"), took_ms=took_ms)
    said = {name: value.decode("latin1") for name, value in headers}
    choices = answer.get("choices") or [{}]
    message = choices[0].get("message") if isinstance(choices[0], Mapping) else None
    message, usage = message or {}, answer.get("usage") or {}
    text = message.get("content")
    if not isinstance(text, str):
        text = msgspec.json.encode(message).decode()
    return Said(
        model, id, text=text, thought=str(message.get("reasoning_content") or ""),
        served=said.get(b"x-findtoken-model", ""), cost=said.get(b"x-findtoken-cost", ""),
        prompt_tokens=usage.get("prompt_tokens"), completion_tokens=usage.get("completion_tokens"), took_ms=took_ms,
    )  # fmt: skip
