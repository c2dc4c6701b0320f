"""Takes out of text that came from elsewhere what a person or a log must not get: secrets and addresses, and
characters that would be more than text on a terminal."""

import re
from collections.abc import Iterable, Iterator

_SECRETS = re.compile(
    r"""(?ix)
    \bbearer\s+[^\s"',;]+               # a header's value
    # keys by their prefixes, masked ones too
    | \b(?:sk|csk|whsec|gsk|xai|pplx|nvapi|hf|fw|r8)[-_][A-Za-z0-9_\-*.…]{6,}
    # these are words too, unless a digit or a mask stands near their beginning
    | \b(?:pk|rk|ak|key)[-_](?=[A-Za-z_\-.]{0,120}[0-9*…])[A-Za-z0-9_\-*.…]{6,}
    | \bbce-v3/[A-Za-z0-9_\-/]+                       # Baidu
    | \b(?:AIza|AKIA|AKLT|LTAI|AKID)[0-9A-Za-z_\-]{12,}    # Google, and the clouds' access keys
    | \bapi[-_ ]?key(?:\s+provided)?["']?\s*[:=]\s*["']?(?=[^\s"',;]{0,120}[\d*…])[^\s"',;]{6,}
    | \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b    # Volcengine's keys are UUIDs
    | \beyJ[0-9A-Za-z_\-]{10,}\.[0-9A-Za-z_\-.]+     # JWT
    | \b[0-9a-f]{32}\.[0-9A-Za-z]{10,}               # Zhipu's id.secret
    | \b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{32,}     # keys without a prefix (Mistral, Together, StepFun)
    | \b(?:https?|wss?)://[^\s"'<>]+    # an address of a channel
    | \b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?
    | (?<![\w:])(?:(?:[0-9a-f]{1,4}:){4,7}|(?:[0-9a-f]{1,4}:){1,6}:|::)[0-9a-f]{1,4}(?![\w:])    # IPv6
    """
)

BLANKS = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Blanks of other widths: str.isprintable() knows only the one of ASCII."""
_HALF_WORD = re.compile(r"(?<![A-Za-z0-9_\-*./:+=])[A-Za-z0-9_\-*./:+=]+\Z")


def scrub(text: str) -> str:
    """The text with keys, tokens and addresses replaced, otherwise as it is: for log lines and tracebacks."""
    return _SECRETS.sub("[redacted]", text)


def shows(char: str) -> bool:
    """Whether a character is only itself on a terminal: nothing moves, is coloured, hidden or turned by it."""
    return char.isprintable() or char in BLANKS


def plain(text: str, *, keep: str = "") -> str:
    """The text with every character that does more on a terminal than show as an escape: ESC as \\x1b, a line end as
    \\n. `keep` names those that pass."""
    if text.isprintable():
        return text
    return "".join(c if shows(c) or c in keep else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def redact(text: str, *, limit: int = 500) -> str:
    """The text with keys, tokens and addresses replaced, control characters dropped, at most `limit` characters."""
    if len(text) > limit * 4:
        text = _HALF_WORD.sub("", text[: limit * 4])  # half a key would not look like one
    text = _SECRETS.sub("[redacted]", text)
    return "".join(c if c.isprintable() else " " for c in text)[:limit].strip()


_SPELT = re.compile(
    r"%(?P<percent>[0-9A-Fa-f]{2})|\\+u(?P<json>[0-9A-Fa-f]{4})|&\#[xX](?P<hex>[0-9A-Fa-f]{1,4});"
    r"|&\#(?P<number>[0-9]{1,5});|&(?P<name>amp|lt|gt|quot|apos);|(?P<nothing>\\+)"
)
"""Characters as they stand in an address, in JSON, in HTML; a backslash before any other says nothing."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
SHORTEST = 4
"""Characters from which a text is looked for: a shorter one would be found in every second word."""
HEAD, LONG = 8, 12
"""Of a key of LONG characters so many are enough to know it by: whoever cut an answer may have cut the key."""


def without(text: str, secrets: Iterable[str], keys: Iterable[str] = ()) -> str:
    """The text without these secrets, however each is spelt there: in letters of either case, escaped as in an address,
    in JSON or in HTML. Of `keys` the beginnings are taken out too. Nothing of them is kept anywhere, as compiled
    patterns would be."""
    sought = [(secret, True) for secret in secrets] + [(key, False) for key in keys]
    spans = {span for secret, whole in sought for span in _found(text.translate(_LOWER), secret, whole=whole)}
    if any(mark in text for mark in "%\\&"):
        plain_text, places = _plainly(text)
        found = {span for secret, whole in sought for span in _found(plain_text, secret.replace("\\", ""), whole=whole)}
        spans |= {(places[begin], places[end]) for begin, end in found}
    said, at = "", 0
    for begin, end in sorted(spans):
        if begin >= at:
            said += text[at:begin] + "[redacted]"
        at = max(at, end)
    return said + text[at:] if spans else text


def _plainly(text: str) -> tuple[str, list[int]]:
    """What the text spells, in small letters and without backslashes, and where each character of that begins in it,
    and the end."""
    said: list[str] = []
    places: list[int] = []
    at = 0
    for found in _SPELT.finditer(text):
        said.append(text[at : found.start()])
        places += range(at, found.start())
        char = "" if found["nothing"] else _NAMED.get(found["name"]) or chr(_number(found))
        if char not in ("", "\\"):
            said.append(char)
            places.append(found.start())
        at = found.end()
    said.append(text[at:])
    places += range(at, len(text) + 1)
    return "".join(said).translate(_LOWER), places


def _number(found: re.Match[str]) -> int:
    return int(found["number"]) if found["number"] else int(found["percent"] or found["json"] or found["hex"], 16)


def _found(text: str, secret: str, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Where the secret stands in a text of small letters, or its beginning if not `whole`."""
    if len(secret) < SHORTEST:
        return
    # What goes beyond ASCII stands in an address as the bytes of its UTF-8.
    for form in {secret, secret.encode(errors="replace").decode("latin1")}:
        sought = form.translate(_LOWER)
        head = sought if whole or len(sought) < LONG else sought[:HEAD]
        at = text.find(head)
        while at >= 0:
            end = at + len(head)
            while end < len(text) and end - at < len(sought) and text[end] == sought[end - at]:
                end += 1
            yield at, end
            at = text.find(head, end)
