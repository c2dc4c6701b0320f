"""Who calls in a history: clients of each dialect, while every channel chats. The auditor thinks of each call in chat's
words; here stands what else its client must say, and what the end of a whole stream looks like to it.
"""

from typing import Any, NamedTuple


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
