"""Targets of the house: signed events, login tokens, fields, cursors, the socket of commands, and the whole site with
its cookies, queries and forms."""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import jwt
import trio

from ftgate.accounts.sessions import SignedIn, derived
from ftgate.accounts.signed import event
from ftgate.core.secret import Secret
from ftgate.errors import InvalidRequest, NotAuthenticated
from ftgate.house.control import _answer
from ftgate.web.fields import Fields
from ftgate.web.paging import _read
from tests.web.fakes import Asking

SECRET, NOW = Secret("whsec_1"), 1_800_000_000.0


def _mark(body: bytes) -> str:
    return hmac.new(b"whsec_1", b"1800000000." + body, hashlib.sha256).hexdigest()


BODY = b'{"id":"evt_1","type":"checkout.session.completed","livemode":false,"data":{"object":{"id":"cs_1"}}}'
SIGNED = (
    f"t=1800000000,v1={_mark(BODY)}\n".encode() + BODY, f"t=1800000000,v0=x,v1={'0' * 64}\n".encode() + BODY,
    b"sign\n" + BODY, b"sign\n[]", b"sign\n" + b'{"a":' * 300,
)  # fmt: skip


def signed(data: bytes) -> None:
    """An event is an object that the secret has signed, or a refusal; "sign" in place of a header signs the rest."""
    header, _, body = data.partition(b"\n")
    said = f"t=1800000000,v1={_mark(body)}" if header == b"sign" else header.decode("latin1")
    try:
        found = event(body, said, SECRET, NOW)
    except InvalidRequest as refused:
        assert refused.code in ("invalid_signature", "invalid_json")
        return
    assert isinstance(found, dict) and _mark(body) in said


_CLOCK = SimpleNamespace(wall_us=lambda: int(NOW) * 1_000_000)
_ANN: Any = SimpleNamespace(id=1, status="active", generation=0, created_at_us=1)
_NOBODY: Any = None
_SIGNED_IN = SignedIn(SimpleNamespace(users={1: _ANN}), _NOBODY, _CLOCK, b"secret")  # type: ignore[arg-type]
_SIGNING = derived(b"secret", "login token")
_CLAIMS = {
    "iss": "ftgate",
    "sub": "1",
    "iat": int(NOW),
    "exp": int(NOW) + 9,
    "jti": "x",
    "auth_time": int(NOW),
    "gen": 0,
    "made": 1,
}


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


TOKEN = _SIGNED_IN.token(_ANN)[0]
TOKENS = (
    TOKEN.encode(), jwt.encode(_CLAIMS, "", algorithm="none").encode(), b"sign\n" + json.dumps(_CLAIMS).encode(),
    b'head\n{"alg":"HS256","typ":"JWT"}\n' + json.dumps(_CLAIMS).encode(),
)  # fmt: skip


def token(data: bytes) -> None:
    """A login token is one that we have signed, byte for byte, or a refusal. "sign" signs what follows as claims,
    "head" a header and claims."""
    kind, _, rest = data.partition(b"\n")
    if kind in (b"sign", b"head"):
        head, claims = (
            rest.split(b"\n", 1) if kind == b"head" and b"\n" in rest else (b'{"alg":"HS256","typ":"JWT"}', rest)
        )
        text = f"{_part(head)}.{_part(claims)}"
        shown = f"{text}.{_part(hmac.new(_SIGNING, text.encode(), hashlib.sha256).digest())}"
    else:
        shown = data.decode("latin1")
    try:
        said = _SIGNED_IN.claims(shown)
    except NotAuthenticated as refused:
        assert refused.code in ("invalid_token", "token_expired")
        return
    assert said.sub == "1" and (kind in (b"sign", b"head") or shown == TOKEN), shown


FIELDS = (
    b'{"name":"n","limit":1.5,"models":["a"],"expires_at":"2026-01-01T00:00:00Z","n":12,"b":true,"x":null}', b"", b"{}",
    b'{"name":"\\ud83d\\ude00"}',
    b'{"usd":"1e-5","cents":1.5e3,"ips":["10.0.0.0/8","::1"],"id":"12","lines":["a","b"],"big":1e999999}',
)  # fmt: skip


READ: tuple[Callable[[Fields, str], object], ...] = (
    lambda found, name: found.text(name, most=9), lambda found, name: found.line(name, most=9), Fields.flag, Fields.id,
    lambda found, name: found.lines(name, items=2, most=9), lambda found, name: found.networks(name, items=3),
    lambda found, name: found.choice(name, ("a", "n")), Fields.moment, Fields.cents, Fields.usd, Fields.is_null,
)  # fmt: skip


