"""One way through is like another: the same calls by both doors, both transports and TLS are answered alike, to the
byte.

Each way is a House of its own that gets the same calls in the same order. What is compared: status line, header names
and values, the body, whether the connection stays, what the upstream saw, and at the end every row of the books. What
may differ is named here: ids, dates, times, and how a body is cut into chunks.
"""

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.blackbox.harness import HELLO, Account, House, Raw, channel
from tests.blackbox.test_errors import closed_port

ALL_WAYS = {
    "fast+direct": "",
    "fast+httpx": "httpx",
    "hypercorn+direct": "hypercorn",
    "hypercorn+httpx": "hypercorn,httpx",
    "fast+direct+tls": "tls",
    "fast+httpx+tls": "httpx,tls",
    "hypercorn+direct+tls": "hypercorn,tls",
    "hypercorn+httpx+tls": "hypercorn,httpx,tls",
}
PAIRS = ("fast+direct", "hypercorn+httpx", "fast+httpx+tls", "hypercorn+direct+tls")
"""Of any two of door, transport and TLS each combination is in one of these."""
WAYS = ALL_WAYS if "FTGATE_TEST_ALL_WAYS" in os.environ else {way: ALL_WAYS[way] for way in PAIRS}
"""`scripts/ways` tries all."""
MADE_ANEW = {"date", "connection", "keep-alive", "transfer-encoding"}
"""Headers that speak of the connection or of the moment. Whether the connection stays is compared by itself."""
VARYING = [
    (re.compile(rb"req_[0-9a-f]{28}"), b"req_"),
    (re.compile(rb"(?<=x-ratelimit-reset-requests: )[0-9.]+s"), b"s"),
    (re.compile(rb"(?<=retry-after: )(?:59|60)\b"), b"60"),
    (re.compile(rb"(?<=Try again in )[0-9.]+s"), b"s"),
]
WORDS = ("one ", "two ", "three ")
SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {}, "other": {}, "limited": {}, "big": {}, "closing": {"keep_alive": False},
    "reasoning": {"reasoning": ["hm"]},
    "bytewise": {"write_size": 1, "content": ["é", "世界"]}, "crlf": {"crlf": True},
    "close-framed": {"framing": "close"},
    "no-done": {"done": False}, "many": {"content": ["word "], "repeat": 500},
    # What fails, and is answered for by the second channel.
    "over-500": {"status": 500}, "over-drop": {"drop": "close"}, "over-reset": {"drop": "rst"},
    "over-429": {"status": 429, "retry_after": 5},
    "over-garbage": {"raw_response": "SSH-2.0-x\r\n\r\n"}, "over-cut": {"cut_after": 0},
    "over-silent": {"head_delay_s": 30},
    # What fails for good.
    "bad-500": {"status": 500}, "bad-404": {"status": 404}, "bad-429": {"status": 429, "retry_after": 30},
    "bad-400": {"status": 400, "error_body": {"error": {"message": "flagged", "type": "x", "param": "messages",
    "code": "content_policy"}}},
    "bad-drop": {"drop": "close"}, "bad-reset": {"drop": "rst"}, "bad-garbage": {"raw_response": "SSH-2.0-x\r\n\r\n"},
    "bad-gzip": {"gzip": True}, "bad-html": {"raw_body": "<html></html>", "content_type": "text/html"},
    "bad-empty": {"raw_body": ""},
    "bad-redirect": {"status": 302, "location": "http://169.254.169.254/"}, "bad-204": {"status": 204},
    "bad-silent": {"head_delay_s": 30},
    "bad-early-hint": {"raw_response": "HTTP/1.1 101 x\r\n\r\n"}, "bad-head": {"raw_response": "HTTP/1.1 200 "
    "OK\r\nx: " + "y" * 300_000},
    # Streams that end in their middle.
    "cut": {"cut_after": 2, "content": WORDS}, "cut-reset": {"cut_after": 2, "content": WORDS, "cut": "rst"},
    "cut-length": {"cut_after": 2, "content": WORDS, "framing": "length"}, "stalled": {"hang_after": 2,
    "content": WORDS},
    "error-event": {"content": WORDS, "error_event": {"error": {"message": "died"}}, "error_after": 2},
    "left": {"hang_after": 2, "content": WORDS}, "left-before": {"head_delay_s": 60}, "drained": {"content": WORDS,
    "first_delay_s": 0.2},
}  # fmt: skip
OVER = [name for name in SCRIPTS if name.startswith("over-")]
LIMITS = dict.fromkeys(("head", "answer", "first_token", "idle"), 0.6)  # a server that is held up has called by then
PATIENT = [name for name in SCRIPTS if name.startswith("left")]
HASTY = ["bad-silent"]
STALLED = {"head": 30, "answer": 30, "first_token": 30, "idle": 0.8}  # what comes before the silence may take its time
OTHERS = [name for name in SCRIPTS if name not in (*OVER, *PATIENT, *HASTY, "stalled", "big", "drained")]
CONFIG = f"""
[server]
max_body_mb = 4
[limits]
requests_per_second = 0
[limits.model."limited"]
requests_per_minute = 1
[retry]
backoff = 0.01
backoff_cap = 0.01
attempts = 2
{channel("lab", OTHERS)}
{channel("hasty", HASTY, timeouts=LIMITS)}
{channel("stalls", ["stalled"], timeouts=STALLED)}
{channel("large", {"big": {"context": 9_000_000}})}
{channel("first", [name for name in OVER if name != "over-silent"], priority=1)}
{channel("first-hasty", ["over-silent"], priority=1, timeouts=LIMITS)}
{channel("second", {name: {"upstream": "plain", "output": 4} for name in OVER}, priority=2)}
{channel("dead", ["unreachable"], base_url=f"http://127.0.0.1:{closed_port()}/v1")}
{channel("patient", PATIENT)}
{channel("kind", ["drained"], on_client_gone="drain")}
"""


