"""Somebody who reads pages without a browser: links, and forms with what they would send. What matters for many forms
or many pages, and not to the eye, is asked so, in milliseconds a page.

    ann = Visitor(site.url, site.session("u1"))
    seen = ann.get("/keys")                     # .status, .text, .links, .forms; a redirect is not followed
    ann.send(seen.forms[0], name="laptop")      # as its button would, with these fields filled in
    pages = ann.everywhere()                    # all that links and GET forms lead to, by address
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from tests.browser.crawl import Visits, place
from tests.browser.dashboard import Session

CSRF = "csrf_token"


@dataclass
class Form:
    """A form as it stands in a page: what is sent when nothing is changed. `texts` are fields to be typed in."""

    page: str
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return place(urlsplit(self.action).path)


@dataclass
class Seen:
    """A page that was read."""

    address: str
    status: int
    text: str
    is_page: bool
    location: str
    links: list[str]
    forms: list[Form]
    headers: Mapping[str, str]


class _Reader(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self.address, given["href"]).partition("#")[0])
        elif tag == "form":
            action = urljoin(self.address, given.get("action") or self.address)
            self._open = Form(self.address, action, given.get("method", "get").lower())
            self.forms.append(self._open)
        elif self._open is not None and (given.get("name") or tag == "option"):
            self._field(self._open, tag, given)

    def _field(self, form: Form, tag: str, given: Mapping[str, str]) -> None:
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "textarea" or (tag == "input" and kind not in ("hidden", "checkbox", "radio", "submit")):
            form.fields[name] = given.get("value", "")
            form.texts.append(name)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            if "selected" in given or self._select not in form.fields:
                form.fields[self._select] = given.get("value", "")
        elif tag == "button" or kind in ("hidden", "submit") or "checked" in given:
            form.fields.setdefault(name, given.get("value", "on"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None


class Visitor:
    """One who asks `url` with a session, or with none."""

    def __init__(self, url: str, session: Session | None = None) -> None:
        self.url = url
        self.session = session
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=20, headers={"Accept": "text/html"})
        if session is not None:
            self.client.headers["Cookie"] = f"{session.cookie}={session.value}"

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str) -> Seen:
        return self._seen(self.client.get(path))

    def send(self, form: Form, headers: Mapping[str, str] | None = None, **fields: str) -> Seen:
        """The form as its button sends it."""
        return self.post(form.action, {**form.fields, **fields}, headers)

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Seen:
        return self._seen(self.client.post(path, data=dict(fields), headers=dict(headers or {})))

    def _seen(self, answer: httpx.Response) -> Seen:
        self.client.cookies.clear()  # its session is the one it was given
        address = str(answer.url)
        reader = _Reader(address)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        text = answer.text
        if is_page:
            reader.feed(text)
        return Seen(
            address, answer.status_code, text, is_page, answer.headers.get("location", ""), reader.links, reader.forms,
            answer.headers,
        )  # fmt: skip

    def everywhere(self, start: str = "/") -> dict[str, Seen]:
        """Pages by address; of each place a few (see crawl.py)."""
        found: dict[str, Seen] = {}
        for address in self._addresses(start, found):
            found[address] = self.get(address)
        return found

    def _addresses(self, start: str, found: Mapping[str, Seen]) -> Iterator[str]:
        queue, queued = [self.url + start], {self.url + start}
        visits = Visits()
        while queue:
            address = queue.pop(0)
            if not visits.wants(address):
                continue
            yield address
            seen = found[address]
            asked = [
                f"{form.action.partition('?')[0]}?{urlencode(form.fields)}"
                for form in seen.forms
                if form.method == "get"
            ]
            on = [urljoin(address, seen.location)] if seen.location else []
            new = [to for to in (*on, *seen.links, *asked) if to.startswith(self.url + "/") and to not in queued]
            queued.update(new)
            queue += dict.fromkeys(new)
