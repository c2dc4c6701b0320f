"""Who calls in a history: clients of each dialect, while every channel chats. The auditor thinks of each call in chat's
words; here stands what else its client must say, and what the end of a whole stream looks like to it.
"""

from typing import Any, NamedTuple

from ftgate.core.pricing import Price
from ftgate.core.routing import Channel, Model, Timeouts
from ftgate.ports import Taker
from tests.fakes.ports import addresses


class Caller(NamedTuple):
    """`fields` are the names of chat's fields in the dialect, `end` stands in the last event of a whole stream alone;
    `shows_cost`: a stream always tells its usage, with the cost."""

    dialect: str
    fields: dict[str, str]
    end: bytes
    shows_cost: bool = False

    def words(self, body: dict[str, Any]) -> dict[str, Any]:
        """What is asked, in this dialect."""
        return {self.fields.get(name, name): value for name, value in body.items()}


CHAT = Caller("openai_chat", {}, b"data: [DONE]")
MESSAGES = Caller("anthropic_messages", {}, b"event: message_stop")
RESPONSES = Caller(
    "openai_responses",
    {"messages": "input", "max_tokens": "max_output_tokens"},
    b"event: response.completed",
    shows_cost=True,
)
CALLERS = (CHAT, CHAT, MESSAGES, RESPONSES)

PROVIDER = "acme"
"""Who takes the keys of callers."""
FREE = Price(0, 0, 0, 0, 0)
_KNOWN = {
    "small": Model("small", "small-there", FREE, context=4096, max_output=64),
    "large": Model("large", "large-there", FREE, context=131_072, max_output=4096),
}
_TIMES = Timeouts(connect=2, head=5, answer=20, first_token=8, idle=6, total=60)


def _brought(models: dict[str, Model]) -> Channel:
    where = addresses("http://acme.invalid", "openai_chat")
    return Channel(f"byok:{PROVIDER}", PROVIDER, where, (), models, timeouts=_TIMES)


TAKER = Taker(_brought(_KNOWN), Model("", "", FREE))
BROUGHT = _brought({**_KNOWN, "nothing": Model("nothing", "nothing", FREE)})
"""The same, with the name that only the provider knows."""
