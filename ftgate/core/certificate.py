"""When a certificate holds: the one thing that is read of its DER here (X.509, RFC 5280 section 4.1).

    Certificate  ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer,
                     validity SEQUENCE { notBefore, notAfter }, … }, … }

A time is a UTCTime (YYMMDDHHMMSSZ; from 50 on of the last century) or a GeneralizedTime (YYYYMMDDHHMMSSZ).
"""

from datetime import UTC, datetime

SEQUENCE = 0x30
VERSION = 0xA0
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18


def validity(der: bytes) -> tuple[datetime, datetime]:
    """From when to when a certificate holds. Raises ValueError for what is no certificate."""
    tbs = _whole(_whole(der, SEQUENCE), SEQUENCE)
    tag, _, rest = _element(tbs)
    if tag == VERSION:
        _, _, rest = _element(rest)
    for _ in range(2):  # past signature and issuer; the serial number is passed already
        _, _, rest = _element(rest)
    times = _whole(rest, SEQUENCE)
    tag, begins, rest = _element(times)
    return _time(tag, begins), _time(*_element(rest)[:2])


def _whole(data: bytes, wanted: int) -> bytes:
    """What stands in the first element, which is of this kind."""
    tag, content, _ = _element(data)
    if tag != wanted:
        raise ValueError(f"an element is of the kind {tag:#x}, not {wanted:#x}")
    return content


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element's kind and content, and what comes after it."""
    if len(data) < 2:
        raise ValueError("it is cut off")
    size, at = data[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        raise ValueError("it is cut off")
    return data[0], data[at : at + size], data[at + size :]


def _time(tag: int, text: bytes) -> datetime:
    said = text.decode("ascii")
    if tag == UTC_TIME:
        said = ("19" if said[:2] >= "50" else "20") + said
    elif tag != GENERALIZED_TIME:
        raise ValueError(f"a time is of the kind {tag:#x}")
    return datetime.strptime(said, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
