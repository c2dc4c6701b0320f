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
    # Twenty-one digits of zero, which h11 does not read, were a body of no length.
    "head": (b"POST / HTTP/1.0\r\nX:\r\nContent-Length:000000000000000000000\r\n\r\n",),
    # A number of so many digits that Python makes none of it, in JSON that only Python's reader takes.
    "whole-openai_chat": (b'{"choices":[{"finish_reason":"op"}],"x":"\xff","y":%s}' % (b"9" * 4301),),
    # Signed by us, and yet not as we write it: an account's number with a zero before it.
    "token": (b'sign\n{"iss":"ftgate","sub":"01","iat":0,"exp":1800000009,"jti":"","auth_time":0,"gen":0,"made":1}',),
}
