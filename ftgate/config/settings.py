"""Every setting, declared once: its name, type and default in the struct, its help and its reason beside them.

Those of channels, models and providers stand in channel_settings.py. From these declarations come the reader of the
file (load.py), the hints for misspelt names and the commented example (write.py). Times are seconds. Amounts of money
are units (core/money.py). The structs of core (Timeouts, Retry, Rates) hold their own names, types and defaults; their
help stands here, in `BORROWED`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated as A

import msgspec

from ftgate.config.channel_settings import ProviderOverride
from ftgate.config.lines import Where
from ftgate.config.note import YEAR_S, Note
from ftgate.config.stamps import Stamps
from ftgate.core.accounts import MODES
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.pricing import Multiplier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Routes, Timeouts
from ftgate.core.secret import Secret


class Server(msgspec.Struct, frozen=True):
    host: A[str, Note("The address to listen on.", "only this machine can reach it until you decide otherwise.")] = (
        "127.0.0.1"
    )
    port: A[
        int,
        Note("The port; 0 takes any free one.", "one number to remember; `ready URL` names the one taken.", high=65535),
    ] = 8400
    data_dir: A[
        Path,
        Note(
            "Where the database and whatever else must last is kept.",
            "beside the program, so that a backup is copying one folder.",
        ),
    ] = Path("./ftgate-data")
    public_url: A[
        str | None,
        Note(
            "The address people open; by default the one it listens on.",
            "links to set up, to pay and to sign in must open where the reader sits.",
            kind="url", shown='"https://llm.example.org"',
        ),
    ] = None  # fmt: skip
    fast_door: A[
        bool,
        Note(
            "Serve calls through the fast door (Linux); false sends every request through Hypercorn.",
            "same answers, several times the speed.",
        ),
    ] = True
    direct_transport: A[
        bool,
        Note(
            "Call upstreams straight over sockets; false sends every call through httpcore.",
            "same answers, a fraction of the work; channels with a proxy or HTTP/2 take httpcore anyway.",
        ),
    ] = True
    tls_cert: A[
        Path | None, Note("The certificate chain (PEM), together with tls_key.", "plain HTTP is for this machine only.",
                          kind="readable", shown='"/etc/ftgate/cert.pem"')
    ] = None  # fmt: skip
    tls_key: A[
        Path | None,
        Note(
            "The certificate's private key (PEM).",
            "it belongs to tls_cert.",
            kind="readable",
            shown='"/etc/ftgate/key.pem"',
        ),
    ] = None
    registration: A[
        str,
        Note("Who may sign up: open, invite or closed.", "an open page on a reachable address is used by strangers.",
             choices=("open", "invite", "closed")),
    ] = "closed"  # fmt: skip
    password_min: A[
        int,
        Note(
            "The fewest bytes of a password.", "services that people come from ask for six; more is better.", low=1,
            high=1024,
        ),
    ] = 6  # fmt: skip
    metrics_token: A[
        Secret | None,
        Note(
            "What a scraper shows to read /metrics, beside operators.",
            "figures about your business are nobody else's.",
            shown='"env:FTGATE_METRICS_TOKEN"',
        ),
    ] = None
    max_body_mb: A[
        int,
        Note(
            "The largest request body, in megabytes.",
            "images fit, and one caller cannot fill the memory.",
            low=1,
            high=1024,
        ),
    ] = 20
    connections_per_address: A[
        int,
        Note(
            "The most connections open at once from one address (IPv6: one /64) but trusted_proxies. 0: no limit.",
            "one caller cannot keep all others out.",
            low=0,
            high=10_000,
        ),
    ] = 4000
    trusted_proxies: A[
        tuple[str, ...],
        Note(
            "Addresses (or networks) of front proxies whose X-Forwarded-For is believed.",
            "anybody can write that header.",
            kind="networks",
        ),
    ] = ()
    cors: A[
        bool,
        Note(
            "Let browsers on other sites call the relay and model routes.",
            "they carry a key and no cookie, so nothing leaks.",
        ),
    ] = True
    retention_days: A[
        int,
        Note(
            "Days after which the rows of requests are deleted; 0 keeps them for ever. Totals always stay.",
            "the rows are small, and what is gone cannot be looked up any more.",
            high=36_500,
        ),
    ] = 0
    shutdown_grace: A[
        float,
        Note(
            "How long open streams may go on after SIGTERM.",
            "most answers end within it, and a restart stays quick.",
            high=86_400,
        ),
    ] = 30.0
    shutdown_notice: A[
        float,
        Note(
            "Seconds after SIGTERM in which `/readyz` says 503 and calls are still taken. A second signal skips them.",
            "a proxy that asks each gateway whether it is ready sends calls elsewhere by then; others need no notice.",
            high=3600,
        ),
    ] = 0.0
    keepalive: A[
        float,
        Note(
            "Seconds after which a streamed call that has heard nothing gets its head and a comment line; 0 is never.",
            "front proxies cut a connection that is silent for a minute, while a model may think for longer.",
            high=86_400,
        ),
    ] = 15.0
    log_format: A[
        str,
        Note(
            "How log lines are written: text, or json: one object a line (time, level, logger, message, request_id).",
            "people read text; a collector of logs takes json.",
            choices=("text", "json"),
        ),
    ] = "text"


class Database(msgspec.Struct, frozen=True):
    url: A[
        Secret | None,
        Note(
            "A PostgreSQL that several gateways share, postgresql://...; without it the ledger is a file.",
            "a file needs nothing beside it. It holds a password: write env:NAME or file:PATH.",
            shown='"env:FTGATE_DATABASE_URL"',
        ),
    ] = None
    durability: A[
        str,
        Note("power: nothing is lost at a power cut. process: nothing is lost at kill -9.", "money first; group "
        "commit makes it cheap.",
             choices=("power", "process")),
    ] = "power"  # fmt: skip
    hold_lifetime: A[
        float,
        Note("When a hold is given up; longer than every `total` time limit.", "a hold gone before its call lets "
        "credits be spent twice.",
             above=True, high=YEAR_S),
    ] = 2400.0  # fmt: skip
    expired_hold: A[
        str,
        Note("What a crash's left-over hold costs: void (nothing) or "
        "charge_estimate.", "what was not proven is not charged.",
             choices=("void", "charge_estimate")),
    ] = "void"  # fmt: skip


class Backup(msgspec.Struct, frozen=True):
    """Copies of the database that the server makes by itself."""

    every_hours: A[
        int,
        Note(
            "Hours between two copies of the database that the server makes and verifies; 0 makes none.",
            "a disk that dies takes the ledger with it, and nobody remembers to copy it.",
            high=8760,
        ),
    ] = 24
    keep: A[
        int,
        Note(
            "How many of these copies are kept; older ones are deleted.",
            "a week, to find out that something was lost, in a room that stays bounded.",
            low=1,
            high=10_000,
        ),
    ] = 7
    to: A[
        Path | None,
        Note(
            "Where they go, as does the copy before an upgrade; by default `backups` in the data directory.",
            "another disk outlives the one that dies.",
            shown='"/mnt/other-disk/ftgate"',
        ),
    ] = None


class Billing(msgspec.Struct, frozen=True):
    mode: A[
        str, Note("prepaid: calls need credits. metered: usage is counted and nothing is "
        "blocked.", "nobody can spend what is not there.",
                  choices=MODES)
    ] = "prepaid"  # fmt: skip
    signup_credits: A[
        int, Note("USD given to each new account.", "free credits invite throw-away accounts.", kind="usd")
    ] = 0


class Stripe(msgspec.Struct, frozen=True):
    """Card payments. Off while both secrets are missing."""

    secret_key: A[
        Secret | None,
        Note("Stripe's secret key.", "payments are off while neither secret is set.", shown='"env:STRIPE_SECRET_KEY"'),
    ] = None
    webhook_secret: A[
        Secret | None,
        Note(
            "The signing secret of Stripe's webhook.",
            "only Stripe's own events may add credits.",
            shown='"env:STRIPE_WEBHOOK_SECRET"',
        ),
    ] = None
    api_base: A[str, Note("Stripe's address.", "another one is for tests.", kind="url")] = "https://api.stripe.com"
    currency: A[
        str,
        Note(
            "What people pay in.",
            "the books are kept in USD; another currency would credit a wrong amount.",
            choices=("usd",),
        ),
    ] = "usd"
    min_amount: A[int, Note("The smallest payment, in USD.", "a card fee eats smaller ones.", kind="usd")] = 5 * 10**12
    max_amount: A[int, Note("The largest payment, in USD.", "a stolen card does limited harm.", kind="usd")] = (
        1000 * 10**12
    )
    return_origins: A[
        tuple[str, ...],
        Note("Origins that success_url and cancel_url may point to, beside public_url.", "a payment page must not "
        "send people anywhere.",
             kind="origins"),
    ] = ()  # fmt: skip

    @property
    def enabled(self) -> bool:
        return self.secret_key is not None and self.webhook_secret is not None


class Telemetry(msgspec.Struct, frozen=True):
    """Spans and sums of ended calls for an OpenTelemetry collector. Off without an endpoint."""

    otlp_endpoint: A[
        str | None,
        Note(
            "An OpenTelemetry collector that takes OTLP over HTTP (JSON): its address without /v1/traces.",
            "nothing is told to anybody by itself; content, keys and names of users never are.",
            kind="url",
            shown='"http://127.0.0.1:4318"',
        ),
    ] = None
    headers: A[
        Mapping[str, str],
        Note(
            "Headers that are sent to it.",
            "hosted collectors want a key.",
            kind="headers",
            shown='{ Authorization = "env:OTLP_AUTHORIZATION" }',
        ),
    ] = {}
    service_name: A[str, Note("What this server is called there.", "several may tell one collector.")] = "ftgate"


class PlanSettings(msgspec.Struct, frozen=True):
    """[plan.NAME] as written; the rate limits of [limits] may stand here too."""

    byok_tokens_per_month: A[
        int,
        Note(
            "Tokens a month that callers may use with their own provider keys.",
            "such calls bring no money and still take room.",
        ),
    ] = 1_000_000
    price_multiplier: A[
        Multiplier,
        Note(
            "A factor on every charge, kept as an exact fraction.",
            "what you pay is what they pay.",
            kind="multiplier",
            shown="1.0",
        ),
    ] = Multiplier()
    models: A[
        tuple[str, ...], Note('The models this plan may use; ["*"] is all.', "nothing is hidden unless you hide it.")
    ] = ("*",)
    mode: A[str | None, Note("prepaid or metered; by default what [billing] says.", "one plan may be trusted more "
    "than the rest.",
                             choices=MODES, shown='"prepaid"')] = None  # fmt: skip
    selectable: A[
        bool, Note("Whether users may give keys of theirs this plan.", "a plan may be cheaper than their own.")
    ] = False


class Plan(msgspec.Struct, frozen=True):
    """What an account's plan allows. `rates` are its own limits for each key, None where [limits] holds; `mode` None
    where [billing] holds."""

    name: str
    byok_tokens_per_month: int = 1_000_000
    price_multiplier: Multiplier = Multiplier()
    models: tuple[str, ...] = ("*",)
    rates: Rates | None = None
    mode: str | None = None
    selectable: bool = False


class Auto(msgspec.Struct, frozen=True):
    """[auto]: what model = "auto" tries, by the call's complexity."""

    first_token_target: A[
        float,
        Note(
            "Seconds to a first token: of these models the cheapest that keeps to them goes first, else the quickest.",
            "people wait for the first word; what follows may take its time.",
            above=True, high=3600,
        ),
    ] = 2.0  # fmt: skip
    simple: A[tuple[str, ...], Note("Models for small questions and changes.", "small wishes need no big model.",
                                    shown='["glm-4-flash", "qwen-turbo"]')] = ()  # fmt: skip
    medium: A[
        tuple[str, ...],
        Note("Models for everyday writing and programming.", "the everyday model.", shown='["deepseek-chat"]'),
    ] = ()
    complex: A[tuple[str, ...], Note("Models for proofs, hard debugging and design.", "hard work is worth its price.",
                                     shown='["deepseek-reasoner", "qwen-max"]')] = ()  # fmt: skip


