"""How many exports an account has at one time."""

import gc
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from ftgate.errors import RateLimited
from ftgate.web.exports import AT_ONCE, EACH, Exports


class Table:
    """What is exported: so many pieces, each made when it is told to."""

    def __init__(self, pieces: int = 2) -> None:
        self.pieces, self.go_on, self.making, self.closed = pieces, trio.Event(), 0, 0

    async def read(self) -> AsyncIterator[bytes]:
        try:
            for n in range(self.pieces):
                self.making += 1
                await self.go_on.wait()
                self.making -= 1
                yield str(n).encode()
        finally:
            self.closed += 1


def refused(exports: Exports, account: int) -> None:
    with pytest.raises(RateLimited) as told:
        exports.sent(account, Table().read(), "text/csv", "x.csv")
    assert told.value.retry_after_s and told.value.retry_after_s >= 1


async def test_an_account_has_a_few_at_one_time() -> None:
    exports, table = Exports(), Table()
    table.go_on.set()
    answers = [exports.sent(1, table.read(), "text/csv", "requests.csv") for _ in range(EACH)]
    assert answers[0].headers["Content-Disposition"] == 'attachment; filename="requests.csv"'
    assert answers[0].timeout is None and answers[0].content_type == "text/csv"
    refused(exports, 1)
    exports.sent(2, table.read(), "text/csv", "x.csv")
    async with answers[0].response as body:  # sent whole
        assert [piece async for piece in body] == [b"0", b"1"]
    answers.append(exports.sent(1, table.read(), "text/csv", "x.csv"))
    refused(exports, 1)
    async with answers[1].response as body:  # the client leaves in the middle of it
        async for _ in body:
            break
    answers.append(exports.sent(1, table.read(), "text/csv", "x.csv"))
    refused(exports, 1)
    answers.clear()  # the client leaves before the first piece
    gc.collect()
    assert not exports.of and table.closed == 2


async def test_one_that_fails_ends() -> None:
    async def fails() -> AsyncIterator[bytes]:
        raise OSError("the disk")
        yield b""

    exports = Exports()
    answer = exports.sent(1, fails(), "text/csv", "x.csv")
    with pytest.raises(OSError, match="the disk"):
        async with answer.response as body:
            async for _ in body:
                pass
    assert not exports.of


async def test_pieces_are_made_a_few_at_one_time_whose_ever_they_are() -> None:
    exports, table, came = Exports(), Table(), []

    async def take(account: int) -> None:
        async with exports.sent(account, table.read(), "text/csv", "x.csv").response as body:
            came.extend([piece async for piece in body])

    async with trio.open_nursery() as nursery:
        for account in range(5):
            nursery.start_soon(take, account)
        await trio.testing.wait_all_tasks_blocked()
        assert table.making == AT_ONCE
        table.go_on.set()
    assert len(came) == 10 and not exports.of
