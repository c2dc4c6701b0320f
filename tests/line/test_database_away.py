"""Calls on a ledger that several gateways share, whose database stops answering. On Trio's mock clock."""

import json
from typing import Literal

import pytest
import trio
from trio.testing import MockClock

from ftgate.store.postgres.ledger import TurnLedger
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage
from tests.fakes.stopped import Stopping
from tests.line.transcript import PLAIN, answer, ask

AWAY_S = 2.0
"""A caller has an answer after so long at the most."""


def staged(*scripts: object) -> tuple[Stage, Stopping]:
    stage, database = Stage(ScriptedUpstream(*scripts)), Stopping()  # type: ignore[arg-type]
    lane = database.lane()
    stage.gate.ledger = TurnLedger(stage.books, lane, lane.clock, lambda request: None)
    return stage, database


async def answered(stage: Stage) -> tuple[RecordingClient, float]:
    """What a call gets, and after how long."""
    client, began = RecordingClient(), trio.current_time()
    await stage.gate.relay(stage.call(ask()), client)
    return client, trio.current_time() - began


@pytest.mark.parametrize("at", ["begin", "commit"])
async def test_who_waits_for_a_hold_is_refused_in_time_and_leaves_none(
    at: Literal["begin", "commit"], autojump_clock: MockClock
) -> None:
    stage, database = staged()
    await trio.sleep(0.5)
    database.at = at
    client, took_s = await answered(stage)
    error = json.loads(client.body)["error"]
    assert (client.status, error["code"]) == (503, "database_busy")
    assert error["message"] == "the ledger did not decide in time; nothing was charged"
    assert client.headers["retry-after"] == "2"
    assert took_s <= AWAY_S
    database.at = None
    await trio.sleep(10)
    kinds = [entry.kind for batch in database.batches for entry in batch.entries]
    assert kinds == {"begin": [], "commit": ["hold", "void"]}[at]
    assert not stage.books.open and stage.books.accounts[1].held == 0


async def test_an_answer_that_has_come_waits_no_longer_for_its_settlement_and_is_charged_afterwards(
    autojump_clock: MockClock,
) -> None:
    stage, database = staged([PLAIN, answer()])

    def passing(place: str) -> None:
        if place == "held":
            database.at = "begin"

    stage.gate.passing = passing
    client, took_s = await answered(stage)
    assert client.status == 200 and "x-findtoken-cost" not in client.headers and "x-findtoken-model" in client.headers
    assert took_s <= AWAY_S + 0.1
    assert stage.books.open
    database.at = None
    await trio.sleep(10)
    assert not stage.books.open
    (row,) = [row for batch in database.batches for row in batch.rows]
    assert (row.status, row.http_status) == ("ok", 200) and row.cost > 0
