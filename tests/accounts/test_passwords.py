"""Passwords: what a hash holds, and who is let in by it."""

import base64
import hashlib

import pytest

from ftgate.accounts import passwords
from ftgate.accounts.passwords import hash_password, verify_password
from tests.hashing import REAL

SALT = b"sixteen bytes, ."


@pytest.fixture(autouse=True)
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes as a server makes them."""
    for name, value in zip(("_COST", "_ENOUGH"), REAL, strict=True):
        monkeypatch.setattr(passwords, name, value)


def hashed(password: str, *, n: int, r: int, p: int) -> str:
    """A hash as an earlier version of ours, with other parameters, left it."""
    digest = hashlib.scrypt(password.encode(), salt=SALT, n=n, r=r, p=p)
    return f"scrypt${n}${r}${p}${base64.b64encode(SALT).decode()}${base64.b64encode(digest).decode()}"


def test_a_new_hash_is_as_slow_as_owasp_asks() -> None:
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first.startswith("scrypt$16384$8$5$") and first != second
    assert verify_password("correct horse", first) and not verify_password("correct horse ", first)


@pytest.mark.parametrize(("n", "r", "p"), [(2**14, 8, 1), (2**10, 4, 2)])
def test_an_older_hash_is_read_with_its_own_parameters(n: int, r: int, p: int) -> None:
    old = hashed("caf\u00e9", n=n, r=r, p=p)
    assert verify_password("caf\u00e9", old)
    assert not verify_password("cafe", old)
    assert not verify_password("caf\u00e9", old.replace(f"${r}$", f"${r + 1}$"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scrypt",
        "plain$1024$4$2$c2FsdA==$ZGlnZXN0",
        "scrypt$x$4$2$c2FsdA==$ZGlnZXN0",
        "scrypt$1000$4$2$c2FsdA==$ZGlnZXN0",  # n is no power of two
        "scrypt$1024$4$2$c2Fs*dA==$ZGlnZXN0",
        "scrypt$1024$4$2$c2FsdA==$",
        f"scrypt${2**20}$8$1$c2FsdA==$ZGlnZXN0",  # a gigabyte
        "scrypt$1024$4$2$c2FsdA==$ZGlnZXN0$more",
    ],
)
def test_what_is_no_hash_of_ours_lets_nobody_in(text: str) -> None:
    assert not verify_password("", text)
