"""Stripe's signatures, by the SDK's own signer: what holds, and what is refused in one way."""

import pytest
from stripe import WebhookSignature

from ftgate.accounts.signed import event
from ftgate.core.secret import Secret
from ftgate.errors import InvalidRequest

SECRET, NOW = Secret("whsec_1"), 1_800_000_000.0
BODY = b'{"type": "x"}'


def header(at: float = NOW, secret: str = "whsec_1", body: bytes = BODY) -> str:
    return str(WebhookSignature.generate_signature_header(body.decode(), secret, int(at)))


MARK = header().partition(",")[2]


@pytest.mark.parametrize(
    "good",
    [
        header(), header(NOW - 300), header(NOW + 300), f"t={NOW:.0f}, {MARK}",
        f"t={NOW:.0f},v1={'0' * 64},{MARK},v0=x", f"{MARK},t={NOW:.0f}",
    ],
)  # fmt: skip
def test_what_holds(good: str) -> None:
    assert event(BODY, good, SECRET, NOW) == {"type": "x"}


@pytest.mark.parametrize(
    "bad",
    [
        None, "", ",", "t", "t=", MARK, f"t={NOW:.0f}", f"t=x,{MARK}", f"t=1e9,{MARK}", f"t=-1,{MARK}",
        f"t={NOW:.0f}.0,{MARK}", f"t={NOW:.0f},t={NOW:.0f},{MARK}", f"t={NOW + 1:.0f},{MARK}",
        f"t={NOW:.0f},v1=\xe9", f"t={NOW:.0f},v1={MARK[3:].upper()}x", f"t={NOW:.0f},v0={MARK[3:]}",
        f"t={NOW:.0f},v1=", f"t={NOW:.0f},v1={MARK[3:-1]}", f"t=\u0661,{MARK}", header(NOW - 301), header(NOW + 301),
        header(secret="whsec_2"), header(secret=""), header(body=b"{}"), "\x00", "t=1" * 10_000,
    ],
)  # fmt: skip
def test_what_does_not(bad: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        event(BODY, bad, SECRET, NOW)
    assert (refused.value.status, refused.value.code) == (400, "invalid_signature")


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b"{", b"[" * 100_000, b'{"a": NaN}', b""])
def test_what_was_signed_and_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        event(body, header(body=body), SECRET, NOW)
    assert refused.value.code == "invalid_json"