# ---- one client ----


@dataclass(frozen=True)
class Said:
    """One answer."""

    line: bytes  # without the reason phrase, which means nothing to anybody and is not sent by Hypercorn
    headers: list[tuple[str, str]]
    body: bytes
    stays: bool  # the connection is kept, as far as the answer says

    @property
    def status(self) -> int:
        return int(self.line.split()[1])


class Caller:
    """A connection that reads one answer after the other."""

    def __init__(self, wire: Raw) -> None:
        self.wire = wire
        self.waiting = b""

    def _more(self) -> bool:
        data = self.wire.socket.recv(65_536)
        self.waiting += data
        return bool(data)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.waiting:
            assert self._more(), f"ended before {mark!r}: {self.waiting[-500:]!r}"
        found, _, self.waiting = self.waiting.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self.waiting) < size:
            assert self._more(), "ended in a body"
        found, self.waiting = self.waiting[:size], self.waiting[size:]
        return found

    def answer(self, *, to_head: bool = False) -> Said:
        """The next one. `to_head`: it answers a HEAD, so it has no body."""
        head = self._until(b"\r\n\r\n")
        for pattern, word in VARYING:
            head = pattern.sub(word, head)
        line, *lines = head.split(b"\r\n")
        headers = [(name.decode(), value.decode()) for name, _, value in (header.partition(b": ") for header in lines)]
        by_name = {name.lower(): value for name, value in headers}
        if to_head or line.split()[1] in (b"100", b"204"):
            body = b""
        elif by_name.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        elif "content-length" in by_name:
            body = self._exactly(int(by_name["content-length"]))
        else:
            while self._more():
                pass
            body, self.waiting = self.waiting, b""
        came = str(len(body))
        for pattern, word in VARYING:
            body = pattern.sub(word, body)
        if by_name.get("content-length") == came:  # what varies in the body varies in its length: 60s, 59.9s
            headers = [(name, str(len(body)) if name.lower() == "content-length" else value) for name, value in headers]
        kept = sorted(header for header in headers if header[0].lower() not in MADE_ANEW)
        return Said(line[: len("HTTP/1.1 200")], kept, body, by_name.get("connection", "").lower() != "close")


