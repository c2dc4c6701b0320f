"""Somebody who opens pages of a site and sends their forms: nobody, a user, or an operator."""

import html
import re
from typing import Any
from urllib.parse import urlencode

from ftgate.ports.site import Person, Session
from ftgate.web.pages.words import SAID
from tests.web.fakes import Answer, Asking

OPERATOR = Person(2, "root", "admin", "default")
USER = Person(3, "bob", "user", "default")
SCRIPT = "<script>alert(1)</script>"


class Visitor:
    """Of one site. `person` None has not signed in."""

    def __init__(self, asking: Asking, person: Person | None) -> None:
        self.asking = asking
        self.cookie = {}
        if person is not None:
            asking.sessions.cookies[person.username] = Session(person.username.encode(), person, "proof")
            self.cookie = {"cookie": f"ftgate_session={person.username}"}

    async def get(self, path: str) -> Answer:
        return await self.asking.ask(path, secret=None, accept="text/html", **self.cookie)

    async def send(self, path: str, *, proof: str = "proof", **fields: Any) -> Answer:
        """A form, as a browser sends it."""
        body = urlencode({"csrf_token": proof, **fields}, doseq=True).encode()
        return await self.asking.ask(
            path, method="POST", secret=None, body=body, content_type="application/x-www-form-urlencoded",
            accept="text/html", **self.cookie,
        )  # fmt: skip


def text(answer: Answer) -> str:
    """What a page says, without its marks and with single spaces."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", answer.body.decode(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def gone_to(answer: Answer) -> str:
    """Where a form that did something leads."""
    assert answer.status == 303, (answer.status, text(answer))
    place = answer.headers["location"]
    said = re.search(r"[?&]said=(\w+)", place)
    assert said is None or said[1] in SAID
    return place


def wrong_fields(answer: Answer) -> list[str]:
    """The fields of a page that say what is wrong with them, in their order: each is marked, and described by its
    words; the first alone is in focus."""
    page = answer.body.decode()
    controls = re.findall(r"<(?:input|select|textarea)\b[^>]*>", page)
    marked = [control for control in controls if 'aria-invalid="true"' in control]
    told = [re.search(r'aria-describedby="e-(\w+)', control) for control in marked]
    names = [found[1] for found in told if found is not None]
    assert len(names) == len(marked) and sorted(names) == sorted(re.findall(r'class="error" id="e-(\w+)"', page))
    assert [control for control in controls if " autofocus" in control] == marked[:1]
    return names


def is_safe(answer: Answer) -> bool:
    """Whether SCRIPT stands in it as text, and only so."""
    body = answer.body.decode()
    return SCRIPT not in body and html.escape(SCRIPT) in body
