"""Takes out of text that came from elsewhere what a person or a log must not get: secrets and addresses, and
characters that would be more than text on a terminal."""

import re

_SECRETS = re.compile(
    r"""(?ix)
    \bbearer\s+[^\s"',;]+               # a header's value
    # keys by their prefixes, masked ones too
    | \b(?:sk|csk|whsec|gsk|xai|pplx|nvapi|hf|fw|r8)[-_][A-Za-z0-9_\-*.…]{6,}
    # these are words too, unless a digit or a mask stands in them
    | \b(?:pk|rk|ak|key)[-_](?=[A-Za-z_\-.]*[0-9*…])[A-Za-z0-9_\-*.…]{6,}
    | \bbce-v3/[A-Za-z0-9_\-/]+                       # Baidu
    | \b(?:AIza|AKIA|AKLT|LTAI|AKID)[0-9A-Za-z_\-]{12,}    # Google, and the clouds' access keys
    | \bapi[-_ ]?key(?:\s+provided)?["']?\s*[:=]\s*["']?(?=[^\s"',;]*[\d*…])[^\s"',;]{6,}
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
_HALF_WORD = re.compile(r"[A-Za-z0-9_\-*./:+=]*\Z")


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
