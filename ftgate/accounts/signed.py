"""Stripe's signature under an event: `t=<seconds>,v1=<hex>[,v1=…]`, an HMAC-SHA256 of "t.body" by the endpoint's
secret (https://docs.stripe.com/webhooks#verify-manually).

The SDK's own check takes an event from the future and raises whatever hostile bytes lead it to; this one takes neither.
"""

import hashlib
import hmac
import re
from typing import Any

import msgspec

from ftgate.core.secret import Secret
from ftgate.errors import InvalidRequest

TOLERANCE_S = 300
"""How far an event's time may lie from ours, either way: long enough for clocks, short for who has recorded one."""
_PART = re.compile(r"(t|v1)=([0-9a-f]{1,64})", re.ASCII)


def event(body: bytes, header: str | None, secret: Secret, now_s: float) -> dict[str, Any]:
    """The event that Stripe has signed with this secret. Raises InvalidRequest: invalid_signature, and invalid_json for
    what was signed and is no JSON object."""
    parts = [_PART.fullmatch(part.strip(" ")) for part in (header or "").split(",")]
    times = [found[2] for found in parts if found and found[1] == "t"]
    signatures = [found[2].encode() for found in parts if found and found[1] == "v1"]
    if len(times) != 1 or not times[0].isdecimal() or not signatures:
        raise _unsigned("the header Stripe-Signature is missing or malformed")
    own = hmac.new(secret.reveal().encode(), times[0].encode() + b"." + body, hashlib.sha256).hexdigest().encode()
    if not any(hmac.compare_digest(own, one) for one in signatures):
        raise _unsigned("no signature matches")
    if abs(now_s - int(times[0])) > TOLERANCE_S:
        raise _unsigned("it was signed too long ago, or in the future")
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict):
        raise InvalidRequest("the event is no JSON object", code="invalid_json")
    return said


def _unsigned(why: str) -> InvalidRequest:
    return InvalidRequest(f"the event's signature is not valid: {why}", code="invalid_signature")
