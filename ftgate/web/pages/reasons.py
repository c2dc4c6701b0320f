"""Why a call failed, in words, and what helps: by what its row remembers of it."""

from ftgate.core.logged import NOT_FAILED

CODES = {
    "insufficient_credits": (
        "The credits did not cover what the call could cost.",
        "Top up, or ask for a shorter answer.",
    ),
    "key_quota_exceeded": ("The key's own spending limit was reached.", "Raise it, or wait until it begins anew."),
    "byok_limit_exceeded": (
        "The tokens of this month for calls by one's own provider key were used up.",
        "They begin anew with the next month.",
    ),
    "model_not_found": ("No channel serves a model of this name.", "Look at the list of models for its exact name."),
    "model_not_allowed": ("This key may not call this model.", "Change the models of the key, or call another one."),
    "plan_unavailable": ("The plan of this key is not there any more.", "Give the key another plan."),
    "ip_not_allowed": ("The call came from an address that the key does not allow.", "Change the key's networks."),
    "key_disabled": ("The key was disabled.", "Enable it, or use another one."),
    "key_expired": ("The key had expired.", "Give it a later date, or make another one."),
    "rate_limit_exceeded": (
        "More calls came at one time than are allowed.",
        "Wait as long as `Retry-After` said, and try again.",
    ),
    "context_length_exceeded": (
        "The prompt was longer than the model can read.",
        "Shorten it, or call a model with a longer context.",
    ),
    "invalid_json": ("The body was no JSON that could be read.", "Send one JSON object."),
    "invalid_value": ("Something in the request was not as it has to be.", "The answer named the field."),
    "missing_field": ("Something was missing in the request.", "The answer named the field."),
    "invalid_provider_key": (
        "The provider refused the key that the call brought.",
        "Check it on the page of your provider keys.",
    ),
    "provider_error": (
        "Every provider that was tried failed.",
        "Try again; if it stays so, whoever runs this gateway sees why under Channels.",
    ),
    "provider_timeout": ("No provider answered in time.", "Try again, or call a faster model."),
    "no_healthy_provider": (
        "No provider could take the call: each was down, resting or at its limit.",
        "Try again a little later.",
    ),
    "internal_error": ("A fault of this gateway.", "Tell whoever runs it the request id."),
    "not_implemented": ("This gateway cannot do that with this model.", "Call another model or route."),
    "database_busy": ("The gateway could not write down the call in time.", "Try again."),
    "overloaded": ("The gateway had too much to do.", "Try again a little later."),
    "shutting_down": ("The gateway was being stopped or started anew.", "Try again."),
    "stopped": ("The operator stopped the call.", ""),
    "loop_detected": (
        "The call came back to this gateway.",
        "A channel leads to itself: whoever runs it has to change that.",
    ),
}
"""By the code of the error: what it was, and what helps."""
OF_THE_KEY = frozenset(
    ("key_quota_exceeded", "model_not_allowed", "plan_unavailable", "ip_not_allowed", "key_disabled", "key_expired")
)
"""Codes whose cure is on the key's page."""
BEGUN = {
    "provider_error": ("The provider's answer broke off.", "Try again. What came until then is paid."),
    "provider_timeout": ("The provider's answer stopped coming.", "Try again. What came until then is paid."),
}
"""As CODES, once a first token had come."""
STATUSES = {
    "client_gone": ("The caller left before the answer was whole.", "What came until then is paid."),
    "write_timeout": ("The caller took no more of the answer for too long.", "What came until then is paid."),
    "shutdown": CODES["shutting_down"],
    "operator": CODES["stopped"],
    "timeout": CODES["provider_timeout"],
    "crashed": (
        "The gateway was killed while the call ran.",
        "What became of what was set aside for it stands below.",
    ),
}
"""By how the call ended, where there is no code that says more."""
CALL_STATES = {
    "operator": "stopped", "write_timeout": "caller stalled", "client_gone": "client gone",
}  # fmt: skip
"""How a call ended, in a word or two, where its status is not one already."""
OUTCOMES = {
    "ok": "answered",
    "caller": "refused the request",
    "context": "found the prompt too long",
    "unreadable": "could not read what stood in the history",
    "rate_limited": "had reached its limit",
    "credential": "refused our key",
    "out_of_credit": "had no credit left for us",
    "overloaded": "had too much to do, or failed",
    "unreachable": "could not be reached",
    "timeout": "did not answer in time",
    "hollow": "answered with nothing",
    "client_gone": "was answering when the caller left",
    "write_timeout": "was answering when the caller took no more",
    "shutdown": "was answering when the gateway stopped",
    "operator": "was answering when the operator stopped it",
    "error": "failed",
}
"""What became of one attempt."""
OUTCOMES_BEGUN = {**OUTCOMES, "error": "broke off its answer", "timeout": "stopped within its answer"}
"""The same of the one that gave the first token."""


def reason(status: str, code: str, http_status: int, *, begun: bool = False) -> tuple[str, str]:
    """What went wrong with a call, and what helps; two empty texts where nothing did. `begun`: a first token came."""
    if status == "ok":
        return "", ""
    if status in NOT_FAILED or status == "crashed":
        return STATUSES[status]
    if begun and code in BEGUN:
        return BEGUN[code]
    if code == "provider_error" and 400 <= http_status < 500:
        return f"The provider refused the request ({http_status}).", "Change it: asked again, it is refused again."
    if code in CODES:
        return CODES[code]
    if status in STATUSES:
        return STATUSES[status]
    if 400 <= http_status < 500:
        said = f" and said “{code}”" if code else ""
        return f"The provider refused the request ({http_status}){said}.", "Its answer said what was wrong with it."
    return f"It failed{f' with “{code}”' if code else ''}.", "Try again; tell whoever runs this gateway the request id."