class Settings(msgspec.Struct, frozen=True):
    """One immutable snapshot of the configuration.

    `limits` hold for each key, `limits_account` for each account, `limits_model` for each named model. `found` says for
    channels made without a config where they came from. `origin` is the file, None without one. `warnings` are lines
    like faults, about things that are allowed. `certificate` tells one TLS certificate from another, "" is none;
    `files` are all that were read, `lines` where each setting stands that was given.
    """

    server: Server
    database: Database
    backup: Backup
    billing: Billing
    stripe: Stripe
    telemetry: Telemetry
    limits: Rates
    limits_account: Rates
    limits_model: Mapping[str, Rates]
    timeouts: Timeouts
    retry: Retry
    breaker: Breaker
    plans: Mapping[str, Plan]
    providers: Mapping[str, ProviderOverride]
    routes: Routes
    found: Mapping[str, str]
    origin: Path | None
    warnings: list[str]
    certificate: str = ""
    files: Stamps = {}
    lines: Mapping[Where, int] = {}


LIMITS = Rates(requests_per_second=100)
"""[limits] by default. Core's own default is no limit at all, which is what accounts and models start with."""


def _span(help: str, reason: str) -> Note:
    return Note(help, reason, above=True, high=YEAR_S)


BORROWED: Mapping[type, Mapping[str, Note]] = {
    Rates: {
        "requests_per_second": Note("Requests in any rolling second.", "one runaway loop does not starve the others."),
        "requests_per_minute": Note("Requests in any rolling minute.", "the limit by the second is enough for most."),
        "tokens_per_minute": Note("Tokens in any rolling minute.", "only you know what your providers allow."),
        "concurrent": Note("Calls in flight at once.", "long streams are no abuse by themselves."),
    },
    Timeouts: {
        "connect": _span("To connect, TLS included.", "a host that does not answer in this time is down."),
        "head": _span("To the response head of a streamed call.", "a busy provider queues; a dead one must not hold "
        "the caller."),
        "answer": _span("To the response head of a plain call.", "it comes only when the whole answer is finished."),
        "first_token": _span("From the head to the first token; reasoning counts.", "a stream that says nothing is "
        "given up."),
        "idle": _span("Between two pieces of a stream.", "a stream that stopped is told, not waited for."),
        "total": _span("The whole call, all attempts.", "no call lives for ever, and no hold outlives it."),
    },
    Breaker: {
        "failures": Note("Calls in a row that fail within `window` and open a channel's circuit for a "
        "model.", "one bad answer is no outage.", low=1),
        "window": _span("Over which failures are counted.", "yesterday's failure says nothing about now."),
        "cooldown": _span("An open circuit rests so long before one probe.", "long enough to matter, short enough to "
        "come back soon."),
        "cooldown_cap": _span("The longest rest: it doubles up to this, and no Retry-After counts for more.", "a dead "
        "provider is asked rarely, never forgotten."),
    },
    Retry: {
        "attempts": Note("Tries in all, the first included.", "two more ways out of a bad moment; more only costs "
        "time.", low=1, high=100),
        "max_retry_after": Note("The longest Retry-After that is waited for.", "past that the caller decides "
        "better.", high=YEAR_S),
        "backoff": Note("The first wait before the same candidate again; it doubles.", "overload needs a "
        "breath.", high=YEAR_S),
        "backoff_cap": Note("The longest such wait.", "a caller is waiting.", high=YEAR_S),
    },
}  # fmt: skip
