"""When a certificate holds, read of its bytes, whatever they are."""

import ssl
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.certificate import validity


def der(ends: datetime | None = None) -> bytes:
    made = trustme.CA().issue_cert("127.0.0.1", not_after=ends)
    return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())


WHOLE = der()


@pytest.mark.parametrize("year", [2031, 2049, 2050, 2999])
def test_what_another_reader_says(year: int) -> None:
    """From 2050 on a time is written in another way."""
    ends = datetime(year, 5, 17, 13, 7, 9, tzinfo=UTC)
    found = der(ends)
    other = x509.load_der_x509_certificate(found)
    assert validity(found) == (other.not_valid_before_utc, ends)


def test_of_the_last_century() -> None:
    at = WHOLE.index(b"Z", WHOLE.index(b"\x17\x0d")) - 12
    old = WHOLE[:at] + b"991231235959" + WHOLE[at + 12 :]
    assert validity(old)[0] == datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("at", range(0, len(WHOLE), 7))
def test_cut_off_anywhere(at: int) -> None:
    with pytest.raises(ValueError, match=r"cut off|is of the kind|index"):
        validity(WHOLE[:at])


@given(st.binary(max_size=60), st.integers(0, 250))
def test_any_bytes_are_a_certificate_or_refused(data: bytes, at: int) -> None:
    for said in (data, WHOLE[:at] + data + WHOLE[at + len(data) :]):
        try:
            begins, ends = validity(said)
        except ValueError:
            continue
        assert begins.tzinfo is ends.tzinfo is UTC
