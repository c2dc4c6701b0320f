"""What a provider wants of a request and a table cannot say. Each is a pure function over the fields of a request that
is about to be written (core.habits), named in the provider's TOML.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.habits import Quirk

_Fields = dict[str, msgspec.Raw]
_messages = msgspec.json.Decoder(list[_Fields])
_NOTHING = (b"", b"null", b'""')
_CALLS = b'"tool_calls"'
_THOUGHT = "reasoning_content"
SPACE = msgspec.Raw(b'" "')
"""The shortest thought that is taken for one: an empty text is not."""


def blank_thoughts(fields: dict[str, object]) -> None:
    """Chat: once a conversation has calls of tools in it, every turn of the assistant needs its `reasoning_content`,
    even where its model thought nothing or the client did not keep it; without it the call is refused ("must be passed
    back", "is missing in assistant tool call message"). A turn that has none gets a blank. Not where thinking is off.
    Sources: DeepSeek's "Thinking Mode", Moonshot's error texts in opencode issue 10996 and kimi-cli pull request 2498.
    """
    said = fields.get("messages")
    raw = said if isinstance(said, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(said))
    if _CALLS not in bytes(raw) or _is_off(fields.get("thinking")):
        return
    try:
        messages = _messages.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # the upstream's to refuse
    turns = [message for message in messages if bytes(message.get("role", b"")) == b'"assistant"']
    lacking = [turn for turn in turns if bytes(turn.get(_THOUGHT, b"")) in _NOTHING]
    if lacking and any(bytes(turn.get("tool_calls", b"")) not in (*_NOTHING, b"[]") for turn in turns):
        for turn in lacking:
            turn[_THOUGHT] = SPACE
        fields["messages"] = messages


def _is_off(thinking: object) -> bool:
    """Whether a request's `thinking` says that there is to be none."""
    raw = bytes(thinking) if isinstance(thinking, msgspec.Raw) else msgspec.json.encode(thinking)
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("type") == "disabled"


def no_thoughts(fields: dict[str, object]) -> None:
    """A name that stood for answers without thinking, at a model that thinks by default: it thinks where the caller
    says so, by `thinking` or an effort, and not by itself, since a small cap would be spent on thoughts.
    Source: DeepSeek's "Thinking Mode"; deepseek-chat had been served without thinking."""
    if not {"thinking", "reasoning_effort", "output_config"} & fields.keys():
        fields["thinking"] = {"type": "disabled"}


QUIRKS: Mapping[str, Quirk] = {"blank_thoughts": blank_thoughts, "no_thoughts": no_thoughts}
"""By the name that a TOML uses."""
