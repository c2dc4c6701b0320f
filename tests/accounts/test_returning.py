"""Where payers may be sent back to."""

import pytest

from ftgate.accounts.returning import checked, origin
from ftgate.errors import InvalidRequest

ORIGINS = ("https://pay.example", "http://127.0.0.1:8400", "http://[::1]:8400")
GOOD = [
    "https://pay.example", "https://pay.example/", "https://PAY.example:443/x?y=z#w", "http://127.0.0.1:8400/billing",
    "http://[::1]:8400/x", "HTTPS://pay.example/{CHECKOUT_SESSION_ID}", "https://pay.example?x=//evil.example",
]  # fmt: skip
BAD = [
    "", " https://pay.example", "https://pay.example /", "https://pay.example\t", "https://pay.example\n", "/billing",
    "//pay.example/", "pay.example", "https:pay.example", "https:/pay.example", "https:///pay.example",
    "http://pay.example/", "https://pay.example:444/", "https://pay.example:x/", "https://pay.example:99999/",
    "https://pay.example.evil.example/", "https://evil.example/https://pay.example", "https://pay.example@evil.example",
    "https://u@pay.example/", "https://u:p@pay.example/", "https://evil.example\\@pay.example", "https://pay.example.",
    "https://pay%2eexample/", "javascript:alert(1)", "ftp://pay.example", "https://pay.ex\u00e4mple", "https://",
    "https://[pay.example", "https://pay.example/" + "x" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_ours(url: str) -> None:
    assert checked("success_url", url, "d", ORIGINS) == url


@pytest.mark.parametrize("url", BAD)
def test_not_ours(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked("cancel_url", url, "d", ORIGINS)
    assert refused.value.param == "cancel_url" and "cancel_url" in refused.value.message


def test_by_default() -> None:
    assert checked("success_url", None, "https://d", ()) == "https://d"
    assert origin("https://pay.example") == ("https", "pay.example", 443)
