"""The provider key that a caller may bring to its call (BYOK): as `provider_key` in the body of any dialect, or in a
header for clients that cannot add a field. It never goes up as a field, and no error shows any of it.
"""

import re
from collections.abc import Mapping

import msgspec

from ftgate.core.secret import OWN_KEY, Secret
from ftgate.dialects.fields import typed
from ftgate.errors import InvalidRequest

FIELD = "provider_key"
HEADER = "X-FindToken-Provider-Key"
_KEY = re.compile(r"[\x21-\x7e]{8,512}")
"""What a key may consist of: it goes up in a header, and what goes past ASCII there is read in several ways."""


class Brought(msgspec.Struct, frozen=True):
    """A provider key that a caller brings, and whose it is, by the provider's name in the catalogue. It is kept
    nowhere: it ends with its call."""

    provider: str
    secret: Secret


def in_body(fields: Mapping[str, msgspec.Raw]) -> Brought | None:
    """The key in a request's fields; None where there is none, or null. Raises InvalidRequest."""
    shape = "an object with `provider` and `api_key`"
    said = typed(fields, FIELD, dict[str, msgspec.Raw], shape)
    if said is None:
        return None
    if said.keys() - {"provider", "api_key"}:
        raise InvalidRequest(f"`{FIELD}` must be {shape}, and nothing else", param=FIELD)
    provider, key = (typed(said, name, str, "a text", path=f"{FIELD}.{name}") for name in ("provider", "api_key"))
    for name, value in (("provider", provider), ("api_key", key)):
        if not value:
            raise InvalidRequest(f"`{FIELD}.{name}` is missing", code="missing_field", param=f"{FIELD}.{name}")
    return checked(provider or "", key or "", f"{FIELD}.api_key")


def in_header(value: bytes) -> Brought:
    """The key in the header's value, `provider:key`. Raises InvalidRequest."""
    provider, colon, key = value.decode("latin1").strip(" \t").partition(":")
    if not colon or not provider or not key:
        raise InvalidRequest(f"write {HEADER} as provider:key, such as deepseek:sk-...", param=HEADER)
    return checked(provider, key, HEADER)


def checked(provider: str, key: str, param: str) -> Brought:
    """A key that may be one. Raises InvalidRequest."""
    if not _KEY.fullmatch(key):
        raise InvalidRequest("a provider key has 8 to 512 visible ASCII characters", param=param)
    if key.startswith(OWN_KEY):
        raise InvalidRequest(
            f"this is a key of this gateway ({OWN_KEY}...), which no provider takes: send the provider's own",
            param=param,
        )
    return Brought(provider.strip().lower(), Secret(key))
