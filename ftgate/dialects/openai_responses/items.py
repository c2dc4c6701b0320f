"""Input items as turns of a conversation.

A run of the assistant's items (messages, reasoning, calls) is one turn, whatever their order. What a call brought is
put right behind the turn that holds the call, in the order of that turn's calls, wherever it stood: clients put it at
the end, in reverse, or with messages in between, and other dialects demand that it follows. What was called, and what
came of it, must both be there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from ftgate.dialects import free
from ftgate.dialects.fields import Fields, typed
from ftgate.dialects.neutral import (
    Document,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.dialects.openai_chat.turns import object_text
from ftgate.dialects.openai_responses import envelope
from ftgate.dialects.openai_responses.parts import parts_of
from ftgate.dialects.openai_responses.tools import Tools
from ftgate.errors import InvalidRequest

_SAYS_NOTHING = frozenset(
    ("additional_tools", "configuration_update", "web_search_call", "file_search_call", "code_interpreter_call",
     "image_generation_call", "computer_call", "computer_call_output", "mcp_call", "mcp_list_tools",
     "mcp_approval_request", "mcp_approval_response", "program", "program_output", "tool_search_call",
     "tool_search_output")
)  # fmt: skip
"""Items that are read elsewhere, or that only tell of what a provider did: what came of it stands in the text."""
_OF_TOOLS = frozenset(
    ("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
     "apply_patch_call_output")
)  # fmt: skip
"""Calls of tools that only models of this dialect's upstreams know."""


class Side(msgspec.Struct):
    """A turn while its items come."""

    role: str
    path: str
    parts: list[Part] = []
    calls: list[str] = []  # ids, in order


class Conversation:
    """Reads items, in order. `system` are the texts that lead."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.system: list[Text] = []
        self.sides: list[Side] = []
        self.results: dict[str, list[ToolResult]] = {}  # by call: some give several calls one id
        self._open: Side | None = None  # the assistant's turn that goes on
        self._readers: Mapping[str, Callable[[Fields, str], None]] = {
            "message": self._message,
            "reasoning": self._reasoning,
            "function_call": self._call,
            "custom_tool_call": self._call,
            "function_call_output": self._output,
            "custom_tool_call_output": self._output,
        }

    def read(self, items: Iterable[Fields]) -> None:
        """Raises InvalidRequest for an item that cannot be said in another dialect."""
        for index, item in enumerate(items):
            path = f"input.{index}"
            kind = typed(item, "type", str, "an item's type", path=f"{path}.type")
            if kind is None and "role" in item:
                kind = "message"
            if (reader := self._readers.get(kind or "")) is not None:
                reader(item, path)
            elif kind in _OF_TOOLS:
                words = "is a call of a tool that only OpenAI's models know; declare a function in its place"
                raise InvalidRequest(f"`{path}.type`: {kind} {words}", param=f"{path}.type")
            elif kind not in _SAYS_NOTHING:
                raise InvalidRequest(f"`{path}.type`: there are no items of type {kind!r} here", param=f"{path}.type")

    def turns(self) -> tuple[Turn, ...]:
        """All turns, once all items are read. Raises InvalidRequest for a call without an output, or an output without
        a call."""
        turns = tuple(self._turns())
        for id, left in self.results.items():
            if left:
                words = f"No tool call found for function call output with call_id {id}."
                raise InvalidRequest(words, param="input")
        return turns

    def _turns(self) -> Iterator[Turn]:
        for side in self.sides:
            parts = _thinking_first(side.parts)
            match side.role:
                case "assistant":
                    yield Turn("assistant", parts, side.path)
                case "system":
                    yield Turn("system", parts, side.path)
                case _:
                    yield Turn("user", parts, side.path)
            if side.calls:
                yield Turn("user", tuple(self._result(id) for id in side.calls), side.path)

    def _result(self, id: str) -> ToolResult:
        left = self.results.get(id)
        if not left:
            raise InvalidRequest(f"No tool output found for function call {id}.", param="input")
        return left.pop(0)

    # One item each

    def _assistant(self, path: str) -> Side:
        if self._open is None:
            self._open = Side("assistant", path)
            self.sides.append(self._open)
        return self._open

    def _say(self, role: str, path: str, parts: Iterable[Part]) -> None:
        self._open = None
        self.sides.append(Side(role, path, list(parts)))

    def _message(self, item: Fields, path: str) -> None:
        role = typed(item, "role", str, "a role", path=f"{path}.role")
        parts = parts_of(item, "content", path)
        if role == "assistant":
            if not all(isinstance(part, (Text, Refusal)) for part in parts):
                words = "an assistant's message holds text alone; put the rest into a user's message"
                raise InvalidRequest(f"`{path}.content`: {words}", param=f"{path}.content")
            self._assistant(path).parts += parts
        elif role in ("system", "developer"):
            texts = [part for part in parts if isinstance(part, Text)]
            if len(texts) != len(parts):
                words = f"a {role} message holds text alone; put the rest into a user message"
                raise InvalidRequest(f"`{path}.content`: {words}", param=f"{path}.content")
            if self.sides:
                self._say("system", path, texts)
            else:
                self.system += texts
        elif role == "user":
            self._say("user", path, parts)
        else:
            raise InvalidRequest(f"`{path}.role` is one of user, assistant, system, developer", param=f"{path}.role")

    def _reasoning(self, item: Fields, path: str) -> None:
        content = typed(item, "encrypted_content", str, "a text", path=f"{path}.encrypted_content")
        self._assistant(path).parts += envelope.opened(content or "")

    def _call(self, item: Fields, path: str) -> None:
        def text(name: str) -> str:
            return typed(item, name, str, "a text", path=f"{path}.{name}") or ""

        id, own = text("call_id") or text("id"), text("name")
        for name, value in (("call_id", id), ("name", own)):
            if not value:
                raise InvalidRequest(f"`{path}.{name}` is missing", code="missing_field", param=f"{path}.{name}")
        is_free = text("type") == "custom_tool_call"
        arguments = free.arguments_of(text("input")) if is_free else object_text(text("arguments"))
        side = self._assistant(path)
        side.parts.append(ToolUse(id, self.tools.called(text("namespace"), own, is_free=is_free), arguments))
        side.calls.append(id)

    def _output(self, item: Fields, path: str) -> None:
        parts = parts_of(item, "output", path)
        id = typed(item, "call_id", str, "a text", path=f"{path}.call_id")
        name = typed(item, "name", str, "a text", path=f"{path}.name") or ""
        if not id:  # Codex's desktop client tells so of what it called by itself
            self._say("user", path, (Text(f"Output of tool {name}:" if name else "Output of a tool:"), *parts))
            return
        self._open = None
        shown = tuple(part for part in parts if isinstance(part, (Text, Image, Document)))
        if len(shown) != len(parts):
            raise InvalidRequest(f"`{path}.output` holds texts, pictures and files", param=f"{path}.output")
        self.results.setdefault(id, []).append(ToolResult(id, shown, name=name, path=path))


def _thinking_first(parts: list[Part]) -> tuple[Part, ...]:
    """A turn's parts in their order, unless thinking stands among them that does not lead: it leads then."""
    if not parts or isinstance(parts[0], Thinking):
        return tuple(parts)
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    return (*thoughts, *(part for part in parts if not isinstance(part, Thinking)))
