"""The tools of one request under the names that go up, and back.

A caller names a tool by a namespace and a name; the other dialects know one flat name (dialects/names).
"""

import msgspec

from ftgate.dialects import free
from ftgate.dialects.fields import Fields, typed
from ftgate.dialects.names import Names
from ftgate.dialects.neutral import Choice, Tool
from ftgate.dialects.openai_responses import hosted
from ftgate.errors import InvalidRequest

_NONE = "functions"
"""The namespace that means none: Codex's word."""
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_CHOICES = {"auto": Choice("auto"), "none": Choice("none"), "required": Choice("any")}
_WORDS = "is one of auto, none, required, or names a tool that is offered"


class Tools:
    """`offered` and `known` are tools by namespace and name; `known` those that stand in the history alone."""

    def __init__(self) -> None:
        self.offered: dict[tuple[str, str], Tool] = {}
        self.known: dict[tuple[str, str], Tool] = {}
        self._names = Names()

    def offer(self, tools: list[Fields], path: str, space: str = "") -> None:
        """Take tools that are declared at this path. Raises InvalidRequest for one that cannot be told to a model of
        another dialect."""
        for index, tool in enumerate(tools):
            place = f"{path}.{index}"
            kind = typed(tool, "type", str, "a tool's type", path=f"{place}.type") or ""
            if hosted.left_out(kind):
                continue
            if kind == hosted.NAMESPACE:
                self.offer(hosted.tools_of(tool, place), f"{place}.tools", _name(tool, place))
            elif kind in hosted.DECLARED:
                self._declare(tool, space, place, is_free=kind == "custom")
            else:
                raise hosted.refusal(kind, place)

    def _declare(self, tool: Fields, space: str, place: str, *, is_free: bool) -> None:
        own = _name(tool, place)
        pair = _pair(space, own)
        name = self._flat(*pair)
        description = typed(tool, "description", str, "a text", path=f"{place}.description") or ""
        if is_free:
            schema, strict, description = free.SCHEMA, None, _free_description(tool, description, place)
        else:
            given = typed(tool, "parameters", dict[str, msgspec.Raw], "a JSON Schema", path=f"{place}.parameters")
            schema = _NO_PARAMETERS if given is None else tool["parameters"]
            strict = typed(tool, "strict", bool, "true or false", path=f"{place}.strict")
        self.offered[pair] = Tool(
            name, schema, description, strict, own=own if own != name else "", space=space, free=is_free
        )

    def called(self, space: str, own: str, *, is_free: bool) -> str:
        """The name that goes up of a tool that was called in an earlier turn."""
        pair = _pair(space, own)
        tool = self.offered.get(pair) or self.known.get(pair)
        if tool is None:
            name = self._flat(*pair)
            schema = free.SCHEMA if is_free else _NO_PARAMETERS
            tool = Tool(name, schema, own=own if own != name else "", space=space, free=is_free)
            self.known[pair] = tool
        return tool.name

    def _flat(self, space: str, own: str) -> str:
        return self._names.up(f"{space}__{own}" if space else own, f"{space}\0{own}")

    def choose(self, fields: Fields) -> Choice | None:
        """What `tool_choice` means; of tools that it leaves out nothing is told. Raises InvalidRequest."""
        raw = bytes(fields.get("tool_choice", b"null")).lstrip()
        if raw == b"null":
            return None
        if raw.startswith(b"{"):
            wish = typed(fields, "tool_choice", dict[str, object], _WORDS) or {}
            if wish.get("type") == "allowed_tools":
                return self._allow(wish)
            return Choice("tool", self._find(wish).name)
        word = typed(fields, "tool_choice", str, _WORDS) or ""
        choice = _CHOICES.get(word)
        if choice is None:
            raise _no_choice()
        return self._with_tools(choice)

    def _with_tools(self, choice: Choice) -> Choice | None:
        """The choice, where there is anything to choose from."""
        if not self.offered and choice.how == "any":
            raise InvalidRequest("`tool_choice`: no tool is offered that could be called", param="tool_choice")
        return choice if self.offered else None

    def _find(self, wish: dict[str, object]) -> Tool:
        own, space = wish.get("name"), wish.get("namespace")
        if str(wish.get("type")) not in hosted.DECLARED or not isinstance(own, str):
            raise _no_choice()
        if (tool := self.offered.get(_pair(space if isinstance(space, str) else "", own))) is not None:
            return tool
        named = [tool for (_, name), tool in self.offered.items() if name == own and not isinstance(space, str)]
        if len(named) != 1:
            raise _no_choice()
        return named[0]

    def _allow(self, wish: dict[str, object]) -> Choice | None:
        allowed, mode = wish.get("tools"), wish.get("mode", "auto")
        choice = _CHOICES.get(mode) if isinstance(mode, str) else None
        if not isinstance(allowed, list) or choice is None:
            raise _no_choice()
        names: set[str] = set()
        for one in allowed:
            if not isinstance(one, dict):
                raise _no_choice()
            if not hosted.left_out(str(one.get("type"))):
                names.add(self._find(one).name)
        self.known |= {pair: tool for pair, tool in self.offered.items() if tool.name not in names}
        self.offered = {pair: tool for pair, tool in self.offered.items() if tool.name in names}
        return self._with_tools(choice)


def _pair(space: str, own: str) -> tuple[str, str]:
    return ("" if space == _NONE else space), own


def _name(tool: Fields, place: str) -> str:
    name = typed(tool, "name", str, "a text", path=f"{place}.name")
    if not name:
        raise InvalidRequest(f"`{place}.name` is missing", code="missing_field", param=f"{place}.name")
    return name


def _free_description(tool: Fields, description: str, place: str) -> str:
    """What is said of a tool of free text: the grammar that its text follows too, since no schema can say that."""
    format = typed(tool, "format", dict[str, object], "an object", path=f"{place}.format") or {}
    grammar = format.get("definition")
    syntax = str(format.get("syntax") or "lark")
    return free.described(description, syntax=syntax, grammar=grammar if isinstance(grammar, str) else "")


def _no_choice() -> InvalidRequest:
    return InvalidRequest(f"`tool_choice` {_WORDS}", param="tool_choice")
