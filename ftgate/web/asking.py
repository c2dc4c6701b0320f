"""Who is asking: the one credential that a request to the site shows, and what it may do.

    key      an API key, as `Authorization: Bearer` or `x-api-key`: reads its own account
    token    a login token (JWT), as `Authorization: Bearer` only: manages its account
    session  the browser's cookie, for the pages: as a token, with proof that the page itself asks

A header's credential beats the cookie. Refusals come in one order: who it is (401), whether the page asks (403
csrf_failed), what it may (403 forbidden).
"""

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from quart import request

from ftgate.core import addresses
from ftgate.doors import http
from ftgate.errors import Forbidden, NotAuthenticated
from ftgate.ports import Headers, Key, Line, Live
from ftgate.ports.site import Doer, Person, Session, Sessions, Throttle
from ftgate.web.replies import request_id

SAFE = ("GET", "HEAD")
COOKIE, SECURE_COOKIE = "ftgate_session", "__Host-ftgate_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf_token"
FORMS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
ADMIN = "/v1/admin"


class Asker(msgspec.Struct, frozen=True):
    """Who asks: `person` is the account as it is now, `via` key, token or session. One of `key`, `token` (the JWT) and
    `session` is there. `address` is the client's."""

    person: Person
    via: str
    address: str
    key: Key | None = None
    token: str | None = None
    session: Session | None = None

    @property
    def account(self) -> int:
        return self.person.id

    @property
    def is_operator(self) -> bool:
        """Whether it may do what operators do: an API key never does."""
        return self.person.role == "admin" and self.key is None


