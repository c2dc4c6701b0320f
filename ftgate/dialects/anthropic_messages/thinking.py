"""How thinking is asked for, by the generation of a model. Older ones take a budget, newer ones an effort and decide
themselves; some in between take both. What a caller of this dialect writes is its own business; what is translated is
put as the model takes it.

Source: public reports of Anthropic's refusals ("thinking.type.enabled" is not supported for this model, use adaptive
and an effort): models from Opus 4.7 on refuse budgets and `disabled`, those up to 4.5 refuse `adaptive`.
"""

import msgspec

from ftgate.dialects.fields import Fields

BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
"""Tokens of thinking that stand for an effort; `_shrink_thinking` keeps them under the cap."""
_LEVELS = ((4096, "low"), (16_384, "medium"))

_fields = msgspec.json.Decoder(Fields)


class _Said(msgspec.Struct):
    type: str = ""
    budget_tokens: int | None = None
    display: str | None = None


class _Output(msgspec.Struct):
    effort: str | None = None


_said = msgspec.json.Decoder(_Said)
_output = msgspec.json.Decoder(_Output)


def as_taken(fields: dict[str, object], kind: str) -> None:
    """Put the thinking that translated fields ask for as a model takes it: `kind` is budget or adaptive."""
    raw = fields.get("thinking")
    if not isinstance(raw, (bytes, msgspec.Raw)):
        return
    said = _said.decode(raw)
    output = fields.get("output_config")
    asked = _fields.decode(output) if isinstance(output, (bytes, msgspec.Raw)) else {}
    effort = _output.decode(output).effort if isinstance(output, (bytes, msgspec.Raw)) else None
    shown = {} if said.display is None else {"display": said.display}
    if kind == "adaptive" and said.type == "enabled":
        _put(fields, {"type": "adaptive", **shown})
        level = next((name for most, name in _LEVELS if (said.budget_tokens or 0) <= most), "high")
        _put_output(fields, asked | {"effort": msgspec.Raw(msgspec.json.encode(effort or level))})
    elif kind == "adaptive" and said.type == "disabled":
        del fields["thinking"]
    elif kind == "budget":
        asked.pop("effort", None)
        _put_output(fields, asked)
        if said.type == "adaptive":
            _put(fields, {"type": "enabled", "budget_tokens": BUDGETS.get(effort or "high", BUDGETS["high"]), **shown})


def _put(fields: dict[str, object], thinking: dict[str, object]) -> None:
    fields["thinking"] = msgspec.Raw(msgspec.json.encode(thinking))


def _put_output(fields: dict[str, object], output: Fields) -> None:
    if output:
        fields["output_config"] = msgspec.Raw(msgspec.json.encode(output))
    else:
        fields.pop("output_config", None)
