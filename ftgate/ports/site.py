"""The seams between the site and what it shows: who has signed in, accounts and their keys."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from ftgate.ports import Headers, Key

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Takes the messages of an answer, as ASGI has them."""

Rows = tuple[Sequence[Mapping[str, object]], int, int | None]
"""Some rows of a list, newest first; how many there are in all; the id of the last of these where more follow."""


class Person(msgspec.Struct, frozen=True):
    """An account as it is now. `role` is user or admin."""

    id: int
    username: str
    role: str
    plan: str


class Session(msgspec.Struct, frozen=True):
    """A browser that has signed in; `id` is its own, `csrf` what its pages send back with what they change."""

    id: bytes
    person: Person
    csrf: str


class Browser(msgspec.Struct, frozen=True):
    """A browser that is signed in, as its account sees it: `mark` names it, and is no secret. `present`: it is the one
    that asks. Times in microseconds since 1970."""

    mark: str
    since_us: int
    seen_us: int
    present: bool


class Sessions(Protocol):
    """Who has signed in."""

    def browsers(self, account: int, present: Session | None) -> Sequence[Browser]:
        """Those in which an account is signed in, the one that was seen last first."""
        ...

    def by_token(self, token: str) -> Person:
        """Whose login token this is. Raises errors.NotAuthenticated (invalid_token, token_expired)."""
        ...

    def by_cookie(self, value: str) -> Session | None:
        """The session of a cookie; None where it has ended or is none of ours."""
        ...

    def person(self, account: int) -> Person:
        """An account that is there."""
        ...


class Entered(msgspec.Struct, frozen=True):
    """Who has logged in, with the login token; when that ends, in microseconds since 1970."""

    account: int
    token: str
    until_us: int


class Doer(msgspec.Struct, frozen=True):
    """Who changes something, for the audit: `id` is an account's, None on the command line; `via` api, session or
    cli."""

    id: int | None = None
    name: str = ""
    via: str = "cli"
    address: str = ""
    request_id: str = ""


class Entrance(Protocol):
    """Signing up, logging in and out. Each raises GateError with nothing changed."""

    def check_open(self) -> None:
        """Raises errors.Forbidden (registration_closed) where nobody may sign up."""
        ...

    async def register(
        self, *, username: str, password: str, email: str, name: str, invite_code: str | None, by: Doer
    ) -> Entered:
        """Make an account; `by` is whoever it will be, so far without an id. Raises errors.InvalidRequest, Forbidden,
        Conflict, RateLimited."""
        ...

    async def login(self, *, username: str, password: str, address: str) -> Entered:
        """Raises errors.NotAuthenticated (invalid_credentials), Forbidden (account_disabled), RateLimited."""
        ...

    async def open_session(
        self, *, username: str, password: str, address: str, replacing: str | None
    ) -> tuple[str, Session]:
        """As login, for a browser: the cookie's value and its session. The session of the cookie `replacing` ends."""
        ...

    async def refresh(self, token: str) -> Entered:
        """Another token for this one, which ends. Raises errors.NotAuthenticated."""
        ...

    async def logout(self, account: int, *, token: str | None, session: Session | None, all: bool) -> None:
        """End this token or session, or `all` of the account."""
        ...

    async def end_browser(self, account: int, mark: str) -> None:
        """Sign one browser out. Raises errors.NotFound."""
        ...

    async def end_others(self, account: int, session: Session) -> None:
        """End every other session of the account, and all of its tokens."""
        ...

    async def change_password(
        self, account: int, *, current: str, new: str, by: Doer, browser: bool
    ) -> Entered | tuple[str, Session]:
        """Every other token and session ends; what takes their place, for a `browser` a cookie. Raises
        errors.NotAuthenticated (invalid_credentials), InvalidRequest, RateLimited."""
        ...


class FirstRun(Protocol):
    """The first operator, made by whoever has the link that the start printed."""

    def needed(self) -> bool:
        """Whether there is no operator who can sign in."""
        ...

    def check(self, token: str) -> None:
        """That this is the token of a link that holds. Raises errors.NotFound where it is not, or none is needed."""
        ...

    async def make(self, token: str, username: str, password: str, *, metered: bool, by: Doer) -> None:
        """Make the operator; the link ends with that. `metered`: its own calls need no credits. Raises as `check`, and
        errors.InvalidRequest, Conflict (username_taken) with nothing changed."""
        ...


