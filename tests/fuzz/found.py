"""What was found, so that it stays mended: examples by target, the shortest that shows it."""

from collections.abc import Mapping

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n0\r\n\r\n"
FOUND: Mapping[str, tuple[bytes, ...]] = {
    "answer-head": (_CHUNKED % b"a" + _CHUNKED % b"b",),  # the second one's body was added to the first one's
    # A number of a million digits was made, where a count of tokens was looked for.
    "prices-litellm": tuple(
        b'{"a/b":{"litellm_provider":"a","mode":"chat","input_cost_per_token":1,"output_cost_per_token":1,'
        + more
        + b"}}"
        for more in (
            b'"max_input_tokens":1e999999999',
            b'"off_peak_pricing":{"windows":[{"hours_utc":"00:00-01:00","weekdays":[1e999999999]}]}',
        )
    ),
}
