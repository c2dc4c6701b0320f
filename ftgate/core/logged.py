"""The request log in words: which calls somebody wants to see, what is shown of each, as JSON and as lines of CSV, and
what calls come to."""

from collections.abc import Sequence

import msgspec

from ftgate.core.moments import iso
from ftgate.core.money import format_usd

ROW = (
    "request_id", "created_at", "model", "served_model", "provider", "status", "http_status", "error_code", "mode",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "estimated", "latency_ms", "first_token_ms",
    "attempts", "stream", "key", "key_name",
)  # fmt: skip
"""The fields that an account sees, in their order."""
OPERATOR = (*ROW, "user", "channel", "lost")
"""Those that the operator sees."""
_FORMULA = frozenset("=+-@\t\r")
NOT_FAILED = ("ok", "client_gone")
"""Statuses of calls that did not fail: whoever left had got what was there by then."""


class Logged(msgspec.Struct, frozen=True, gc=False):
    """One ended call, as it was remembered (ports.Row says what each field is)."""

    request_id: str
    created_at_us: int
    model: str
    served_model: str
    provider: str
    status: str
    http_status: int
    error_code: str
    mode: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: int
    estimated: int
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    stream: int
    key: int
    key_name: str
    account: int
    channel: str
    lost: int


def shown(row: Logged, names: Sequence[str] = ROW) -> dict[str, object]:
    """The fields of these names (ROW, OPERATOR)."""
    return dict(zip(names, _values(row), strict=False))


def _values(row: Logged) -> tuple[object, ...]:
    return (
        row.request_id, iso(row.created_at_us), row.model, row.served_model, row.provider, row.status, row.http_status,
        row.error_code, row.mode, row.prompt_tokens, row.cached_tokens, row.completion_tokens, format_usd(row.cost),
        bool(row.estimated), row.latency_ms, row.first_token_ms, row.attempts, bool(row.stream), str(row.key),
        row.key_name, str(row.account), row.channel, format_usd(row.lost),
    )  # fmt: skip


def csv_head(names: Sequence[str] = ROW) -> str:
    """The first line of a CSV: the fields' names."""
    return ",".join(names) + "\r\n"


def csv_line(row: Logged, names: Sequence[str] = ROW) -> str:
    """One call as a line of CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe
    before it."""
    return ",".join([cell(value) for value in _values(row)[: len(names)]]) + "\r\n"


def cell(value: object) -> str:
    """One value of a line of CSV."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return "" if value is None else str(value)
    if value[:1] in _FORMULA:
        value = "'" + value
    if '"' in value or "," in value or "\n" in value or "\r" in value:
        return '"' + value.replace('"', '""') + '"'
    return value


# Asked for, and found

Place = tuple[int, int]
"""Where a call stands in the log: when it came, and the id of its row."""


class Wanted(msgspec.Struct, frozen=True):
    """Which calls to show; None is any. `model` as it was asked for or served; times in microseconds since 1970, the
    last one not included. `failed`: only those that neither were answered nor left by their caller (NOT_FAILED)."""

    account: int | None = None
    key: int | None = None
    model: str | None = None
    channel: str | None = None
    mode: str | None = None
    status: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    failed: bool = False

    @property
    def chooses(self) -> bool:
        """Whether it chooses by more than account and time."""
        chosen = (
            self.key, self.model, self.channel, self.mode, self.status, self.http_status, self.request_id,
        )  # fmt: skip
        return self.failed or any(value is not None for value in chosen)


class Totals(msgspec.Struct, frozen=True):
    """What the calls of a list come to; the cost in units."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: int


class Listed(msgspec.Struct, frozen=True):
    """A page of calls, newest first; how many there are in all, and where the last one stands if others follow.
    `totals` of all of them, where that was asked for and can be said without reading too many."""

    rows: list[Logged]
    total: int
    following: Place | None
    totals: Totals | None = None


class Moved(msgspec.Struct, frozen=True):
    """One entry of the ledger about a call (core.books): its amount in units, and when, in microseconds since 1970."""

    kind: str
    amount: int
    at_us: int


class Recorded(msgspec.Struct, frozen=True):
    """What is remembered of a call beside its row: its price (core.receipt) and its attempts (core.tries), as they are
    written; what else its row holds (ports.Row), and the entries of its hold, oldest first."""

    row: Logged
    price: str
    tries: str
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    multiplier: str = ""
    earlier: str = ""
    remark: str = ""
    upstream_id: str = ""
    route: str = ""
    client_dialect: str = ""
    channel_dialect: str = ""
    hold: int = 0
    moved: tuple[Moved, ...] = ()

    # As core.receipt.Arithmetic has it.

    @property
    def prompt_tokens(self) -> int:
        return self.row.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        return self.row.cached_tokens

    @property
    def completion_tokens(self) -> int:
        return self.row.completion_tokens

    @property
    def cost(self) -> int:
        return self.row.cost

    @property
    def lost(self) -> int:
        return self.row.lost


class Sums(msgspec.Struct, frozen=True):
    """What calls come to; the cost in units."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.requests + other.requests, self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens, self.cost + other.cost,
        )  # fmt: skip


class Used(msgspec.Struct, frozen=True):
    """An account's calls in a window of time: in all, on each of its days and in each of its hours, and by the model
    that served them ("" for none)."""

    whole: Sums
    days: list[Sums]
    hours: list[Sums]
    models: dict[str, Sums]


class Glance(msgspec.Struct, frozen=True):
    """An account's calls at a glance. `days` and `hours` say what each of them came to, by the model that served.
    `counted` is by key, its name ("" where it has none) and status how many calls there were; `failed` are the newest
    that failed, `first_token_ms` the times of the newest calls that have one, shortest first."""

    days: list[dict[str, Sums]]
    hours: list[dict[str, Sums]]
    counted: dict[tuple[int, str, str], int]
    failed: list[Logged]
    first_token_ms: list[int]
