"""What an upstream's error means (core.verdicts), for the call that met it."""

from typing import Any

import msgspec

from ftgate import dialects
from ftgate.core import verdicts
from ftgate.core.health import REFUSALS
from ftgate.core.verdicts import Verdict
from ftgate.dialects.talk import Complaint
from ftgate.line.call import Exchange, Tried

REPEATING = (400, 404, 422)
"""Statuses of errors about the request, whose words repeat parts of it."""


def meaning(x: Exchange, tried: Tried, status: int, complaint: Complaint) -> Verdict:
    """What an upstream's error means. Earlier thinking that it cannot read is left out only where its dialect can."""
    found = meant(tried, complaint) or verdicts.verdict(status, complaint.words)
    if found in REFUSALS and status in REPEATING and meant(tried, complaint) is None:
        found = _in_its_own_words(x, status, complaint)
    forgets = tried.candidate.address.dialect in dialects.FORGETTING
    return Verdict.caller if found is Verdict.unreadable and not forgets else found


def meant(tried: Tried, complaint: Complaint) -> Verdict | None:
    """What the provider itself means by an error of this name."""
    return verdicts.meant(tried.candidate.channel.errors, complaint.code, complaint.kind)


def _in_its_own_words(x: Exchange, status: int, complaint: Complaint) -> Verdict:
    """The same, without what its message only repeats of the request ("invalid value: ..."): no caller may take a key
    away by what he asks."""
    names = " ".join(filter(None, (complaint.kind, complaint.code)))
    return verdicts.verdict(status, f"{complaint.message} {names}", said=_plain(x.call.body), names=names)


def _plain(body: bytes) -> str:
    """A request's text, with nothing in it written as an escape."""
    try:
        said: Any = msgspec.json.decode(body)
        return msgspec.json.encode(said).decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return body.decode(errors="replace")
