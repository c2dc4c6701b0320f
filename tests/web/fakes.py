"""A line, accounts and a journal of the site's, and ways to ask it: by itself, and through the relay in front of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
import trio

from ftgate.core.health import LastError
from ftgate.core.logged import Glance, Listed, Recorded, Sums, Used, Wanted
from ftgate.core.periods import Window
from ftgate.core.retrying import Retry
from ftgate.core.routing import Routes
from ftgate.doors.asgi import Relay
from ftgate.doors.intake import Intake
from ftgate.errors import ConfigInvalid, Conflict, Forbidden, GateError, NotAuthenticated, NotFound
from ftgate.line.call import Call
from ftgate.ports import Client, DoorSettings, Explained, Explanation, GateSettings, Headers, Key, LeftOut, Terms
from ftgate.ports.operator import HalfHour
from ftgate.ports.payments import Checkout
from ftgate.ports.site import Doer, Person, Rows, Send, Session
from ftgate.web.pages.desk import FORM
from ftgate.web.services import Services
from ftgate.web.site import Site
from tests.fakes.ports import Still, channel
from tests.web.managing import Managed, Ring

SECRET = b"sk-ft_right"
KEY = Key(7, 1, "k", "sk-ft_", active=True, account_active=True, metered=False, plan="default")


class OneLine:
    """ports.Line of one key; `key` and `trouble` may be set."""

    def __init__(self, *, key: Key = KEY, terms: Terms | None = None, **routes: Any) -> None:
        self.key = key
        self.trouble: str | None = None
        self.explained: list[tuple[Key, bytes, str | None]] = []
        self.brought: bytes | None = None
        plans = {"default": terms or Terms(byok_tokens_per_month=5)}
        self.settings = GateSettings(Routes(**({"channels": (channel(),)} | routes)), Retry(), 60.0, plans)

    async def authenticate(self, secret: bytes | None) -> Key:
        if secret != SECRET:
            raise NotAuthenticated("Invalid API key")
        return self.key

    def not_ready(self) -> str | None:
        return self.trouble

    async def explain(
        self, key: Key, body: bytes, route: str | None = None, provider_key: bytes | None = None
    ) -> Explanation:
        self.brought = provider_key
        self.explained.append((key, body, route))
        one = Explained("m", "one", "p", 1.0, 1_234_000, "it is the only one")
        return Explanation((one,), (LeftOut("n", None, "no channel serves it"),), "simple", "simple (1)")


class Posted:
    """ports.Accounts."""

    def __init__(self, **units: int) -> None:
        self.tokens: dict[tuple[int, str], int] = {}
        self.holds: dict[int, int] = {}
        self.units = {1: 0} | {int(account[1:]): posted for account, posted in units.items()}

    async def posted(self, account: int) -> int:
        return self.units[account]

    async def held(self, account: int) -> int:
        return self.holds.get(account, 0)

    async def byok_tokens(self, account: int, month: str) -> int:
        return self.tokens.get((account, month), 0)


class Asked:
    """ports.Journal that remembers what it was asked for, and says what is put into it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Wanted, dict[str, Any]]] = []
        self.listed = Listed([], 0, None)
        self.pieces: list[bytes] = []
        self.calls: dict[str, Recorded] = {}
        self.windows: list[tuple[int, Window]] = []
        self.sums: dict[str, Sums] = {}
        self.made: dict[int, int] = {}
        self.glanced: Glance | None = None

    async def requests_of(self, accounts: Sequence[int]) -> Mapping[int, int]:
        return {account: self.made.get(account, 0) for account in accounts}

    async def glance(self, account: int, month: Window, shown: Window) -> Glance:
        """What is put into `glanced`; else all of `sums` on the last day and in the last hour, and no call."""
        self.windows += [(account, month), (account, shown)]
        empty: dict[str, Sums] = {}
        days, hours = [empty] * len(month.days), [empty] * len(shown.hours)
        days[-1:], hours[-1:] = [self.sums], [self.sums] if hours else []
        return self.glanced or Glance(days, hours, {}, [], [])

    async def page(self, wanted: Wanted, **chosen: Any) -> Listed:
        self.asked.append((wanted, chosen))
        return self.listed

    async def csv(self, wanted: Wanted, names: Sequence[str]) -> AsyncIterator[bytes]:
        self.asked.append((wanted, {"names": tuple(names)}))
        for piece in self.pieces:
            yield piece

    async def call(self, request_id: str, account: int | None = None) -> Recorded | None:
        found = self.calls.get(request_id)
        return found if found is not None and account in (None, found.row.account) else None

    async def used(self, account: int, window: Window) -> Used:
        """All of `sums` on the last day, and in the last hour."""
        self.windows.append((account, window))
        whole = Sums()
        for sums in self.sums.values():
            whole += sums
        days, hours = [Sums()] * len(window.days), [Sums()] * len(window.hours)
        days[-1:] = [whole]
        hours[-1:] = [whole] if hours else []
        return Used(whole, days, hours, self.sums)


