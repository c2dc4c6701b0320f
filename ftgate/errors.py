"""The tree of errors: every answer that is not a success is one of these.

    GateError                      status  type / code
    ├─ CallerFault                         the request was wrong; mending it is the caller's work
    │  ├─ InvalidRequest           400     invalid_request_error / invalid_json, missing_field, invalid_value, …
    │  ├─ ConfigInvalid            400     invalid_request_error / config_invalid
    │  ├─ NotFound                 404     invalid_request_error / model_not_found, not_found
    │  ├─ MethodNotAllowed         405     invalid_request_error / method_not_allowed
    │  ├─ NotAuthenticated         401     authentication_error / invalid_api_key, key_disabled, key_expired
    │  ├─ PaymentRequired          402     insufficient_balance / insufficient_credits, key_quota_exceeded
    │  ├─ Forbidden                403     permission_error / model_not_allowed, plan_unavailable, forbidden
    │  ├─ Conflict                 409     invalid_request_error / username_taken, last_admin, idempotency_conflict
    │  ├─ BodyTooSlow              408     invalid_request_error / body_timeout
    │  ├─ BodyTooLarge             413     invalid_request_error / body_too_large
    │  ├─ UnsupportedBody          415     invalid_request_error / unsupported_encoding
    │  └─ RateLimited              429     rate_limit_error / rate_limit_exceeded
    ├─ ProviderFault                       an upstream failed; nobody here can mend it
    │  ├─ Refused                  4xx     the upstream's own 4xx about the request, handed to the caller
    │  ├─ ProviderError            502     api_error / provider_error
    │  ├─ NoHealthyProvider        503     api_error / no_healthy_provider
    │  │  └─ ProvidersOverloaded           the same (in Responses: server_is_overloaded)
    │  ├─ ProviderTimeout          504     api_error / provider_timeout
    │  ├─ PaymentProviderError     502     api_error / payment_provider_error
    │  ├─ PaymentProviderDown      503     the same, to the provider itself: it is to come again
    │  └─ PaymentProviderTimeout   504     api_error / payment_provider_timeout
    └─ OurFault                            a bug or a state of this process
       ├─ InternalError            500     api_error / internal_error
       ├─ NotServed                501     api_error / not_implemented
       ├─ PaymentsDisabled         501     api_error / payments_disabled
       ├─ DatabaseBusy             503     api_error / database_busy
       ├─ Overloaded               503     api_error / overloaded
       ├─ ShuttingDown             503     api_error / shutting_down
       ├─ Stopped                  503     api_error / stopped
       └─ LoopDetected             508     api_error / loop_detected

The names are CONTRACT.md's. `retryable` is closed by default: it is false unless the class says that the same request
may succeed later. An error's message is shown to the caller, so it never holds a provider key, a channel's address or a
traceback.

`UpstreamFailed` stands beside the tree: it is what a transport raises at the gate, and never reaches a caller as it is.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path


class GateError(Exception):
    """An answer other than success.

    `status` is the HTTP status, `kind` the wire's `error.type`, `code` its `error.code`, `param` the offending field's
    name, `retry_after_s` the seconds after which trying again can help, `details` a JSON value that stands beside the
    words (some dialects have a place for it). `overloaded`: every provider said that it has too much to do.
    """

    status = 500
    kind = "api_error"
    code = "internal_error"
    retryable = False
    retry_s: float | None = None
    """What `retry_after_s` is where nothing else is said."""
    details: bytes | None = None
    overloaded = False

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after_s = type(self).retry_s if retry_after_s is None else retry_after_s


class CallerFault(GateError):
    status = 400
    kind = "invalid_request_error"
    code = "invalid_value"


class InvalidRequest(CallerFault):
    pass


class ConfigInvalid(CallerFault):
    """The config as it is written cannot be used; nothing has changed. `faults` are lines as ConfigFaults has them."""

    code = "config_invalid"

    def __init__(self, faults: list[str]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"the config has {count}, and nothing was changed: mend it and reload again")
        self.faults = faults


class NotFound(CallerFault):
    status = 404
    code = "not_found"


class MethodNotAllowed(CallerFault):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class NotAuthenticated(CallerFault):
    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class PaymentRequired(CallerFault):
    status = 402
    kind = "insufficient_balance"
    code = "insufficient_credits"


class Forbidden(CallerFault):
    status = 403
    kind = "permission_error"
    code = "forbidden"


class Conflict(CallerFault):
    """What is there already stands against it."""

    status = 409
    code = "conflict"


class BodyTooSlow(CallerFault):
    status = 408
    code = "body_timeout"
    retryable = True


class BodyTooLarge(CallerFault):
    status = 413
    code = "body_too_large"


class UnsupportedBody(CallerFault):
    status = 415
    code = "unsupported_encoding"


class RateLimited(CallerFault):
    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True


class ProviderFault(GateError):
    status = 502
    code = "provider_error"


class Refused(ProviderFault):
    """The upstream's 4xx about the request itself: its status, message, code and param in our envelope, redacted."""

    kind = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        kind: str,
        code: str | None,
        param: str | None,
        details: bytes | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status = status
        self.kind = kind
        self.details = details


