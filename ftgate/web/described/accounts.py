"""An account's own routes: signing in, itself, its API keys, its usage."""

from ftgate.core.accounts import MODES, ROLES, SHOWN_STATUSES, STATUSES
from ftgate.core.windows import RESETS
from ftgate.web.described.words import (
    OWN,
    PAGES,
    PERSON,
    SESSION,
    TOKEN,
    Operation,
    Param,
    Schema,
    cents,
    choice,
    dollars,
    either,
    flag,
    id,
    json,
    listed,
    maybe,
    moment,
    named,
    number,
    paged,
    record,
    text,
    whole,
)

USERNAME = text("letters and digits, unique whatever their case", least=3, most=32, pattern="^[A-Za-z0-9]{3,32}$")
PASSWORD = text("at least `server.password_min` bytes", least=1, most=1024)
AMOUNT = either(cents(), number(), told="US cents; a text keeps every digit")
ID = either(id(), whole(least=1))

SCHEMAS: dict[str, Schema] = {
    "Self": record({
        "id": id(), "username": text(), "email": text('"" when there is none'), "role": choice(*ROLES),
        "status": choice(*STATUSES),
        "quota": maybe(cents("all that was credited, less what was taken back; null on a metered account")),
        "usedQuota": cents(), "requestCount": text(pattern="^[0-9]+$"), "inviteCode": text(), "name": text(),
        "plan": text(), "planId": whole(), "mode": choice(*MODES), "createdAt": moment(),
    }, "an account, as it sees itself"),
    "Token": record({
        "id": id(), "keyPrefix": text("the first 12 characters"), "name": text(),
        "status": choice(*SHOWN_STATUSES), "planId": whole(), "quota": maybe(cents()),
        "usedQuota": cents("settled and held in the present span"),
        "quotaReset": choice(*RESETS), "resetAt": maybe(moment()),
        "models": listed(text(), "what it may call; none is all"), "allowedIps": listed(text()),
        "expiresAt": maybe(moment()), "createdAt": moment(), "lastUsedAt": maybe(moment()),
    }, "an API key; never its text"),
    "Row": record({
        "request_id": text(), "created_at": moment(), "model": text(), "served_model": text(), "provider": text(),
        "status": text(), "http_status": whole(), "error_code": text(), "mode": text(), "prompt_tokens": whole(),
        "cached_tokens": whole(), "completion_tokens": whole(), "cost": dollars(), "estimated": flag(),
        "latency_ms": whole(), "first_token_ms": maybe(whole()), "attempts": whole(), "stream": flag(), "key": id(),
        "key_name": text(),
    }, "an ended call"),
    "Entered": record({"user": named("Self"), "token": text("a JWT"), "expiresAt": moment()}),
    "SessionOpened": record({"user": named("Self"), "csrfToken": text()}),
}  # fmt: skip

_DAY = {"requestCount": whole(), "promptTokens": whole(), "completionTokens": whole(), "cost": cents()}
STATS = record({
    "period": choice("24h", "7d", "30d"), "tz": text(), "from": moment(), "to": moment(), "totalRequests": whole(),
    "totalPromptTokens": whole(), "totalCompletionTokens": whole(), "totalCost": cents(),
    "dailyBreakdown": listed(record({"date": text(), **_DAY})),
    "hourlyBreakdown?": listed(record({"hour": text(), **_DAY})),
    "modelBreakdown": listed(record({"model": text(), **_DAY})),
})  # fmt: skip
_TOKEN_FIELDS = {
    "planId?": maybe(ID), "quota?": maybe(AMOUNT),
    "quotaReset?": choice(*RESETS, told="in UTC; a week begins on Monday"),
    "models?": maybe(listed(text(least=1, most=200), "`gpt-*` is a prefix; none is all", most=200)),
    "expiresAt?": maybe(moment()),
    "allowedIps?": maybe(listed(text(least=1, most=50), "addresses or networks; none is any", most=50)),
}  # fmt: skip
_PLAN = {400: ("invalid_value",), 403: ("plan_not_allowed",)}
_TOKEN_ID = (Param("id", text(), place="path"),)
_GONE = {404: ("not_found",)}
_PLACE = (Param("tz", text(), "an IANA name; UTC by default"),)
LOG_FILTERS = (
    Param("model", text(), "asked or served"),
    Param("status", text(), "ok, error, …; an HTTP status; failed: neither ok nor client_gone"),
    Param("key", text(), "an API key's id"), Param("mode", text()), Param("request_id", text()),
    Param("from", text(), "inclusive: ISO 8601"), Param("to", text(), "exclusive"),
    Param("format", choice("json", "csv")), *_PLACE,
)  # fmt: skip
_PASSWORD_WRONG = {401: ("invalid_credentials",), 429: ("rate_limit_exceeded",), 503: ("overloaded",)}

