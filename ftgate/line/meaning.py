"""An upstream's error, read, and what it means (core.verdicts) for the call that met it."""

import zlib
from typing import Any

import msgspec
import trio

from ftgate import dialects
from ftgate.core import verdicts
from ftgate.core.health import REFUSALS
from ftgate.core.verdicts import Verdict
from ftgate.dialects.talk import Complaint
from ftgate.errors import UpstreamFailed
from ftgate.line.call import Exchange, Tried
from ftgate.ports import Answer, Headers

REPEATING = (400, 404, 422)
"""Statuses of errors about the request, whose words repeat parts of it."""
ERROR_READ_S = 5.0
"""Seconds an upstream's error body is waited for: the status is known, its words only help."""
MAX_ERROR_BYTES = 65_536


async def error_body(answer: Answer) -> bytes:
    """The body of an upstream's error, as far as it helps."""
    body = b""
    with trio.move_on_after(ERROR_READ_S):
        try:
            while len(body) < MAX_ERROR_BYTES and (data := await answer.receive()):
                body += data
        except UpstreamFailed:
            pass  # the status says enough
    return _inflated(body, answer.headers)


def _inflated(body: bytes, headers: Headers) -> bytes:
    """The words of an error that came compressed although nobody asked for that, as far as they are needed; nothing
    where they cannot be read."""
    coding = next((value.strip().lower() for name, value in headers if name == b"content-encoding"), b"")
    if coding in (b"", b"identity"):
        return body
    # gzip and zlib tell themselves apart; some mean by "deflate" what has no head at all.
    for bits in (32 + zlib.MAX_WBITS, -zlib.MAX_WBITS) if coding in (b"gzip", b"x-gzip", b"deflate") else ():
        try:
            return zlib.decompressobj(bits).decompress(body, MAX_ERROR_BYTES)
        except zlib.error:
            pass
    return b""


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