class Throttle(Protocol):
    """Counts what strangers try."""

    def guessed(self, what: str, address: str) -> float | None:
        """A wrong credential came from this address: counted. For how many seconds the next wrong ones are refused,
        once there were too many; None while there were not."""
        ...


class People(Protocol):
    """Accounts, as they see themselves."""

    def self_of(self, account: int) -> dict[str, object]:
        """The account as SELF shows it, without the number of its requests."""
        ...

    async def change_self(self, account: int, fields: Mapping[str, str], by: Doer) -> None:
        """Change its `name` and `email`."""
        ...

    async def new_code(self, account: int, by: Doer) -> str:
        """Another invite code: the one before is void."""
        ...

    def plans(self) -> list[dict[str, object]]:
        """The plans of the config, with their numbers."""
        ...


class KeyRing(Protocol):
    """API keys. `account` None is any: for operators, who are told whose a key is, as `user`. Each raises GateError
    with nothing changed."""

    async def page(
        self,
        account: int | None,
        *,
        status: str | None,
        after: int | None,
        skipped: int,
        size: int,
        owner: bool = False,
    ) -> Rows:
        """Some keys as TOKEN shows them, newest first: those behind the id `after`, or behind the first `skipped`. With
        `owner` each says whose it is, as `user`."""
        ...

    def shown(self, id: int, account: int | None) -> dict[str, object]:
        """One key. Raises errors.NotFound."""
        ...

    async def make(self, account: int, fields: Mapping[str, object], by: Doer) -> tuple[dict[str, object], str]:
        """Make a key, of `name`, `plan_id`, `quota` (units), `quota_reset`, `models`, `expires_at_us`, `allowed_ips`:
        it, and its text, which is never shown again. Raises errors.InvalidRequest, Forbidden."""
        ...

    async def change(self, id: int, account: int | None, fields: Mapping[str, object], by: Doer) -> dict[str, object]:
        """Change some of those, and `status`. Raises errors.NotFound, InvalidRequest, Forbidden."""
        ...

    async def delete(self, id: int, account: int | None, by: Doer) -> None:
        """For good; its past requests stay. Raises errors.NotFound."""
        ...


class OwnKeys(Protocol):
    """Keys that no text shows: calls of our own pages go by them."""

    async def playground(self, account: int, by: Doer) -> "Key":
        """The account's key for the playground; made where there is none yet. Raises errors.Forbidden (key_disabled)
        where it may not be used, DatabaseBusy."""
        ...


class PageCall(Protocol):
    """A call that a page of ours makes. It runs once, by one of the two, which raise nothing of their own."""

    def client_gone(self) -> None:
        """Whoever waits for its answer has left: the upstream is stopped, and paid for what it gave."""
        ...

    async def to(self, send: Send) -> None:
        """Run it; its answer goes to `send`."""
        ...

    async def whole(self) -> "tuple[int, Headers, bytes]":
        """Run it; the status, the headers and the body of its answer."""
        ...


class PageCalls(Protocol):
    """The way of our own pages to the gate, which is the way of all calls."""

    async def begin(self, account: int, body: bytes, *, id: str, by: Doer) -> PageCall:
        """A call with the body of an OpenAI chat request, for an account, by its key for the playground; `id` is to be
        its own. Raises as OwnKeys, and errors.Forbidden (ip_not_allowed)."""
        ...


class KeyCheck(Protocol):
    """Asks providers whether a key is good."""

    def named(self, provider: str, key: str) -> str:
        """The provider's own name. Raises errors.InvalidRequest for one that takes no keys, or what is no key."""
        ...

    async def check(self, provider: str, key: str) -> None:
        """That the provider takes this key. Raises as `named`; errors.NotAuthenticated (invalid_provider_key) where it
        is refused; ProviderError, ProviderTimeout where that cannot be known."""
        ...


class ProviderKeys(Protocol):
    """The provider keys that an account had checked. None of them is kept."""

    def of(self, account: int) -> Sequence[dict[str, object]]:
        """Those of an account, the oldest first."""
        ...

    async def register(
        self, account: int, *, provider: str, key: str, name: str | None, check: KeyCheck, by: Doer
    ) -> dict[str, object]:
        """Have one checked and remember that; the same key again is the same one. Raises as KeyCheck, and
        errors.RateLimited; nothing is kept then."""
        ...

    async def delete(self, id: int, account: int, by: Doer) -> None:
        """Forget one. Raises errors.NotFound."""
        ...
