"""The status of an error, as each dialect's clients know it."""

import pytest

from ftgate.dialects import ALL
from ftgate.errors import GateError, InvalidRequest, PaymentRequired, ProvidersOverloaded, RateLimited, Refused

BUSY = ProvidersOverloaded("busy")
BUSY.overloaded = True
UNKNOWN = InvalidRequest("no such model", code="model_not_found")


@pytest.mark.parametrize(
    ("error", "openai", "anthropic"),
    [
        (UNKNOWN, 400, 404),
        (BUSY, 503, 529),
        (RateLimited("slower"), 429, 429),
        (PaymentRequired("no credits"), 402, 402),
        (Refused("no", status=422, kind="invalid_request_error", code=None, param=None), 422, 422),
    ],
)
def test_the_status_that_is_told_is_the_one_that_goes_out(error: GateError, openai: int, anthropic: int) -> None:
    for name, dialect in ALL.items():
        wanted = anthropic if name == "anthropic_messages" else openai
        assert (dialect.status_of(error), dialect.error(error, "req_1")[0]) == (wanted, wanted), name