class Entered:
    """ports.Sessions: `tokens` and `cookies` may be set."""

    def __init__(self) -> None:
        self.tokens: dict[str, Person] = {}
        self.cookies: dict[str, Session] = {}

    def by_token(self, token: str) -> Person:
        if token not in self.tokens:
            raise NotAuthenticated("it has ended", code="invalid_token")
        return self.tokens[token]

    def by_cookie(self, value: str) -> Session | None:
        return self.cookies.get(value)

    def person(self, account: int) -> Person:
        return Person(account, f"user{account}", "user", "default")


class Paying:
    """ports.payments.Payments that remembers what it was asked; `events` may be switched off."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.events = True
        self.limits: tuple[int, int] | None = None

    def amounts(self) -> tuple[int, int] | None:
        return self.limits

    def where(self, account: int, id: str) -> str | None:
        return None

    async def checkout(self, account: int, asked: Checkout) -> Mapping[str, object]:
        self.asked.append((account, asked))
        return {"url": "https://pay.example"}

    async def page(
        self, account: int | None, *, status: str | None, after: int | None, skipped: int, size: int,
        operator: bool = False,
    ) -> Rows:  # fmt: skip
        self.asked.append((account, status, after, skipped, size, *["operator"] * operator))
        return [{"id": "pay_1"}], 9, 7

    async def one(self, account: int, id: str) -> Mapping[str, object]:
        self.asked.append((account, id))
        return {"id": id}

    def takes_events(self) -> bool:
        return self.events

    def counted(self) -> tuple[Mapping[str, int], Mapping[tuple[str, str], int]]:
        return {"paid": 1}, {("charge.refunded", "applied"): 2}

    async def webhook(self, signature: str | None, body: bytes) -> None:
        self.asked.append((signature, body))

    async def reconcile(self, by: Doer) -> Mapping[str, int]:
        self.asked.append((by,))
        return {"checked": 1}

    async def resolve(self, id: str, *, action: str, note: str, by: Doer) -> Mapping[str, object]:
        self.asked.append((id, action, note, by))
        return {"id": id}


class InFlight:
    """ports.operator.RunningCalls of one call."""

    def __init__(self) -> None:
        self.stopped: list[Doer] = []
        self.calls: list[dict[str, object]] = [{"request_id": "req_1"}]

    def shown(self) -> list[dict[str, object]]:
        return self.calls

    async def stop(self, request_id: str, by: Doer) -> None:
        if request_id != "req_1":
            raise NotFound(f"no call {request_id!r} is in flight")
        self.stopped.append(by)


class Switchable:
    """ports.operator.Channels of one channel; `done` is what was done to it, `more` what else is known of it."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.more: dict[str, object] = {}
        self.trial: dict[str, object] | None = None
        self.half_hours: dict[int, tuple[int, int]] = {}
        self.failed: list[LastError] = []

    def shown(self) -> list[dict[str, object]]:
        return [self.one("lab")]

    def one(self, name: str) -> dict[str, object]:
        if name != "lab":
            raise NotFound(f"no channel named {name!r}")
        return {"name": name, "enabled": True, **self.more}

    def day(self, name: str) -> list[HalfHour]:
        return [HalfHour(number * 1_800_000_000, *self.half_hours.get(number, (0, 0))) for number in range(48)]

    def errors(self, name: str) -> list[LastError]:
        return self.failed

    def since_us(self) -> int:
        return 0

    async def test(self, name: str, model: str | None, by: Doer) -> dict[str, object]:
        self.done.append(("test", model, by.id))
        return {**self.one(name), "ok": True} if self.trial is None else self.trial

    async def switch(self, name: str, enabled: bool, by: Doer) -> dict[str, object]:
        self.done.append(("switch", enabled, by.id))
        return {**self.one(name), "enabled": enabled}

    async def reset(self, name: str, by: Doer) -> dict[str, object]:
        self.done.append(("reset", by.id))
        return self.one(name)