@dataclass
class Visit:
    """A House of one way, the same accounts in each, and what its calls were answered."""

    house: House
    rich: Account
    poor: Account
    narrow: Account
    said: dict[str, list[Any]] = field(default_factory=dict)

    def head(
        self, *more: str, line: str = "POST /v1/chat/completions HTTP/1.1", key: str | None = "", host: str = "Host: x"
    ) -> bytes:
        shown = [] if key is None else [f"Authorization: Bearer {key or self.rich.key}"]
        return "\r\n".join([line, *([host] if host else []), *shown, *more, "", ""]).encode("latin1")

    def call(
        self,
        model: str = "plain",
        *more: str,
        line: str = "POST /v1/chat/completions HTTP/1.1",
        key: str | None = "",
        **fields: Any,
    ) -> bytes:
        body = json.dumps({"model": model, "messages": HELLO, **fields}).encode()
        return self.head(*more, f"Content-Length: {len(body)}", line=line, key=key) + body

    def ask(self, *sent: bytes, answers: int = 1) -> list[Said]:
        """Send on one connection, piece after piece, and read this many answers."""
        with self.house.connect() as wire:
            caller = Caller(wire)
            for piece in sent:
                wire.send(piece)
                time.sleep(0.003 * (len(sent) > 1))
            return [caller.answer() for _ in range(answers)]

    def in_turn(self, *requests: bytes) -> list[Said]:
        """One request after the other's answer, on one connection."""
        with self.house.connect() as wire:
            caller = Caller(wire)
            found = []
            for request in requests:
                wire.send(request)
                found.append(caller.answer(to_head=request.startswith(b"HEAD")))
            return found

    def to_the_end(self, odd: bytes) -> list[Said]:
        """An odd request with an ordinary one behind it, which closes: all answers. So the doors agree on where the odd
        one ends."""
        with self.house.connect() as wire:
            caller = Caller(wire)
            wire.send(odd + self.call("other", "Connection: close"))
            found = [caller.answer()]
            while found[-1].stays and (caller.waiting or caller._more()):
                found.append(caller.answer())
            return found

    def leave(self, model: str, mark: bytes | None, **fields: Any) -> list[Any]:
        """Leave once `mark` has come, or the upstream was called; what is recorded of it."""

        def rows() -> int:  # of this model: that of a refused call before it may still be on its way
            return sum(row["model"] == model for row in self.house.rows(self.rich))

        before = rows()
        with self.house.connect() as wire:
            wire.send(self.call(model, **fields))
            if mark is not None:
                wire.until(mark)
            self.house.wait_for(lambda: self.house.fake.requests(model), "the upstream was not called")
        self.house.wait_for(lambda: rows() > before, "no row")
        return []


# ---- what is asked ----


Case = Callable[[Visit], list[Any]]
GET_MODELS = "GET /v1/models HTTP/1.1"
ODD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


def chunked(visit: Visit, *pieces: bytes, ending: bytes = b"0\r\n\r\n", extension: bytes = b"", key: str = "") -> bytes:
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return visit.head("Transfer-Encoding: chunked", key=key) + framed + ending


def expecting(visit: Visit, *, key: str = "", size: int | None = None) -> list[Said]:
    body = json.dumps({"model": "plain", "messages": HELLO}).encode()
    with visit.house.connect() as wire:
        caller = Caller(wire)
        wire.send(visit.head("Expect: 100-continue", f"Content-Length: {size or len(body)}", key=key))
        first = caller.answer()
        if first.status != 100:
            return [first]
        wire.send(body)
        return [first, caller.answer()]


BODY = json.dumps({"model": "plain", "messages": HELLO}).encode()
CUT_CHUNK = b"%x\r\n" % len(BODY) + BODY[:9], BODY[9:] + b"\r\n0", b"\r\n\r\n"
BROWSER = (
    "Origin: https://app.example",
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization",
)
HUGE = [{"role": "user", "content": "x" * 3_000_000}]