def fields(data: bytes) -> None:
    """The body of a call of the site is an object, or is refused in words."""
    try:
        found = Fields.of(data)
    except InvalidRequest as refused:
        assert refused.code == "invalid_json" and refused.message
        return
    for name in found.raw:
        for read in READ:
            try:
                read(found, name)
            except InvalidRequest as refused:
                assert refused.param == name and refused.message


CURSORS = (base64.urlsafe_b64encode(b'["logs",12,34]').rstrip(b"="), base64.urlsafe_b64encode(b'["logs",-1,1e9]'), b"")


def cursor(data: bytes) -> None:
    """A place in a list is so many whole numbers, or is refused."""
    try:
        place = _read(data.decode("utf-8", "surrogateescape"), "logs", 2)
    except InvalidRequest as refused:
        assert refused.param == "cursor"
        return
    assert len(place) == 2 and all(type(one) is int for one in place)


LINES = (
    b'{"command":"grant","arguments":{"account":"1","amount":5}}',
    b'{"command":"nothing"}',
    b'{"command":{},"arguments":[1]}',
)


def line(data: bytes) -> None:
    """A line of the socket of commands is answered in JSON, and one that fails ends nothing."""

    async def grant(account: str, amount: int) -> dict[str, Any]:
        return {"account": account, "amount": amount}

    async def main() -> dict[str, Any]:
        return await _answer({"grant": grant}, data)

    logging.getLogger("ftgate.control").disabled = True
    try:
        said = trio.run(main)
    finally:
        logging.getLogger("ftgate.control").disabled = False
    assert set(said) <= {"result", "error", "code"} and json.dumps(said)


FORM = b"application/x-www-form-urlencoded"
ROUTES = (
    ("GET", "/v1/user/logs"), ("GET", "/prices"), ("POST", "/login"), ("GET", "/v1/models"), ("POST", "/register"),
    ("GET", "/v1/user/logs/export"), ("GET", "/v1/pricing"), ("POST", "/setup"), ("GET", "/login"), ("POST", "/logout"),
)  # fmt: skip
ASKED = (
    b"0\npage=1&page_size=5&cursor=x&model=m&from=2026-01-01&to=1&status=ok&tz=Europe/Berlin\n\n\n",
    b"1\nq=%25_%25&sort=input&model=%F0%9F%98%80\nftgate_session=c1; a=b; ftgate_session=c2\n\n",
    b"2\n\nx=y\n" + FORM + b"\nusername=ann&password=right&next=/keys",
    b"2\n\n\nmultipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nann\r\n"
    b"--x\r\nContent-Disposition: form-data; name=\"password\"; filename=\"f\"\r\n\r\np\r\n--x--\r\n",
    b"3\n\nftgate_session=\"c\\1\"; $Version=1\n\n",
    b"4\n\n\n" + FORM + b";charset=utf-16\nusername=%ff&password=%00&username=b",
    b"5\nformat=csv&tz=UTC\n\n\n", b"7\ntoken=x\n\n" + FORM + b"\ntoken=x&username=a&password=b",
    b"8\nnext=//evil&said=ended\n\n\n", b"9\n\nftgate_session=c1\n" + FORM + b"\ncsrf_token=proof",
)  # fmt: skip


class _Faults(logging.Handler):
    """What is logged of faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


@cache
def _asking() -> Asking:
    made = Asking()
    made.signed_in()
    made.site.app.logger.propagate = False
    return made


def site(data: bytes) -> None:
    """A request to one of ROUTES with any query, cookie, content type and body is answered, and never by a fault."""
    which, query, cookie, kind, body = (*data.split(b"\n", 4), b"", b"", b"", b"", b"")[:5]
    method, path = ROUTES[sum(which) % len(ROUTES)]
    faults, asking = _Faults(), _asking()
    asking.site.app.logger.handlers = [faults]
    kind, cookie = (text.translate(None, b"\r\0") for text in (kind, cookie))  # which no HTTP carries
    headers = {"content_type": kind.decode("latin1"), "cookie": cookie.decode("latin1"), "accept": "text/html"}
    bare = "".join(chr(byte) for byte in query if 33 <= byte < 127 and byte != 63)

    async def main() -> int:
        answer = await asking.ask(f"{path}?{bare}", method=method, secret=None, body=body, **headers)
        return answer.status

    status = trio.run(main)
    assert 200 <= status < 500 or status == 503, (data, status, faults.seen)
    assert not faults.seen, (data, faults.seen)