class Written:
    """ports.operator.Config; `faults` may be set."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.reloads: list[Doer] = []

    def shown(self) -> dict[str, object]:
        return {"path": None, "settings": []}

    async def check(self) -> list[str]:
        return self.faults

    async def reload(self, by: Doer) -> dict[str, object]:
        if self.faults:
            raise ConfigInvalid(self.faults)
        self.reloads.append(by)
        return {"ok": True, "changed": [], "needs_restart": []}


class Counted:
    """ports.operator.Metrics."""

    def text(self) -> bytes:
        return b"ftgate_calls_in_flight 0.0\n"


class Doorman:
    """ports.site.Entrance: who shows the password "rightly" comes in, with the cookie "c1"; what was asked."""

    def __init__(self, sessions: Entered) -> None:
        self.sessions = sessions
        self.asked: list[tuple[object, ...]] = []
        self.closed = False

    def check_open(self) -> None:
        if self.closed:
            raise Forbidden("nobody may sign up here", code="registration_closed")

    async def register(self, *, username: str, password: str, **said: Any) -> None:
        self.asked.append(("register", username, password, said["email"], said["invite_code"], said["by"].via))
        if username == "taken":
            raise Conflict("The username 'taken' is taken", code="username_taken", param="username")

    async def open_session(
        self, *, username: str, password: str, address: str, replacing: str | None
    ) -> tuple[str, Session]:
        self.asked.append(("open", username, password, address, replacing))
        if password != "rightly":
            raise NotAuthenticated("Wrong name or password", code="invalid_credentials")
        session = self.sessions.cookies["c1"] = Session(b"s1", Person(1, username, "user", "default"), "proof")
        return "c1", session

    async def logout(self, account: int, *, token: str | None, session: Session | None, all: bool) -> None:
        self.asked.append(("logout", account, session.id if session else None, all))


class Dialled:
    """ports.site.PageCalls, and each of its calls: `answer` may be set, and an error that refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Any, str, str]] = []
        self.refusal: GateError | None = None
        self.answer: tuple[int, Headers, bytes] = (200, [], b"{}")

    async def begin(self, account: int, body: bytes, *, id: str, by: Doer) -> "Dialled":
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((account, msgspec.json.decode(body), id, by.via))
        return self

    def client_gone(self) -> None:
        raise AssertionError("nobody left")

    async def whole(self) -> tuple[int, Headers, bytes]:
        await trio.lowlevel.checkpoint()
        return self.answer

    async def to(self, send: Send) -> None:
        status, headers, body = self.answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Guesses:
    """ports.Throttle that says `wait_s`."""

    def __init__(self) -> None:
        self.wait_s: float | None = None
        self.counted: list[tuple[str, str]] = []

    def guessed(self, what: str, address: str) -> float | None:
        self.counted.append((what, address))
        return self.wait_s