# name -> the statuses that must come, and how to get them. Statuses guard against answers that are alike because all
# are wrong.
CASES: dict[str, tuple[list[int], Case]] = {
    "plain": ([200], lambda v: v.ask(v.call())),
    "streamed": ([200], lambda v: v.ask(v.call(stream=True))),
    "streamed, usage shown": ([200], lambda v: v.ask(v.call(stream=True, stream_options={"include_usage": True}))),
    "streamed, many events": ([200], lambda v: v.ask(v.call("many", stream=True))),
    "three on one connection": ([200] * 3, lambda v: v.in_turn(v.call(), v.call(stream=True), v.call("reasoning"))),
    "connection: close": ([200], lambda v: v.ask(v.call("plain", "Connection: close"))),
    "connection: close, streamed": ([200], lambda v: v.ask(v.call("plain", "Connection: close", stream=True))),
    "x-api-key": ([200], lambda v: v.ask(v.call("plain", f"x-api-key: {v.rich.key}", key=None))),
    "lower case bearer": ([200], lambda v: v.ask(v.call("plain", f"authorization: bearer  {v.rich.key} ", key=None))),
    "models in the order of choice": ([200], lambda v: v.ask(v.call(models=["other"]))),
    "trailing slash": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/completions/ HTTP/1.1"))),
    "no v1": ([200], lambda v: v.ask(v.call(line="POST /chat//completions HTTP/1.1"))),
    "query": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/completions?beta=true&x=%20 HTTP/1.1"))),
    "escape in the path": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/%63ompletions HTTP/1.1"))),
    "absolute form": ([200], lambda v: v.ask(v.call(line="POST http://x/v1/chat/completions HTTP/1.1"))),
    "an upgrade": ([200], lambda v: v.ask(v.call("plain", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "
    "h2c", "HTTP2-Settings: A"))),
    # Bodies
    "chunked": ([200], lambda v: v.ask(chunked(v, BODY))),
    "chunked by the byte": ([200], lambda v: v.ask(chunked(v, *(BODY[at : at + 1] for at in range(len(BODY)))))),
    "chunked in pieces": ([200], lambda v: v.ask(v.head("Transfer-Encoding: chunked"), *CUT_CHUNK)),
    "chunked with trailers": ([200], lambda v: v.ask(chunked(v, BODY, ending=b"0\r\nX-Sum: 1\r\n\r\n"))),
    "chunked with an extension": ([200], lambda v: v.ask(chunked(v, BODY, extension=b";a=b"))),
    "chunked, then a call": ([200, 200], lambda v: v.in_turn(chunked(v, BODY), v.call())),
    "chunked, with a call right behind": ([200, 200], lambda v: v.ask(chunked(v, BODY) + v.call(stream=True),
    answers=2)),
    "head and body apart": ([200], lambda v: v.ask(v.call()[:-70], v.call()[-70:])),
    "three megabytes": ([200], lambda v: v.ask(v.call("big", messages=HUGE))),
    "three megabytes, chunked": ([200], lambda v: v.ask(chunked(v, json.dumps({"model": "big",
    "messages": HUGE}).encode()))),
    "no body": ([400], lambda v: v.ask(v.head("Content-Length: 0"))),
    "no length": ([400], lambda v: v.ask(v.head())),
    "expect": ([100, 200], expecting),
    "expect, refused": ([401], lambda v: expecting(v, key="sk-ft_nobody")),
    "expect, too large": ([413], lambda v: expecting(v, size=30_000_000)),
    # Connections
    "pipelined": ([200, 200], lambda v: v.ask(v.call() + v.call("other", stream=True), answers=2)),
    "pipelined over the hand-over": ([200] * 3,
    lambda v: v.ask(v.call() + v.head(line=GET_MODELS) + v.call(stream=True), answers=3)),
    "handed over in turn": ([200] * 4, lambda v: v.in_turn(v.call(), v.head(line=GET_MODELS), v.call(),
    v.call(stream=True))),
    "a refusal, then a call": ([401, 200], lambda v: v.in_turn(v.call(key="sk-ft_nobody"), v.call())),
    "an error, then a call": ([400, 200], lambda v: v.in_turn(v.call("nonesuch"), v.call())),
    "HTTP/1.0": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/completions HTTP/1.0"))),
    "HTTP/1.0, streamed": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/completions HTTP/1.0", stream=True))),
    "HTTP/1.0, keep-alive": ([200], lambda v: v.ask(v.call("plain", "Connection: keep-alive", line="POST "
    "/v1/chat/completions HTTP/1.0"))),
    "HTTP/1.0, no host": ([200], lambda v: v.ask(v.call(line="POST /v1/chat/completions "
    "HTTP/1.0").replace(b"Host: x\r\n", b""))),
    "HTTP/1.0, refused": ([401], lambda v: v.ask(v.call(line="POST /v1/chat/completions HTTP/1.0", key=None))),
    # Refusals
    "400 no JSON": ([400], lambda v: v.ask(v.head("Content-Length: 2") + b"{x")),
    "400 no messages": ([400], lambda v: v.ask(v.call(messages=None))),
    "400 no such model": ([400], lambda v: v.ask(v.call("nonesuch"))),
    "400 no such model, streamed": ([400], lambda v: v.ask(v.call("nonesuch", stream=True))),
    "400 two keys": ([400], lambda v: v.ask(v.call("plain", "x-api-key: sk-ft_other"))),
    "400 a provider's key": ([400], lambda v: v.ask(v.call("plain", "X-FindToken-Provider-Key: sk-1"))),
    "401 no key": ([401], lambda v: v.ask(v.call(key=None))),
    "401 unknown key": ([401], lambda v: v.ask(v.call(key="sk-ft_nobody", stream=True))),
    "401 before the body": ([401], lambda v: v.ask(v.call(key="sk-ft_nobody")[:-9])),
    "402": ([402], lambda v: v.ask(v.call(key=v.poor.key))),
    "402, streamed": ([402], lambda v: v.ask(v.call(key=v.poor.key, stream=True, max_tokens=100))),
    "403": ([403], lambda v: v.ask(v.call("other", key=v.narrow.key))),
    "405": ([405], lambda v: v.ask(v.head(line="GET /v1/chat/completions HTTP/1.1"))),
    "413 by its head": ([413], lambda v: v.ask(v.head("Content-Length: 4000001"))),
    "413 by its chunks": ([413], lambda v: v.ask(chunked(v, *[b"x" * 500_000] * 9))),
    "415": ([415], lambda v: v.ask(v.head("Content-Length: 3", "Content-Encoding: gzip") + b"\x1f\x8b\x08")),
    "429": ([200, 429], lambda v: v.in_turn(v.call("limited"), v.call("limited"))),
    # Other routes
    "unknown route": ([404], lambda v: v.ask(v.call(line="POST /v1/chat/completion HTTP/1.1"))),
    "unknown route by GET": ([404], lambda v: v.ask(v.head(line="GET /nowhere HTTP/1.1"))),
    "preflight": ([204], lambda v: v.ask(v.head(*BROWSER, line="OPTIONS /v1/chat/completions HTTP/1.1", key=None))),
    "from a browser": ([200], lambda v: v.ask(v.call("plain", *BROWSER))),
    "balance": ([200], lambda v: v.ask(v.head(line="GET /v1/user/balance HTTP/1.1"))),
    "HEAD": ([200, 200], lambda v: v.in_turn(v.head(line="HEAD / HTTP/1.1"), v.call())),
    # Heads in doubt
    "length twice": ([400], lambda v: v.ask(ODD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
    "length and chunks": ([400], lambda v: v.ask(ODD + b"Content-Length: 5\r\nTransfer-Encoding: "
    b"chunked\r\n\r\n0\r\n\r\n")),
    "a folded line": ([400], lambda v: v.ask(ODD + b"X: y\r\n z\r\nContent-Length: 2\r\n\r\n{}")),
    "a bare line end": ([400], lambda v: v.ask(ODD + b"X: y\nContent-Length: 2\r\n\r\n{}")),
    "bare line ends": ([400], lambda v: v.ask(ODD.replace(b"\r", b"") + b"Content-Length: 2\n\n{}")),
    "a bad chunk": ([400], lambda v: v.ask(v.head("Transfer-Encoding: chunked") + b"zz\r\nhello\r\n")),
    "a bad chunk later": ([400], lambda v: v.ask(v.head("Transfer-Encoding: "
    "chunked"), b"2\r\n{}\r\n", b"zz\r\nhello\r\n")),
    "two hosts": ([400], lambda v: v.ask(v.call("plain", "Host: y"))),
    "no host": ([400], lambda v: v.ask(v.head("Content-Length: 2", host="") + b"{}")),
    "a long head": ([431], lambda v: v.ask(v.call("plain", "X: " + "y" * 40_000))),
    "many headers": ([200], lambda v: v.ask(v.call("plain", *(f"X-{n}: y" for n in range(100))))),
    "too many headers": ([431], lambda v: v.ask(v.call("plain", *(f"X-{n}: y" for n in range(130))))),
    "HTTP/3.0": ([505], lambda v: v.ask(v.call(line="POST /v1/chat/completions HTTP/3.0"))),
    # Clients that leave
    "left in mid-stream": ([], lambda v: v.leave("left", b"two ", stream=True)),
    "left before the answer": ([], lambda v: v.leave("left-before", None)),
    "left, and drained": ([], lambda v: v.leave("drained", b"role", stream=True)),
}  # fmt: skip
SIZE = f"Content-Length: {len(BODY)}"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
ODD_LINES: dict[str, tuple[str, ...]] = {
    "length with zeros": (f"Content-Length: 00{len(BODY)}",), "length with "
    "spaces": (f"Content-Length:  {len(BODY)}  ",),
    "length without a space": (f"Content-Length:{len(BODY)}",), "length with a "
    "sign": (f"Content-Length: +{len(BODY)}",),
    "length below zero": ("Content-Length: -5",), "length as a list": (f"Content-Length: {len(BODY)}, {len(BODY)}",),
    "length twice alike": (SIZE, SIZE), "length of many digits": ("Content-Length: " + "9" * 30,),
    "length in hex": ("Content-Length: 0x10",),
    "length of nothing": ("Content-Length:",), "length after a tab": (f"Content-Length:\t{len(BODY)}",),
    "lower case": (SIZE.lower(),), "space before the colon": (SIZE.replace(":", " :"),), "no colon": ("Garbage", SIZE),
    "no name": (": x", SIZE), "strange name": ("X@Y: z", SIZE), "name with a space": ("X Y: z", SIZE),
    "NUL": ("X: a\0b", SIZE),
    "control byte": ("X: a\x01b", SIZE), "DEL": ("X: a\x7fb", SIZE), "high byte": ("X: a\xffb", SIZE),
    "high byte in a name": ("X\xff: a", SIZE),
    "bare CR": ("X: a\rb", SIZE), "empty value": ("X:", SIZE), "value of spaces": ("X:   ", SIZE), "first line "
    "folded": (" X: y", SIZE),
    "tab in a value": ("X: a\tb", SIZE), "form feed at the end": ("X: a\x0c", SIZE), "underscore": ("Content_Length: "
    "5", SIZE),
    "close among others": ("Connection: keep-alive, close", SIZE), "close in capitals": ("Connection: CLOSE", SIZE),
    "connection names a header": ("Connection: content-length", SIZE), "connection twice": ("Connection: "
    "x", "Connection: close", SIZE),
    "expect, but sent": ("Expect: 100-continue", SIZE), "expect in capitals": ("Expect: 100-CONTINUE", SIZE),
    "expect else": ("Expect: x", SIZE),
    "a trailer promised": ("Trailer: X-Sum", SIZE), "te": ("TE: trailers", SIZE), "empty upgrade": ("Upgrade: ", SIZE),
    "identity": ("Content-Encoding: identity", SIZE), "host of nothing": ("X: y", SIZE),
}  # fmt: skip
"""Heads of a call whose body comes with its length, right behind."""
ODD_CODINGS = (
    "chunked",
    "Chunked",
    " chunked ",
    "chunked,",
    "gzip, chunked",
    "chunked, gzip",
    "gzip",
    "identity",
    "",
    "chunked;a=b",
    "xchunked",
)
ODD_TARGETS = ("/v1/chat/completions#x", "/v1/chat/completions?a=\xff", "/v1/chat/completions?", "*", "x",
               "/v1/../v1/chat/completions",
               "//v1/chat/completions//", "/v1/chat/completions ", "/v1/chat/com\xffpletions", "/v1/chat/completions;x",
               "")  # fmt: skip
for name, lines in ODD_LINES.items():
    CASES[f"odd: {name}"] = ([], lambda v, lines=lines: v.to_the_end(v.head(*lines) + BODY))  # type: ignore[misc]
for coding in ODD_CODINGS:
    CASES[f"odd coding: {coding!r}"] = (
        [],
        lambda v, coding=coding: v.to_the_end(v.head(f"Transfer-Encoding: {coding}") + CHUNKS),
    )  # type: ignore[misc]
for target in ODD_TARGETS:
    line = f"POST {target} HTTP/1.1"
    CASES[f"odd target: {target!r}"] = ([], lambda v, line=line: v.to_the_end(v.call(line=line)))  # type: ignore[misc]
for line in (
    "post /v1/chat/completions HTTP/1.1", "PUT /v1/chat/completions HTTP/1.1", "POST  /v1/chat/completions HTTP/1.1",
    "POST\t/v1/chat/completions\tHTTP/1.1", "POST /v1/chat/completions http/1.1", "POST /v1/chat/completions HTTP/1.2",
    "POST /v1/chat/completions HTTP/2.0", "POST /v1/chat/completions HTTP/1.1 ", "POST /v1/chat/completions",
    "\r\n\r\nPOST / HTTP/1.1", "\r\nPOST /v1/chat/completions HTTP/1.1", "POST /v1/chat/completions HTTP/01.1",
    "POST /v1/chat/completions HTTP/0.9", "POST /v1/chat/completions  HTTP/1.1", "POST "
    "/v1/chat/completions\x0bHTTP/1.1",
):  # fmt: skip
    CASES[f"odd line: {line!r}"] = ([], lambda v, line=line: v.to_the_end(v.call(line=line)))  # type: ignore[misc]
for host in ("Host:", "Host: x y", "Host: x,y", "HOST: x", "Host: x\r\nhost: x", "Host: \xff", "Host:x"):
    CASES[f"odd {host!r}"] = ([], lambda v, host=host: v.to_the_end(v.head(SIZE, host=host) + BODY))  # type: ignore[misc]
for ending in (b"0\r\nX: y\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"00000\r\n\r\n", b"0 \r\n\r\n", b"0;x\r\n\r\n",
               b"0\n\n",
               b"0\r\n\n", b"0\r\nX y\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0x0\r\n\r\n", b"+0\r\n\r\n", b"0\r\nX: "
               b"y\n\r\n"):  # fmt: skip
    CASES[f"odd last chunk: {ending!r}"] = ([], lambda v, ending=ending: v.to_the_end(chunked(v, BODY, ending=ending)))  # type: ignore[misc]
for extension in (
    b";",
    b"; a",
    b" ;a=b",
    b';a="b;c"',
    b" ",
    b"\t",
    b";\xff",
    b";a\rb",
    b";a\nb",
    b"L",
    b";" + b"a" * 20_000,
):
    sent = f"odd chunk extension: {extension[:9]!r}"
    CASES[sent] = ([], lambda v, extension=extension: v.to_the_end(chunked(v, BODY, extension=extension)))  # type: ignore[misc]
for model in (*(name for name in SCRIPTS if name.startswith(("bad-", "over-"))), "unreachable"):
    for stream in (False, True):
        word = f"{model}, streamed" if stream else model
        CASES[word] = ([], lambda v, model=model, stream=stream: v.ask(v.call(model, stream=stream)))  # type: ignore[misc]
for model in (
    "cut",
    "cut-reset",
    "cut-length",
    "stalled",
    "error-event",
    "bytewise",
    "crlf",
    "close-framed",
    "no-done",
    "closing",
):
    CASES[f"{model}, streamed"] = ([200], lambda v, model=model: v.ask(v.call(model, stream=True)))  # type: ignore[misc]
for model in ("cut", "cut-reset", "closing", "bytewise", "close-framed"):
    CASES[model] = ([], lambda v, model=model: v.ask(v.call(model)))  # type: ignore[misc]


# ---- one House for each way ----

TIMES = {"request_id", "created_at_us", "latency_ms", "at_us", "ref"}


def visit(house: House) -> dict[str, list[Any]]:
    """All calls on one House: what was answered, by case; and what stands in its books and in the upstream's memory."""
    there = Visit(house, house.account("100"), house.account("0.00001"), house.account(models="plain"))
    for name, (_, case) in CASES.items():
        try:
            there.said[name] = case(there)
        except (AssertionError, OSError) as fault:
            there.said[name] = [f"{type(fault).__name__}: {fault}"]
    house.settle_down()
    own = {"host", "x-ftgate-hops"}  # each gateway has others
    # In an order of their own: of two that are on their way at once either may come first.
    there.said["upstream"] = sorted(
        (
            (seen["path"], sorted(header for header in seen["headers"] if header[0] not in own), seen["json"])
            for seen in house.fake.state()["requests"]
        ),
        key=repr,
    )
    assert house.process.terminate() == 0
    with sqlite3.connect(house.data / "ftgate.sqlite3") as books:
        books.row_factory = sqlite3.Row
        for table in ("entries", "requests", "balances", "spent"):
            rows = [dict(row) for row in books.execute(f"SELECT * FROM {table} ORDER BY 1")]
            there.said[table] = [
                {name: _settled(name, value) for name, value in row.items() if name not in TIMES} for row in rows
            ]
    books.close()
    return there.said


def _settled(name: str, value: Any) -> Any:
    """A column without the times in it, and without a transport's own words for what is no HTTP."""
    if name == "tries" and value:
        return [[*one[:4], bool(one[5:])] for one in json.loads(value)]
    return value if name != "first_token_ms" else value is not None


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, list[Any]]]:
    """What the calls of one way gave; made when first asked for."""
    made: dict[str, dict[str, list[Any]]] = {}

    def of(way: str) -> dict[str, list[Any]]:
        if way not in made:
            with House(tmp_path_factory.mktemp("ways"), CONFIG, SCRIPTS, way=WAYS[way]) as house:
                made[way] = visit(house)
        return made[way]

    return of


REFERENCE = "fast+direct"


def test_the_answers_are_right(visits: Any) -> None:
    """Of the first way: else all could be alike because all are wrong."""
    said = visits(REFERENCE)
    for name, (expected, _) in CASES.items():
        assert not [answer for answer in said[name] if not isinstance(answer, Said)], (name, said[name])
        if expected:
            assert [answer.status for answer in said[name]] == expected, (name, said[name])
    assert len(said["requests"]) > 100 and len(said["entries"]) > 200 and len(said["upstream"]) > 100


@pytest.mark.parametrize("way", [way for way in WAYS if way != REFERENCE])
def test_every_way_is_alike(visits: Any, way: str) -> None:
    expected, found = visits(REFERENCE), visits(way)
    assert found.keys() == expected.keys()
    differing = [name for name in expected if found[name] != expected[name]]
    for name in differing:
        for one, other in zip(expected[name], found[name], strict=False):
            assert other == one, f"{name}, the first of {differing}"
        assert len(found[name]) == len(expected[name]), f"{name}, the first of {differing}"
