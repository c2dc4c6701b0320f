"""How long a Responses prompt is: instructions, input, tools and output format, as an estimate in tokens; images,
audios and files, which text does not measure, as numbers.

Base64 is never taken for text. Thinking that is sent back counts by its text where the envelope is ours, by its length
where an upstream sealed it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ftgate.core import estimate
from ftgate.dialects.content import field_kind, kind_of, leaves, written
from ftgate.dialects.fields import Fields, anything
from ftgate.dialects.openai_responses import envelope
from ftgate.errors import InvalidRequest

SEALED_PER_TOKEN = 4
"""Characters of what a provider sealed that stand for a token of thinking."""
_NO_PROMPT = frozenset(
    ("input", "instructions", "model", "models", "routing", "stream", "stream_options", "max_output_tokens", "metadata",
     "temperature", "top_p", "user", "store", "include", "service_tier", "safety_identifier", "prompt_cache_key",
     "prompt_cache_options", "prompt_cache_retention", "client_metadata", "reasoning", "truncation", "tool_choice",
     "context_management", "background_options", "parallel_tool_calls")
)  # fmt: skip
"""Fields that nobody puts before the model as tokens, and those that are looked into by themselves."""
_NAMES = frozenset(("type", "id", "status", "role", "call_id", "phase"))
"""Fields of an item that say what it is."""
_LISTS = frozenset(("content", "output", "summary"))
_READ = frozenset(("content", "output", "arguments", "input", "name", "namespace"))
"""Texts of an item that a model reads as they are, should they begin like a picture or not."""
_SCREEN = "screenshot"


class Prompt(msgspec.Struct, gc=False):
    """What a request holds, while it is looked through."""

    texts: list[str] = []
    pieces: int = 0  # each costs something, whatever is in it
    sealed: int = 0  # characters
    image: int = 0
    audio: int = 0
    file: int = 0

    def counted(self) -> estimate.Count:
        around = estimate.MESSAGE_TOKENS * self.pieces + estimate.PRIMING_TOKENS
        sealed = -(-self.sealed // SEALED_PER_TOKEN)
        return estimate.text("".join(self.texts)) + estimate.tokens(around + sealed)

    def _medium(self, kind: str) -> None:
        if kind == "image":
            self.image += 1
        elif kind == "audio":
            self.audio += 1
        elif kind == "file":
            self.file += 1

    def take(self, name: str, value: object) -> None:
        """Text, media and seals of a value that stands in a field of this name."""
        for leaf in leaves(value, field_kind(name), name):
            if leaf.kind == "sealed":
                self.take_sealed(leaf.text)
            elif leaf.kind is not None:
                self._medium(leaf.kind)
            elif not leaf.label:
                self.texts.append(leaf.text)

    def take_sealed(self, content: str) -> None:
        if envelope.is_ours(content):
            self.texts += [thought.text for thought in envelope.opened(content)]
            self.sealed += sum(len(thought.sealed) for thought in envelope.opened(content))
        else:
            self.sealed += len(content)

    def take_part(self, part: object) -> None:
        """A part of an item's content: one of its medium where it says that it is one, whatever its bytes or where they
        lie."""
        self.pieces += 1
        told = str(part.get("type")) if isinstance(part, dict) else ""
        kind = "image" if _SCREEN in told else kind_of(told)
        if kind in ("image", "audio", "file"):
            self._medium(kind)
        else:
            self.take("", part)

    def take_item(self, item: Mapping[str, object]) -> None:
        self.pieces += 1
        for name, value in item.items():
            if name in _NAMES or not value:
                continue
            if isinstance(value, str) and name in _READ:
                self.texts.append(value)
            elif name in _LISTS and isinstance(value, (list, dict)):
                for part in value if isinstance(value, list) else (value,):
                    self.take_part(part)
            elif name == "tools":
                self.texts.append(written(value))
            else:  # what it is says what stands in it: a picture that a tool has made
                self.take(name, {"type": item.get("type"), name: value})


def measure(fields: Fields, items: str | Iterable[Mapping[str, object]]) -> Prompt:
    """`items` is the `input`, read. Raises InvalidRequest for other fields that cannot be read."""
    prompt = Prompt()
    if isinstance(items, str):
        prompt.pieces += 1
        prompt.texts.append(items)
    else:
        for item in items:
            prompt.take_item(item)
    if "instructions" in fields:
        prompt.pieces += 1
        prompt.take("instructions", _read(fields, "instructions"))
    for name in sorted(set(fields) - _NO_PROMPT):
        if bytes(fields[name])[:1] in (b"[", b"{", b'"'):
            value = _read(fields, name)
            prompt.texts.append(value if isinstance(value, str) else written(value))
    return prompt


def _read(fields: Fields, name: str) -> object:
    try:
        return anything.decode(fields[name])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidRequest(f"`{name}` cannot be read", code="invalid_json", param=name) from None