class ProviderError(ProviderFault):
    pass


class NoHealthyProvider(ProviderFault):
    status = 503
    code = "no_healthy_provider"
    retryable = True


class ProvidersOverloaded(NoHealthyProvider):
    """Every provider that was tried has too much to do, and not for this gateway's calls alone: trying again soon is of
    little use."""


class ProviderTimeout(ProviderFault):
    status = 504
    code = "provider_timeout"
    retryable = True


class PaymentProviderError(ProviderFault):
    """Stripe has refused, or cannot be reached."""

    code = "payment_provider_error"


class PaymentProviderDown(PaymentProviderError):
    """An event cannot be looked into now."""

    status = 503
    retryable = True


class PaymentProviderTimeout(ProviderFault):
    status = 504
    code = "payment_provider_timeout"
    retryable = True


class OurFault(GateError):
    pass


class InternalError(OurFault):
    pass


class NotServed(OurFault):
    """A model or route that is listed but whose dialect this version does not speak."""

    status = 501
    code = "not_implemented"


class PaymentsDisabled(OurFault):
    """Stripe's keys are not set."""

    status = 501
    code = "payments_disabled"


class DatabaseBusy(OurFault):
    status = 503
    code = "database_busy"
    retryable = True
    retry_s = 2.0


class DatabaseFailed(DatabaseBusy):
    """The ledger takes no commits any more, and the process is about to end: what is not written yet never will be."""


class Overloaded(OurFault):
    """More is asked for at one time than there is room for: request bodies read, passwords checked."""

    status = 503
    code = "overloaded"
    retryable = True


class LoopDetected(OurFault):
    """A channel leads back to where its call came from."""

    status = 508
    code = "loop_detected"


class ShuttingDown(OurFault):
    status = 503
    code = "shutting_down"
    retryable = True


class Stopped(OurFault):
    """The operator has ended this call."""

    status = 503
    code = "stopped"


class Fault(Enum):
    """How a try at an upstream failed on the wire, before any HTTP meaning."""

    connect = "connect"  # refused, unreachable, connect limit passed
    dns = "dns"
    tls = "tls"
    reset = "reset"  # the connection broke before the response head
    incomplete = "incomplete"  # the head came, the body was cut
    protocol = "protocol"  # not HTTP/1.1 as we can read it
    encoding = "encoding"  # a compressed answer although identity was asked
    too_large = "too_large"  # a head, line or body past its limit


class UpstreamFailed(Exception):
    """Raised by a transport. `sent` says whether any byte of the request may have reached the upstream, `timed_out`
    that the connect limit has passed."""

    def __init__(self, fault: Fault, detail: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail
        self.sent = sent
        self.timed_out = timed_out


class ConfigFaults(Exception):
    """Every fault of a config file at once; `faults` are lines of the form `file:line: what is wrong. How to mend
    it.`, `files` those that were read, as they were then (config.stamps)."""

    def __init__(self, faults: list[str], files: Mapping[Path, tuple[int, int, int, int] | None] | None = None) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.files = files or {}