class Setup:
    """ports.site.FirstRun: `token` is that of the link; None where there is an operator. `made` is what was made."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.made: list[tuple[object, ...]] = []

    def needed(self) -> bool:
        return self.token is not None

    def check(self, token: str) -> None:
        if token != self.token:
            raise NotFound("this link holds no more")

    async def make(self, token: str, username: str, password: str, *, metered: bool, by: Doer) -> None:
        self.check(token)
        if username == "taken":
            raise Conflict("a user named 'taken' exists already", code="username_taken", param="username")
        self.made.append((username, password, metered, by.via))
        self.token = None


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Asking:
    """A site, and the relay in front of it, whose calls are all answered with their body."""

    def __init__(
        self, line: OneLine | None = None, *, posted: int = 0, cors: bool = False,
        refresh: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:  # fmt: skip
        self.line = line or OneLine()
        self.journal = Asked()
        live = Still(doors=DoorSettings(max_body_bytes=1000, cors=cors))
        self.accounts = Posted(_1=posted)
        self.sessions, self.throttle, self.payments = Entered(), Guesses(), Paying()
        nobody: Any = None
        self.entrance = Doorman(self.sessions)
        self.calls, self.channels, self.managed = InFlight(), Switchable(), Managed()
        self.config = Written()
        self.setup, self.dialled = Setup(), Dialled()
        services = Services(
            accounts=self.accounts, journal=self.journal, sessions=self.sessions, throttle=self.throttle,
            entrance=self.entrance, people=nobody, keys=Ring(self.managed), users=self.managed,
            credits=self.managed, records=self.managed, setup=self.setup,
            prices=nobody, system=nobody, page_calls=self.dialled,
            calls=self.calls, channels=self.channels, config=self.config,
            key_check=nobody, metrics=Counted(), provider_keys=nobody, payments=self.payments, own=("http://127.0.0.1:8400",),
            refresh=refresh,
        )  # fmt: skip
        self.site = Site(self.line, live, services)
        self.intake = Intake(
            self._walk, self._walk, self.line.authenticate, live=live, methods_at=self.site.methods_at,
        )  # fmt: skip
        self.relay = Relay(self.intake, self.site)

    async def _walk(self, call: Call, client: Client) -> None:
        await client.answer(200, [(b"x-walked", b"yes")], call.body)

    def signed_in(self, role: str = "user") -> dict[str, str]:
        """The header that an open session sends with each request; its proof is "proof"."""
        self.sessions.cookies["c1"] = Session(b"s1", Person(1, "ann", role, "default"), "proof")
        return {"cookie": "ftgate_session=c1"}

    async def form(self, path: str, *, headers: Mapping[str, str] | None = None, **texts: str) -> Answer:
        """A form as a browser sends it, with what proves that our page sent it unless `csrf_token` says otherwise."""
        body = urlencode({"csrf_token": "proof", **texts}).encode()
        sent = {"content_type": FORM, **(headers or {})}
        return await self.ask(path, method="POST", secret=None, body=body, **sent)

    async def ask(
        self, path: str, *, method: str = "GET", secret: bytes | None = SECRET, body: bytes = b"", **headers: str
    ) -> Answer:
        """One request as the Hypercorn door makes it of an HTTP request."""
        path, _, query = path.partition("?")
        shown = [(b"authorization", b"Bearer " + secret)] if secret else []
        shown += [
            (name.replace("_", "-").encode(), value.encode("latin1"))
            for name, value in {"host": "x", **headers}.items()
        ]
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "scheme": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "extensions": {},
            "headers": shown, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        return await ask(self.relay, scope, body)


async def ask(app: Any, scope: dict[str, Any], body: bytes) -> Answer:
    """One ASGI request to an application, and its whole answer."""
    said = Answer(0, {}, b"")
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if not incoming:
            await trio.sleep_forever()
        return incoming.pop()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            said.status = message["status"]
            said.headers = {bytes(name).decode().lower(): bytes(value).decode() for name, value in message["headers"]}
        else:
            said.body += message.get("body", b"")

    await app(scope, receive, send)
    return said
