"""Tools of free text (custom tools, in OpenAI's words): what a model writes for one is a text of any kind, or of a
grammar. Models of other dialects call functions alone, so such a tool goes up as a function of one text, `input`, and
its calls come back as calls of what the caller declared.
"""

import msgspec

from ftgate.dialects.fields import dumps, loads

SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)
_WHOLE = "Put the whole text into `input`."


def described(description: str, *, syntax: str = "", grammar: str = "") -> str:
    """What the function says of itself. A grammar is told, since nobody can hold the model to it."""
    told = f"`input` must follow this grammar ({syntax}):\n{grammar}" if grammar else ""
    return "\n\n".join(text for text in (description, _WHOLE, told) if text)


def arguments_of(text: str) -> str:
    """The arguments of the function with which a model gave this text."""
    return dumps({"input": text}).decode()


def input_of(arguments: str) -> str:
    """The text in a call's arguments; these themselves, where a model has written something else."""
    try:
        said = loads(arguments.encode(errors="surrogatepass"))
    except ValueError:
        return arguments
    held = said.get("input") if isinstance(said, dict) else None
    return held if isinstance(held, str) else arguments
