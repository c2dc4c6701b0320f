"""The desk: what every page has in common. Who is there, the form that came, and how an answer is written."""

from functools import partial
from math import ceil
from urllib.parse import quote, urlencode

import trio
from quart import Response, current_app, g, request

from ftgate import __version__
from ftgate.errors import Forbidden, GateError
from ftgate.web import fields
from ftgate.web.asking import CSRF_FIELD, CSRF_HEADER, SAFE, Asker, Guard, csrf_failed
from ftgate.web.pages.forms import Form
from ftgate.web.pages.statics import statics
from ftgate.web.pages.words import OPERATOR_PLACES, PLACES, SAID
from ftgate.web.pages.writing import environment
from ftgate.web.services import Services

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing that stands in a page itself. `data:` is for marks in the stylesheet."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all browsers send `Origin: null` with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
FORM, UPLOAD = "application/x-www-form-urlencoded", "multipart/form-data"


class SignIn(Exception):
    """Nobody is signed in, and the page wants to know who."""


class Desk:
    """Given to every page when it is added."""

    def __init__(self, guard: Guard, services: Services) -> None:
        self.guard = guard
        self.services = services
        self.statics = statics()
        self.templates = environment()

    # Who is there

    async def person(self) -> Asker:
        """Who has signed in. Of what changes something it is proven that our own page sent it, a form by its field, a
        script by its header. Raises SignIn, Forbidden, InvalidRequest, BodyTooLarge."""
        proof = request.headers.get(CSRF_HEADER, "")
        if not proof and request.method not in SAFE:
            proof = (await self._received()).csrf
        asker = self.guard.visitor(proof)
        if asker is None:
            raise SignIn
        return asker

    async def operator(self) -> Asker:
        """As `person`; raises Forbidden for all but operators."""
        asker = await self.person()
        if not asker.is_operator:
            raise Forbidden("this page is for operators: accounts of the role admin")
        return asker

    def visitor(self) -> Asker | None:
        """Who has signed in, if anybody has: for pages that anybody may see. Only of a GET."""
        return self.guard.visitor("") if request.method in SAFE else None

    # What was sent

    async def _received(self) -> Form:
        """The form of this request; the same one however often it is asked for. Raises InvalidRequest, BodyTooLarge."""
        found: Form | None = getattr(g, "form", None)
        if found is None:
            if request.mimetype != FORM:
                raise csrf_failed(f"the content type of a form is {FORM}")
            found = Form.of(await fields.received())
            g.form = found
        return found

    async def operator_with_file(self, most: int) -> tuple[Asker, Form]:
        """An operator, and a form that may hold files, `most` bytes of it at the most: who is no operator is refused
        before it is read. A file is the field's bytes (Form.files). Raises as `operator`."""
        value = request.cookies.get(self.guard.cookie_name)
        session = self.guard.sessions.by_cookie(value) if value else None
        if session is None:
            raise SignIn
        if session.person.role == "admin":
            if request.mimetype not in (FORM, UPLOAD):
                raise csrf_failed(f"the content type of a form is {FORM} or {UPLOAD}")
            make = Form.of if request.mimetype == FORM else partial(Form.of_parts, kind=request.content_type or "")
            body = await fields.received(most)
            g.form = await trio.to_thread.run_sync(make, body)  # large: calls go on meanwhile
        return await self.operator(), await self._received()

    async def stranger(self) -> Form:
        """The form of somebody who has not signed in (to sign in, to register): there is no session yet whose word it
        could bring, so the browser's own word that our page asks must do. Raises as `person`."""
        self.guard.same_origin()
        return await self._received()

    async def form(self) -> Form:
        """The form of a request, once `person` has proven whose it is."""
        return await self._received()

    # What is answered

    def show(
        self, template: str, asker: Asker | None = None, *, status: int = 200, form: Form | None = None,
        **values: object,
    ) -> Response:  # fmt: skip
        """A page. `form` is what was sent, and is shown again with what was wrong in it; its error decides the status
        then."""
        form = form or Form({})
        if form.error is not None:
            status = form.error.status
        text = self.templates.get_template(template).render(
            asker=asker,
            proof=asker.session.csrf if asker is not None and asker.session is not None else "",
            csrf_field=CSRF_FIELD,
            form=form,
            here=request.path,
            places=PLACES,
            operator_places=OPERATOR_PLACES if asker is not None and asker.is_operator else (),
            said=SAID.get(request.args.get("said", "")),
            query=request.args,
            base=self.address(),
            command=self.services.command,
            version=__version__,
            **values,
        )
        answer = Response(text, status=status, content_type="text/html; charset=utf-8")
        for name, value in HEADERS.items():
            answer.headers[name] = value
        _wait(answer, form.error)
        return answer

    def go(self, path: str, *, said: str | None = None, **query: str) -> Response:
        """On to a page of ours (303), which says there what was done: `said` is one of words.SAID. What is in `query`
        is escaped; a path's own parts are the caller's to escape (`part`)."""
        assert said is None or said in SAID, said
        query = {**({"said": said} if said else {}), **query}
        answer = Response("", status=303)
        answer.headers["Location"] = f"{path}?{urlencode(query)}" if query else path
        return answer

    def tidied(self) -> Response | None:
        """To the same address without what is empty in its query, as forms of filters leave it; None where all of it
        says something."""
        said = [(name, value) for name, value in request.args.items(multi=True) if value]
        if len(said) == len(list(request.args.items(multi=True))):
            return None
        answer = Response("", status=303)
        answer.headers["Location"] = f"{quote(request.path)}?{urlencode(said)}" if said else quote(request.path)
        return answer

    def sign_in(self) -> Response:
        """To the page where one signs in, and from there back to the page that was asked for."""
        if request.method in SAFE:
            wanted = request.full_path.rstrip("?")
            return self.go("/login", **({"next": wanted} if wanted != "/" else {}))
        rule = request.url_rule
        methods = current_app.url_map.bind("").allowed_methods(request.path) if rule is not None else ()
        return self.go("/login", said="ended", **({"next": quote(request.path)} if "GET" in methods else {}))

    def refused(self, error: GateError, asker: Asker | None = None) -> Response:
        """A page that says why there is none."""
        answer = self.show("refused.html", asker, status=error.status, error=error)
        _wait(answer, error)
        return answer

    def address(self) -> str:
        """Where this server is reached, without a path: what commands on pages name."""
        return self.guard.reached()


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def ours(path: str | None) -> str:
    """A path to go on to, as an address gave it: one of this site, or the start page."""
    if path is None or not path.startswith("/") or path[1:2] in ("/", "\\") or any(ord(sign) < 33 for sign in path):
        return "/"
    return path


def _wait(answer: Response, error: GateError | None) -> None:
    if error is not None and error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(max(ceil(error.retry_after_s), 1))
