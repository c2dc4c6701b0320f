"""Which gateways a call has come through: a list of their ids, which each one lengthens by its own when it asks an
upstream. So a channel that leads back to where a call came from, over however many others, is met at its first turn.
"""

import re

MOST = 8
"""Gateways in a row; past it something is wrong, though none of them is this one."""
_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")


def _ids(came: bytes) -> list[bytes]:
    """What a caller wrote, as far as it names gateways: only that goes on to an upstream."""
    return [hop for hop in (part.strip() for part in came.split(b",")) if _ID.fullmatch(hop)]


def onward(came: bytes, own: bytes) -> bytes:
    """The header's value for an upstream: where the call came through, and this gateway."""
    return b", ".join([*_ids(came), own])


def fault(came: bytes, own: bytes) -> str | None:
    """Why a call that came through these gateways goes no further, in words; None when it may."""
    ids = _ids(came)
    if own in ids:
        return "this call has come through this gateway before: a channel leads back to it"
    if len(ids) > MOST:
        return f"this call has come through {len(ids)} gateways"
    return None
