"""What of a channel does not come back to a caller in its upstream's words."""

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from trio.testing import MockClock

from ftgate.core.routing import Candidate, Reach
from ftgate.core.secret import Secret
from ftgate.line.call import Tried
from ftgate.line.words import conceal, upstream_id
from ftgate.ports import Headers
from tests.fakes.ports import ScriptedUpstream, Stage, addresses, channel
from tests.line.transcript import PLAIN, STREAM, ask, delta, status

CHANNEL = channel(
    addresses=addresses("https://private-host.example:8443/v1"),
    headers={"x-project": "atlas-secret"},
    query={"token": "tök en/1"},
    reach=Reach(proxy="http://proxy-user:pw@proxy-host.example:3128"),
)
CANDIDATE = Candidate(
    CHANNEL, CHANNEL.addresses["openai_chat"], Secret("any shape of credential"), next(iter(CHANNEL.models.values()))
)


@pytest.mark.parametrize(
    "secret",
    [
        "any shape of credential",
        "atlas-secret",
        "tök en/1",
        "t%C3%B6k%20en%2F1",
        "private-host.example:8443",
        "private-host.example",
        "proxy-user:pw@proxy-host.example:3128",
        "proxy-host.example",
    ],
)
def test_what_is_taken_out(secret: str) -> None:
    assert conceal(f"refused: {secret}!", CANDIDATE) == "refused: [redacted]!"


@pytest.mark.parametrize(
    "spelt",
    [
        "Any Shape Of CREDENTIAL",
        "any%20shape%20of%20credential",
        "any\\u0020shape\\u0020of\\u0020credential",
        "".join(f"\\u{ord(char):04X}" for char in "any shape of credential"),
        "".join(f"&#{ord(char)};" for char in "any shape of credential"),
        "&#x61;ny shape of credential",
        "any shape",  # cut by whoever cut the answer
        "any shape of credentia",
        "any%20shape%20of",
    ],
)
def test_however_the_credential_is_spelt(spelt: str) -> None:
    assert conceal(f"refused: {spelt}!", CANDIDATE) == "refused: [redacted]!"
    assert conceal(f"50% of [{spelt}] & {spelt}", CANDIDATE) == "50% of [[redacted]] & [redacted]"


KEYS = "plum-Q7w8/e9R0+t1=", 'quo"te\\back\\slash"1', "amp&lt;<x>'y'z", "a" * 30


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "spell",
    [
        str, lambda key: json.dumps(key)[1:-1], lambda key: json.dumps(json.dumps(key))[3:-3],
        lambda key: json.dumps(key)[1:-1].replace("/", "\\/"), quote, lambda key: quote(key, safe=""), html.escape,
        str.upper,
    ],
)  # fmt: skip
def test_a_key_of_any_characters(key: str, spell: Callable[[str], str]) -> None:
    here = msgspec.structs.replace(CANDIDATE, credential=Secret(key))
    assert conceal(f"({spell(key)})", here) == "([redacted])"


@pytest.mark.parametrize("words", ["", "the model m is overloaded", "x-project is missing", "any sha", "50% &amp; \\"])
def test_what_stays(words: str) -> None:
    assert conceal(words, CANDIDATE) == words


WORDS = "any shape of credential is not known to private-host.example"
ERROR = b'data: {"error":{"message":"%s"}}\n\n' % WORDS.encode()


@pytest.mark.parametrize(
    ("script", "stream"),
    [
        (status(400, WORDS), False),
        (status(400, WORDS), True),
        ([PLAIN, b'{"error":{"message":"%s","code":400}}' % WORDS.encode()], False),
        ([STREAM, ERROR], True),
        ([STREAM, delta("a"), ERROR], True),
        ([STREAM, delta("a"), ERROR], False),
    ],
)
async def test_it_is_taken_out_wherever_an_upstream_says_it(
    script: list[Any], stream: bool, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    way = channel(addresses=CHANNEL.addresses, credentials=(CANDIDATE.credential,), timeouts=CHANNEL.timeouts)
    stage = Stage(ScriptedUpstream(*[script] * 3), way)
    client = await stage.relay(ask(stream=stream))
    told = f"{client.body.decode()} {caplog.text}"
    assert "[redacted] is not known to [redacted]" in told
    assert "any shape of credential" not in told and "private-host" not in told


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ([(b"content-type", b"x"), (b"x-request-id", b"req_1:a/B+c=.2")], "req_1:a/B+c=.2"),
        ([(b"request-id", b"req_011C")], "req_011C"),
        ([(b"x-ds-trace-id", b"3f2a")], "3f2a"),
        ([(b"x-request-id", b"")], ""),
        ([(b"x-request-id", b"a b")], ""),
        ([(b"x-request-id", b"<script>")], ""),
        ([(b"x-request-id", "ö".encode())], ""),
        ([(b"x-request-id", b"a" * 129)], ""),
        ([(b"x-request-id", b"for-sk-key-of-ours")], ""),
        ([(b"x-other", b"req_1")], ""),
        ([], ""),
    ],
)
def test_an_upstream_s_id_is_kept_as_it_is_or_not_at_all(headers: Headers, known: str) -> None:
    tried = Tried(msgspec.structs.replace(CANDIDATE, credential=Secret("sk-key-of-ours")))
    tried.head = headers
    assert upstream_id(tried) == known
