"""What operators do: accounts, keys, credits, channels, calls, the ledger, the config, the audit, payments."""

from ftgate.core import payments
from ftgate.core.accounts import MODES, ROLES, SHOWN_STATUSES, STATUSES
from ftgate.web.described.accounts import ID, LOG_FILTERS
from ftgate.web.described.accounts import SCHEMAS as ACCOUNTS
from ftgate.web.described.words import (
    PAGES,
    PERSON,
    Operation,
    Param,
    Refusals,
    Schema,
    anything,
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

_OF_OPERATOR: dict[str, Schema] = {**ACCOUNTS["Row"]["properties"], "user": id(), "channel": text(), "lost": dollars()}
_CALL = record({
    "request_id": text(), "user": text(), "key": text(), "model": text(), "channel": maybe(text()), "stream": flag(),
    "state": choice("waiting", "streaming"), "started_at": moment(), "age_ms": whole(), "completion_tokens": whole(),
    "held": dollars(),
})  # fmt: skip
SCHEMAS: dict[str, Schema] = {
    "Account": record({
        "id": id(), "username": text(), "name": text(), "email": text(), "role": choice(*ROLES),
        "status": choice(*STATUSES), "plan": text(), "mode": choice(*MODES),
        "balance": dollars(), "held": dollars(), "used": dollars(), "request_count": whole(), "keys": whole(),
        "invite_code": text(), "invited_by": maybe(id()), "created_at": moment(), "last_login_at": maybe(moment()),
    }, "an account, as operators see it"),
    "OperatorRow": record(_OF_OPERATOR, "an ended call, with whose it is and which channel served it"),
    "Channel": record({
        "name": text(), "provider": text(), "base_url": maybe(text()), "priority": whole(), "weight": whole(),
        "enabled": flag(), "state": choice("ok", "degraded", "open", "disabled"), "models": listed(text()),
        "circuits": listed(record({"model": text(), "state": text(), "failures": whole(), "until": maybe(moment())})),
        "credentials": listed(record({
            "hint": text(), "state": text(), "until": maybe(moment()), "reason": maybe(text()),
        })),
        "requests_1h": whole(), "errors_1h": whole(), "p50_ms": maybe(number()), "p95_ms": maybe(number()),
        "first_token_p50_ms": maybe(number()),
        "last_error": maybe(record({"at": moment(), "text": text()})), "spent_month": dollars(),
        "monthly_cap": maybe(dollars()),
    }),
}  # fmt: skip
_GONE: Refusals = {404: ("not_found",)}
_MOVED: Refusals = {404: ("not_found",), 409: ("idempotency_conflict",)}
_ID = (Param("id", text(), place="path"),)
_NAME = (Param("name", text(), place="path"),)
_USD = either(dollars(), number(), told="USD, exact")
_REF = text("an id of your own: the same one is done once", least=1, most=100)
_MOVE = {
    "user?": ID, "username?": text(), "amount": _USD, "ref?": maybe(_REF),
}  # fmt: skip
_CHANGES = {
    "status?": maybe(choice(*STATUSES)), "role?": maybe(choice(*ROLES)), "plan?": maybe(text()),
    "mode?": maybe(choice(*MODES)), "name?": maybe(text(most=100)), "email?": maybe(text(most=254)),
}  # fmt: skip
_ENTRY = record({
    "id": either(id(), whole()), "at": moment(), "kind": text(), "user": maybe(text()), "debit": text(),
    "credit": text(), "amount": dollars(), "ref": text(), "note": text(),
})  # fmt: skip
_FINDING = record({"ok": flag(), "faults": listed(text())})
_REQUEST_ID = (Param("id", text(), "a request's id", place="path"),)
_TRIED = record({
    "ok": flag(), "model": text(), "status": maybe(whole()), "latency_ms": maybe(number()),
    "first_token_ms": maybe(number()), "error": maybe(text()),
})  # fmt: skip


def _admin(method: str, path: str, summary: str, answer: Schema, **more: object) -> Operation:
    return Operation(
        method, f"/v1/admin{path}", summary, asks=PERSON, answers=json(answer), **more  # type: ignore[arg-type]
    )  # fmt: skip


OPERATIONS = (
    _admin("GET", "/users", "Accounts", paged(named("Account")), params=(
        *PAGES, Param("q", text(), "a part of a name or an email"), Param("status", choice(*STATUSES)),
    )),
    _admin("POST", "/users", "Make an account", named("Account"), refused={409: ("username_taken",)}, body=record({
        "username": text(least=1, most=64), "password?": maybe(text(most=1024)), "credits?": maybe(_USD), **_CHANGES,
    })),
    _admin("GET", "/users/{id}", "An account", named("Account"), params=_ID, refused=_GONE),
    _admin("PATCH", "/users/{id}", "Change it", named("Account"), params=_ID, body=record(_CHANGES), wants_body=False,
           refused={**_GONE, 409: ("last_admin",)}),
    _admin("POST", "/users/{id}/password", "Give it another password", record({"id": id(), "password?": text()}),
           params=_ID, body=record({"newPassword?": maybe(text(most=1024))}), wants_body=False, refused=_GONE),
    _admin("POST", "/users/{id}/logout", "End its tokens and sessions", record({"id": id(), "ended": whole()}),
           params=_ID, refused=_GONE),
    _admin("GET", "/tokens", "API keys of all accounts, or of one", paged(named("Token")),
           params=(*PAGES, Param("user", text()), Param("status", choice(*SHOWN_STATUSES)))),
    _admin("PATCH", "/tokens/{id}", "Enable or disable one", named("Token"), params=_ID, wants_body=False,
           body=record({"status?": maybe(choice(*STATUSES))}), refused=_GONE),
    _admin("DELETE", "/tokens/{id}", "Delete one", record({"id": id(), "deleted": flag()}), params=_ID, refused=_GONE),
    _admin("POST", "/credits", "Give credits", record({
        "username": text(), "balance": dollars(), "granted": dollars(), "ref": text(), "already_done": flag(),
    }), body=record({**_MOVE, "note?": maybe(text(most=500))}), refused=_MOVED),
    _admin("POST", "/credits/correct", "Put a mistake right", record({
        "username": text(), "balance": dollars(), "corrected": dollars(), "ref": text(), "already_done": flag(),
    }), body=record({**_MOVE, "note": text(least=1, most=500)}), refused=_MOVED),
    _admin("GET", "/channels", "Channels, and how they stand", record({"data": listed(named("Channel"))})),
    _admin("GET", "/channels/{name}", "A channel", named("Channel"), params=_NAME, refused=_GONE),
    _admin("POST", "/channels/{name}/test", "One real call of few tokens, charged to nobody", _TRIED, params=_NAME,
           body=record({"model?": maybe(text())}), wants_body=False, refused=_GONE),
    *(
        _admin("POST", f"/channels/{{name}}/{what}", told, named("Channel"), params=_NAME, refused=_GONE)
        for what, told in (
            ("enable", "Let new calls take it"), ("disable", "No new call takes it"),
            ("reset", "Forget its circuits and its keys' rests"),
        )
    ),
    Operation("GET", "/v1/admin/requests", "Calls of all accounts", asks=PERSON, answers={
        **json(paged(named("OperatorRow"))), "text/csv": text(),
    }, params=(*PAGES, *LOG_FILTERS, Param("user", text()), Param("channel", text()))),
    _admin("GET", "/requests/{id}", "A call, with its price and each attempt", record({
        **_OF_OPERATOR, "upstream_id": maybe(text()), "price": {}, "attempts_detail": listed(anything()),
    }), params=_REQUEST_ID, refused=_GONE),
    _admin("POST", "/ledger/verify", "Read the whole ledger", record({
        "ok": flag(), "accounts": whole(), "entries": whole(), "open_holds": whole(), "disagreement?": maybe(text()),
    }), refused={409: ("already_running",)}),
    _admin("GET", "/ledger/entries", "Entries, newest first", paged(_ENTRY),
           params=(*PAGES, Param("user", text()), Param("kind", text()), Param("ref", text()))),
    Operation("GET", "/v1/admin/ledger/export", "Every entry, oldest first", asks=PERSON,
              params=(Param("format", choice("csv", "json")), Param("user", text())),
              answers={"text/csv": text(), "application/x-ndjson": text()}),
    _admin("GET", "/config", "The settings in force", record({
        "path": maybe(text()), "loaded_at": moment(), "given": {}, "last_error": maybe(text()),
        "last_change": maybe(record({"at": moment(), "settings": listed(text())})),
        "settings": listed(record({"name": text(), "value": {}, "origin": text(), "after_restart?": {}})),
    })),
    _admin("POST", "/config/check", "What is wrong with the file as it lies there", _FINDING),
    _admin("POST", "/config/reload", "Put the file in force", record({
        "ok": flag(), "changed": listed(text()), "needs_restart": listed(text()),
    }), refused={400: ("config_invalid",)}),
    _admin("GET", "/audit", "Who changed what", paged(record({
        "id": either(id(), whole()), "at": moment(), "actor": maybe(text()), "actor_name": text(), "via": text(),
        "address": text(), "action": text(), "target": text(), "before": {}, "after": {}, "request_id": text(),
    })), params=(*PAGES, Param("actor", text()), Param("action", text()), Param("target", text()))),
    _admin("GET", "/calls", "Calls in flight", record({"data": listed(_CALL)})),
    *(
        _admin(method, f"/calls/{{id}}{below}", "End one: what came is charged", record({
            "request_id": text(), "stopped": flag(),
        }), params=_REQUEST_ID, refused=_GONE)
        for method, below in (("DELETE", ""), ("POST", "/stop"))
    ),
    _admin("GET", "/payments", "Payments of all accounts", paged(named("Payment")),
           params=(*PAGES, Param("user", text()), Param("status", choice(*payments.STATUSES)))),
    _admin("POST", "/payments/reconcile", "Ask Stripe about open payments", record({
        name: whole()
        for name in ("checked", "credited", "reversed", "expired", "quarantined", "failed", "untold", "left")
    }), refused={501: ("payments_disabled",), 502: ("payment_provider_error",), 504: ("payment_provider_timeout",)}),
    _admin("POST", "/payments/{id}/resolve", "Decide about a quarantined payment", named("Payment"), params=_ID,
           body=record({"action": choice("credit", "dismiss"), "note": text(least=1, most=500)}),
           refused={**_GONE, 409: ("not_quarantined",)}),
)  # fmt: skip
