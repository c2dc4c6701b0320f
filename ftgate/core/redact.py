"""Takes secrets and addresses out of text that came from elsewhere before a person or a log sees it."""

import re

_SECRETS = re.compile(
    r"""(?ix)
    \bbearer\s+[^\s"',;]+               # a header's value
    | \b(?:sk|pk|rk|whsec|gsk|xai|ak|key)[-_][A-Za-z0-9_\-*.…]{6,}   # keys by their prefixes, masked ones too
    | \bAIza[0-9A-Za-z_\-]{20,}
    | \beyJ[0-9A-Za-z_\-]{10,}\.[0-9A-Za-z_\-.]+     # JWT
    | \b[0-9a-f]{32}\.[0-9A-Za-z]{10,}               # Zhipu's id.secret
    | \b(?:https?|wss?)://[^\s"'<>]+    # an address of a channel
    | \b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?
    """
)


def scrub(text: str) -> str:
    """The text with keys, tokens and addresses replaced, otherwise as it is: for log lines and tracebacks."""
    return _SECRETS.sub("[redacted]", text)


def redact(text: str, *, limit: int = 500) -> str:
    """The text with keys, tokens and addresses replaced, control characters dropped, at most `limit` characters."""
    text = _SECRETS.sub("[redacted]", text[: limit * 4])
    return "".join(c if c.isprintable() else " " for c in text)[:limit].strip()
