"""Passwords, hashed with scrypt: slow and large on purpose, because people choose them."""

import base64
import hashlib
import hmac
import secrets

_COST = {"n": 2**17, "r": 8, "p": 1}
"""What a new hash costs (OWASP Password Storage Cheat Sheet: N=2^17, r=8, p=1): 128 MiB and some tenths of a second."""
_MOST_MEMORY = 256 * 1024 * 1024
"""Bytes that a hash may take: twice what a new one does. OpenSSL's own limit is below that."""


def hash_password(password: str) -> str:
    """scrypt with its parameters and salt in the text. Call it in a worker thread, off the hot path."""
    salt = secrets.token_bytes(16)
    digest = _digest(password, salt, **_COST)
    parameters = (str(_COST[name]) for name in ("n", "r", "p"))
    return "$".join(["scrypt", *parameters, base64.b64encode(salt).decode(), base64.b64encode(digest).decode()])


def verify_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made of this password, at the parameters that stand in it, which may be older ones. A text
    that is no hash of ours (an account without a password has "") fits none. As slow as hash_password."""
    try:
        kind, n, r, p, salt, digest = hashed.split("$")
        if kind != "scrypt":
            return False
        made = _digest(password, base64.b64decode(salt, validate=True), n=int(n), r=int(r), p=int(p))
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except ValueError:
        return False


def _digest(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY)
