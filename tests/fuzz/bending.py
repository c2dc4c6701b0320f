"""Bytes near those that mean something: seeds that are cut, doubled and bent, the same for the same seed."""

import random
from collections.abc import Iterator, Sequence

MOST = 20_000
"""Bytes of an example."""
ODD: Sequence[bytes] = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80", b" ", b"\t",
    b":", b"=",
    b"&", b";", b",", b"%", b"%00", b"%zz", b"%ff", b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]",
    b"[" * 600,
    b'{"a":' * 300, b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"1e-999", b"-1", b"0", b"0.5",
    b"9223372036854775808", b"18446744073709551616", b"9" * 5000, b"0x10", b"+1", b"1_0", "٣".encode(), "ſ".encode(),
    "İ".encode(), "😀".encode(), b"a" * 3000, b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n", b"Host: y\r\n", b" folded\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"0\r\n\r\n", b"data: ",
    b"event: error\n", b"[DONE]", b"--x\r\n", b"../", b"//", b"*", b"'", b"' OR 1=1--", b"%_%", b"<script>",
)  # fmt: skip


def bent(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One example."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(8):
            case 0:
                del raw[at : at + rng.choice((1, 1, 2, 4, 16, 100))]
            case 1:
                raw[at:at] = rng.choice(ODD)
            case 2:
                raw[at : at + 1] = bytes((rng.randrange(256),))
            case 3:
                raw[at:at] = rng.randbytes(rng.choice((1, 2, 4, 30)))
            case 4:
                raw[at:at] = raw[at : at + rng.choice((1, 4, 20, 200))] * rng.choice((1, 2, 30))
            case 5:
                other = rng.choice(seeds)
                raw[at:] = other[rng.randrange(len(other) + 1) :]
            case 6:
                raw[at : at + rng.choice((1, 2, 5, 12))] = rng.choice(ODD)
            case _:
                del raw[at:]
        del raw[MOST:]
    return bytes(raw)


def examples(seed: int | str, seeds: Sequence[bytes]) -> Iterator[bytes]:
    """Without end: first the seeds as they are, then what is bent."""
    yield from seeds
    rng = random.Random(seed)
    while True:
        yield bent(rng, seeds)


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes in a few pieces, cut anywhere."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