class Guard:
    """Looks at what a request shows. `own` are the addresses at which this server is reached, as URLs."""

    def __init__(self, line: Line, sessions: Sessions, throttle: Throttle, live: Live, own: Iterable[str] = ()) -> None:
        self.line = line
        self.sessions = sessions
        self.throttle = throttle
        self.live = live
        self.listens = tuple(own)
        self.own = frozenset(origin for origin in map(_origin, self.listens) if origin)

    async def account(self) -> Asker:
        """Any credential of an account. Raises NotAuthenticated, Forbidden, InvalidRequest, RateLimited."""
        headers = _headers()
        shown = http.presented_key(headers, most=MOST_TOKEN)
        if shown is not None:
            return await self._shown(shown, headers)
        asker = self._session()
        if asker is None:
            raise NotAuthenticated(
                "Missing credentials: send an API key (`Authorization: Bearer sk-ft_...`), a login token "
                "(`Authorization: Bearer eyJ...`), or sign in"
            )
        return asker

    async def key(self) -> Key:
        """An API key. Raises NotAuthenticated for all else, InvalidRequest, RateLimited."""
        return await self._key(http.presented_key(_headers()))

    async def person(self) -> Asker:
        """A login token or a session. Raises as `account`, and Forbidden for an API key."""
        asker = await self.account()
        if asker.key is not None:
            raise Forbidden("an API key may not do this: sign in, and use the login token or the dashboard")
        return asker

    async def operator(self) -> Asker:
        """A login token or a session of an operator. Raises as `account`, and Forbidden for all others."""
        asker = await self.account()
        if not asker.is_operator:
            raise Forbidden("this is for operators: accounts of the role admin, signed in")
        return asker

    async def metrics(self) -> None:
        """Who shows the metrics token, or an operator. Raises as `operator`."""
        token = self.live.site.metrics_token
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        told = shown.strip().encode() if scheme.lower() == "bearer" else b""
        if token is None or not hmac.compare_digest(told, token.reveal().encode()):
            await self.operator()

    def address(self) -> str:
        """The client's address."""
        return addresses.client_address(
            request.remote_addr or "", request.headers.getlist("X-Forwarded-For"), self.live.site.trusted_proxies
        )

    async def _shown(self, shown: bytes, headers: Headers) -> Asker:
        """Who shows this in a header."""
        if not shown.startswith(b"eyJ") or not any(n == b"authorization" and shown in value for n, value in headers):
            key = await self._key(shown)
            return Asker(self.sessions.person(key.account), "key", self.address(), key=key)
        token = shown.decode("latin1")
        try:
            return Asker(self.sessions.by_token(token), "token", self.address(), token=token)
        except NotAuthenticated as refused:
            self._count(refused)
            raise

    async def _key(self, shown: bytes | None) -> Key:
        try:
            key = await self.line.authenticate(shown)
            http.check_address(key, self.address())
            return key
        except NotAuthenticated as refused:
            if shown is not None:
                self._count(refused)
            raise

    def _count(self, refused: NotAuthenticated) -> None:
        """A wrong credential was shown. Raises RateLimited where there were too many from this address."""
        if refused.code in http.GUESSES and (wait_s := self.throttle.guessed("key", self.address())) is not None:
            raise http.too_many_guesses(wait_s) from None

    def _session(self) -> Asker | None:
        """Who shows this cookie; None where it shows none that holds. Raises Forbidden (csrf_failed)."""
        return self.visitor(request.headers.get(CSRF_HEADER, ""))

    @property
    def cookie_name(self) -> str:
        return SECURE_COOKIE if self.is_secure else COOKIE

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this server by https."""
        return (self.live.site.public_url or "").startswith("https://")

    def visitor(self, proof: str) -> Asker | None:
        """Who shows this cookie, for pages, which heed no header's credential; None where nobody does. A form brings
        its `proof`. Raises Forbidden (csrf_failed)."""
        value = request.cookies.get(self.cookie_name)
        session = self.sessions.by_cookie(value) if value else None
        if session is None:
            return None
        if request.method not in SAFE:
            self._proven(session, proof)
        return Asker(session.person, "session", self.address(), session=session)

    def _proven(self, session: Session, shown: str) -> None:
        """That the page itself asks, and no other site's: `shown` is what it brings as proof. Raises Forbidden."""
        self.same_origin()
        if request.mimetype and request.mimetype not in FORMS:
            raise csrf_failed(f"the content type must be one of {', '.join(FORMS)}")
        if not hmac.compare_digest(shown.encode(), session.csrf.encode()):
            raise csrf_failed(f"{CSRF_HEADER} is missing or not this session's: GET /v1/auth/session tells it")

    def same_origin(self) -> None:
        """Where the browser says which site asks, that it is this one. Raises Forbidden."""
        site = request.headers.get("Sec-Fetch-Site")
        if site not in (None, "same-origin", "none"):
            raise csrf_failed("another site asked")
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_own(origin):
            raise csrf_failed(
                f"the origin {origin[:200]!r} is not this server's: open it at server.public_url, or set that to the "
                "address you open"
            )

    def reached(self) -> str:
        """Where this server is reached, without a path, to be shown and copied: public_url; else as the browser said,
        where that is an address or a name of this network. A name of elsewhere may be an attacker's that leads here
        (DNS rebinding), and whoever wrote it would be sent the reader's key: then it is where this server listens."""
        site = self.live.site
        if site.public_url:
            return site.public_url.rstrip("/")
        try:
            said = urlsplit(f"//{request.host}")
            host, port = addresses.near(said.hostname or ""), said.port
        except ValueError:
            host, port = None, None
        if host is not None:
            return f"{request.scheme}://{host}" + (f":{port}" if port is not None else "")
        return self.listens[0] if self.listens else f"{request.scheme}://localhost"

    def _is_own(self, origin: str) -> bool:
        """Whether an origin is this server's: public_url's, or one that it listens at. Without a public_url it is
        also the address by which it was asked, if that is a number or this machine: names can be made to lead here."""
        said, public = _origin(origin), self.live.site.public_url
        if said is None:
            return False
        if said in self.own or (public and said == _origin(public)):
            return True
        host = (urlsplit(said).hostname or "").lower()
        literal = host == "localhost" or addresses.parse(host) is not None
        return public is None and literal and said == _origin(f"{request.scheme}://{request.host}")


MOST_TOKEN = 4096
"""Bytes of what a header may show: a login token is longer than a key."""


def provider_key() -> bytes | None:
    """As http.provider_key, of the request's headers."""
    return http.provider_key(_headers())


def _headers() -> Headers:
    return [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in request.headers.items()]


def doer(asker: Asker) -> Doer:
    """Who asks, as the audit has it."""
    via = "session" if asker.session is not None else "api"
    return Doer(asker.account, asker.person.username, via, asker.address, request_id())


def csrf_failed(words: str) -> Forbidden:
    return Forbidden(f"CSRF check failed: {words}", code="csrf_failed")


def _origin(url: str) -> str | None:
    """Scheme, host and port of a URL, in one spelling; None where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname and port else None
