"""Rounds of calls in a messages request: what the calls of a turn brought stands right behind that turn, in the order
of the calls, as other dialects demand.

Here turns of one side that follow each other count as one, so the calls of a round may stand in several, and so may
what they brought, with other things said before and between. Who sends a call without its result, or a result without
its call, is told so in Anthropic's own words, which clients know: no upstream takes half a round.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from ftgate.dialects.neutral import ToolResult, ToolUse, Turn
from ftgate.errors import InvalidRequest


def in_rounds(turns: Iterable[Turn]) -> Iterator[Turn]:
    """The turns with their rounds in order. Raises InvalidRequest for half a round."""
    calls: list[ToolUse] = []
    path = ""
    for is_model, group in groupby(turns, key=lambda turn: turn.role == "assistant"):
        side = list(group)
        if is_model:
            calls = [part for turn in side for part in turn.parts if isinstance(part, ToolUse)]
            path = side[-1].path
            parts = tuple(part for turn in side for part in turn.parts)
            yield from (Turn("assistant", parts, side[0].path),) if calls else side
        else:
            yield from _answered(calls, path, side)
            calls = []
    _brought(calls, path, ())


def _answered(calls: list[ToolUse], path: str, side: list[Turn]) -> Iterator[Turn]:
    """What was said behind the calls that stand at `path`: first what they brought."""
    results = [part for turn in side for part in turn.parts if isinstance(part, ToolResult)]
    if not (calls or results):
        yield from side
        return
    yield Turn("user", tuple(_brought(calls, path, results)), side[0].path)
    for turn in side:
        if others := tuple(part for part in turn.parts if not isinstance(part, ToolResult)):
            yield msgspec.structs.replace(turn, parts=others)


def _brought(calls: list[ToolUse], path: str, results: Iterable[ToolResult]) -> list[ToolResult]:
    """The results of these calls, one for each. Some servers call two calls alike: each gets one then; what was told
    twice of one call is one result."""
    left: dict[str, list[ToolResult]] = {}
    for result in results:
        left.setdefault(result.id, []).append(result)
    found = [its.pop(0) for call in calls if (its := left.get(call.id))]
    if len(found) < len(calls):
        known = {result.id for result in found}
        ids = ", ".join(dict.fromkeys(call.id[:100] for call in calls if call.id not in known)) or calls[-1].id[:100]
        raise InvalidRequest(
            f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each `tool_use` "
            "block must have a corresponding `tool_result` block in the next message.",
            param=path,
        )
    places = {result.id: at for at, result in enumerate(found)}
    for more in (one for its in left.values() for one in its):
        at = places.get(more.id)
        if at is None:
            raise InvalidRequest(
                f"{more.path}: unexpected `tool_use_id` found in `tool_result` blocks: {more.id[:100]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                param=f"{more.path}.tool_use_id",
            )
        both = found[at].parts + more.parts
        found[at] = msgspec.structs.replace(found[at], parts=both, failed=found[at].failed or more.failed)
    return found