OPERATIONS = (
    Operation(
        "POST", "/v1/auth/register", "Sign up", asks=(),
        body=record({
            "username": USERNAME, "password": PASSWORD, "email?": maybe(text(most=254)),
            "inviteCode?": maybe(text(most=64)), "name?": maybe(text(most=100)),
        }),
        answers=json(named("Entered")),
        refused={
            403: ("registration_closed", "invalid_invite_code"), 409: ("username_taken",),
            429: ("rate_limit_exceeded",), 503: ("overloaded",),
        },
    ),
    Operation(
        "POST", "/v1/auth/login", "Log in: a token for seven days", asks=(),
        body=record({"username": text(most=64), "password": text(most=1024)}), answers=json(named("Entered")),
        refused={**_PASSWORD_WRONG, 403: ("account_disabled",)},
    ),
    Operation(
        "POST", "/v1/auth/session", "Log in: a cookie, for a browser", asks=(),
        body=record({"username": text(most=64), "password": text(most=1024)}), answers=json(named("SessionOpened")),
        refused={**_PASSWORD_WRONG, 403: ("account_disabled", "csrf_failed")},
    ),
    Operation("GET", "/v1/auth/session", "Who has signed in", asks=(SESSION,), answers=json(named("SessionOpened"))),
    Operation(
        "POST", "/v1/auth/refresh", "Another token for this one, which ends", asks=(TOKEN,),
        answers=json(named("Entered")), refused={401: ("token_expired",), 403: ("forbidden",)},
    ),
    Operation(
        "POST", "/v1/auth/logout", "End this token or session, or all of the account", asks=PERSON,
        body=record({"all?": maybe(flag())}), wants_body=False, answers=json(record({"ok": flag()})),
    ),
    Operation(
        "POST", "/v1/auth/password", "Change the password: every other token and session ends", asks=PERSON,
        body=record({"currentPassword": text(most=1024), "newPassword": PASSWORD}),
        answers=json(either(named("Entered"), named("SessionOpened"))), refused=_PASSWORD_WRONG,
    ),
    Operation("GET", "/v1/user/self", "The account", answers=json(named("Self"))),
    *(
        Operation(
            method, "/v1/user/self", "Change its name and email", asks=PERSON,
            body=record({"name?": maybe(text(most=100)), "email?": maybe(text(most=254))}), 
            wants_body=False, answers=json(named("Self")),
        )
        for method in ("PATCH", "PUT")
    ),
    Operation(
        "POST", "/v1/user/invite", "Another invite code", asks=PERSON, answers=json(record({"inviteCode": text()})),
    ),
    Operation(
        "GET", "/v1/plans", "The plans there are",
        answers=json(record({"data": listed(record({
            "id": whole(), "name": text(), "selectable": flag(), "models": listed(text()),
            "requests_per_second": maybe(whole()), "price_multiplier": text(),
        }))})),
    ),
    Operation(
        "GET", "/v1/tokens", "API keys, newest first", asks=PERSON,
        params=(*PAGES, Param("status", choice(*SHOWN_STATUSES))), answers=json(paged(named("Token"))),
    ),
    Operation(
        "POST", "/v1/tokens", "Make an API key; the only time that it is shown", asks=PERSON,
        body=record({"name": text(least=1, most=100), **_TOKEN_FIELDS}),
        answers=json(record({"apiKey": named("Token"), "key": text()})), refused=_PLAN,
    ),
    Operation(
        "GET", "/v1/tokens/{id}", "An API key", asks=PERSON, params=_TOKEN_ID, answers=json(named("Token")),
        refused=_GONE,
    ),
    *(
        Operation(
            method, "/v1/tokens/{id}", "Change it; what is left out stays", asks=PERSON, params=_TOKEN_ID,
            body=record({
                "name?": maybe(text(least=1, most=100)), "status?": maybe(choice(*STATUSES)),
                **_TOKEN_FIELDS,
            }),
            wants_body=False, answers=json(named("Token")), refused={**_PLAN, **_GONE},
        )
        for method in ("PATCH", "PUT")
    ),
    Operation(
        "DELETE", "/v1/tokens/{id}", "Delete it for good", asks=PERSON, params=_TOKEN_ID,
        answers=json(record({"id": id(), "deleted": flag()})), refused=_GONE,
    ),
    Operation(
        "GET", "/v1/user/logs", "Calls, newest first", asks=OWN, params=(*PAGES, *LOG_FILTERS),
        answers={**json(paged(named("Row"))), "text/csv": text()},
    ),
    Operation(
        "GET", "/v1/user/stats", "What calls come to, by day, hour and model",
        params=(Param("period", choice("24h", "7d", "30d")), *_PLACE), answers=json(STATS),
    ),
    Operation(
        "GET", "/v1/user/balance", "Credits, and the month of calls with own provider keys",
        answers=json(record({
            "credits": number("USD, exact"), "credits_cents": whole(), "byok_usage_month": whole(),
            "byok_limit_month": whole(), "reset_date": moment(),
        })),
    ),
    Operation("GET", "/v1/billing/balance", "Credits", answers=json(record({"balance": number("USD, exact")}))),
)  # fmt: skip
