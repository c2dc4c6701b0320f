"""Where a payer is sent back to: an address of ours, or of an origin that the operator has named. Nothing else, so that
a link to a payment is no way to send people anywhere."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ftgate.errors import InvalidRequest

MAX_URL = 2000
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an absolute http(s) URL; None for anything else, a user in it too. What browsers read
    otherwise than we do (a backslash, a space, a line end) is nothing."""
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not url[len(scheme) :].startswith("://") or not host or "@" in parts.netloc:
        return None
    return scheme, host, port if port is not None else _PORTS[scheme]


def checked(name: str, url: str | None, default: str, origins: Iterable[str]) -> str:
    """The URL as it was given, or the default. Raises InvalidRequest with the field's `name`."""
    if url is None:
        return default
    found = origin(url) if len(url) <= MAX_URL else None
    if found is None:
        raise InvalidRequest(
            f"`{name}` must be an absolute http or https URL of at most {MAX_URL} visible ASCII characters, without a "
            "user name or a backslash",
            param=name,
        )
    if found not in {origin(one) for one in origins}:
        raise InvalidRequest(
            f"`{name}` must lie at this gateway's own address, or at one of stripe.return_origins", param=name
        )
    return url
