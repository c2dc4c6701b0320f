"""What of a channel does not come back to a caller in its upstream's words."""

import pytest

from ftgate.core.routing import Candidate
from ftgate.core.secret import Secret
from ftgate.line.words import conceal
from tests.fakes.ports import addresses, channel

CHANNEL = channel(
    addresses=addresses("https://private-host.example:8443/v1"),
    headers={"x-project": "atlas-secret"},
    query={"token": "tök en/1"},
    proxy="http://proxy-user:pw@proxy-host.example:3128",
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


@pytest.mark.parametrize("words", ["", "the model m is overloaded", "x-project is missing"])
def test_what_stays(words: str) -> None:
    assert conceal(words, CANDIDATE) == words
