"""Which tools a caller may declare, by what using them means.

A tool that the caller runs is his own business. One that the provider runs is paid by the call beside the tokens, and
reads data that lies there: nothing of it goes up. Agents add some of these by themselves, and a model that is not told
of them works without them, so those are left out; the others are somebody's explicit wish, and are refused.
"""

from collections.abc import Mapping

import msgspec

from ftgate.dialects.fields import Fields, anything, dumps, refuse_disguised, typed
from ftgate.errors import InvalidRequest

DECLARED = frozenset(("function", "custom"))
"""Tools with a shape of their own, which any model can be told."""
NAMESPACE = "namespace"
_ADDED = frozenset(("image_generation", "programmatic_tool_calling"))
_SEARCH = "tool_search"
_KNOWN_THERE = frozenset(("local_shell", "apply_patch", "computer", "computer_use_preview", "computer_use"))
"""Tools that the caller runs, and that only models of this dialect's upstreams know."""


def is_added(kind: str) -> bool:
    """Whether agents add this tool by themselves, and its calls are paid one by one."""
    return kind in _ADDED or kind.startswith("web_search")


def left_out(kind: str) -> bool:
    """Whether a model of another dialect is not told of this tool, and works without it."""
    return is_added(kind) or kind == _SEARCH


def refusal(kind: str, path: str) -> InvalidRequest:
    words = "is run by OpenAI or known to its models only; declare a function in its place"
    return InvalidRequest(f"`{path}.type`: the tool {kind[:100]!r} {words}", param=f"{path}.type")


def check_tools(tools: object, path: str) -> None:
    """`tools` is what stands there, read. Raises InvalidRequest for what is no list of tools, and for a tool that can
    go up to nobody."""
    if not isinstance(tools, list):
        raise InvalidRequest(f"`{path}` must be a list of tools", param=path)
    for index, tool in enumerate(tools):
        place = f"{path}.{index}"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(kind, str):
            raise InvalidRequest(f"`{place}` must be a tool with a `type`", param=f"{place}.type")
        refuse_disguised(tool, f"{place}.")
        if kind == NAMESPACE:
            check_tools(tool.get("tools"), f"{place}.tools")
        elif not (kind in DECLARED or left_out(kind) or kind in _KNOWN_THERE or _is_local(tool)):
            raise refusal(kind, place)


def _is_local(tool: Mapping[str, object]) -> bool:
    """Whether it is a shell at the caller's; elsewhere it runs in a container that costs."""
    environment = tool.get("environment")
    return tool.get("type") == "shell" and isinstance(environment, dict) and environment.get("type") == "local"


def tools_of(holder: Mapping[str, msgspec.Raw], path: str) -> list[Fields]:
    """The list under `tools` of what stands at this path. Raises InvalidRequest."""
    return typed(holder, "tools", list[Fields], "a list of tools", path=f"{path}.tools" if path else "tools") or []


def without_added(tools: list[Fields]) -> list[Fields]:
    """Checked tools as an upstream of this dialect gets them, without those that are paid by the call. Of a name that
    stands twice in one of them, what was read here goes up."""
    kept: list[Fields] = []
    for tool in tools:
        kind = typed(tool, "type", str, "a tool's type")
        if kind == NAMESPACE:
            tool = {**tool, "tools": msgspec.Raw(msgspec.json.encode(without_added(tools_of(tool, ""))))}
        if "environment" in tool:  # where it runs says what it costs
            tool = {**tool, "environment": msgspec.Raw(dumps(anything.decode(tool["environment"])))}
        if not is_added(kind or ""):
            kept.append(tool)
    return kept
