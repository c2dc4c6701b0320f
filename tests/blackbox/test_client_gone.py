"""Clients that leave: the upstream is closed at once, what was used is charged once, nothing stays open."""

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import HELLO_PROMPT, Account, House, Raw, channel
from tests.patience import AT_ONCE_S

SCRIPTS: dict[str, dict[str, Any]] = {
    "no-head": {"head_delay_s": 60},
    "no-token": {"first_delay_s": 60},
    "endless": {"content": ["tick "], "repeat": 100_000, "piece_delay_s": 0.02},
    "flood": {"content": ["tick "], "repeat": 100_000},
    "hose": {"content": ["tick " * 4000], "repeat": 100_000},
    "plain-wait": {"head_delay_s": 60},
    "plain-body": {"first_delay_s": 60},
    "last-words": {"content": ["tick "], "repeat": 3, "hang_after": 3},
    "drained": {"content": ["tick "], "repeat": 20, "piece_delay_s": 0.03},
    "drained-before": {"content": ["tick "], "repeat": 5, "first_delay_s": 0.5},
    "drained-plain": {"head_delay_s": 0.5},
    "plain": {},
    "slowish": {"head_delay_s": 0.005, "piece_delay_s": 0.002, "content": ["a"] * 5},
}
DRAINED = [name for name in SCRIPTS if name.startswith("drained")]
CONFIG = f"""
[limits]
requests_per_second = 0
{channel("lab", [name for name in SCRIPTS if name not in DRAINED])}
{channel("kind", [*DRAINED], on_client_gone="drain")}
{channel("free", {"free-no-head": {"upstream": "no-head"}}, charge_left_before_content=False)}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("gone"), CONFIG, SCRIPTS) as house:
        yield house


def leave(wire: Raw) -> float:
    return wire.close()


def reset(wire: Raw) -> float:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return wire.close()


def half_close(wire: Raw) -> float:
    wire.socket.shutdown(socket.SHUT_WR)
    return time.monotonic()


WAYS: dict[str, tuple[Callable[[Raw], float], bytes]] = {
    "close": (leave, b""),
    "reset": (reset, b""),
    "half-close": (half_close, b""),
    "close after an extra byte": (leave, b"\n"),  # F29
    "close after extra bytes": (leave, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
}


def upstream_closed(house: House, model: str, number: int, left_at: float) -> float:
    """Seconds from the client's leaving to the end of the upstream's connection."""

    def closed() -> Any:
        return house.fake.requests(model)[number]["connection"]["closed_by_peer_at"]

    return float(house.wait_for(closed, "the upstream's connection is still open")) - left_at


def charged_once(house: House, account: Account) -> dict[str, Any]:
    """The one row of the account, whose cost is all that left its balance."""
    row = house.row(account)
    assert len(house.rows(account)) == 1 and row["status"] == "client_gone"
    assert house.balance(account) == 1 - Decimal(row["cost"]) < 1
    return row


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("model", "stream"), [("no-head", True), ("no-token", True), ("plain-wait", False), ("plain-body", False)]
)
def test_gone_before_content(house: House, model: str, stream: bool, way: str) -> None:
    account = house.account()
    number = len(house.fake.requests(model))
    go, more = WAYS[way]
    with house.raw(account, model, stream=stream, more=more) as wire:
        house.wait_for(lambda: len(house.fake.requests(model)) > number, "the upstream was not called")
        time.sleep(0.05)
        assert upstream_closed(house, model, number, go(wire)) < AT_ONCE_S
        row = charged_once(house, account)
    assert row["estimated"] is True and row["completion_tokens"] == 0
    assert HELLO_PROMPT <= row["prompt_tokens"] <= 3 * HELLO_PROMPT


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["endless", "last-words"])
def test_gone_in_mid_stream(house: House, model: str, way: str) -> None:
    account = house.account()
    number = len(house.fake.requests(model))
    go, more = WAYS[way]
    with house.raw(account, model, stream=True, more=more) as wire:
        wire.until(b"tick", times=3)
        assert upstream_closed(house, model, number, go(wire)) < AT_ONCE_S
        row = charged_once(house, account)
    sent = house.fake.requests(model)[number]["pieces_sent"]
    assert row["estimated"] is True and row["first_token_ms"] is not None
    # The meter is to be within a factor of two: "tick " by the piece.
    assert sent / 2 <= row["completion_tokens"] <= sent * 2
    assert Decimal(row["cost"]) == row["prompt_tokens"] * Decimal("0.000001") + row["completion_tokens"] * Decimal(
        "0.000002"
    )


def test_gone_while_bytes_flood(house: House) -> None:
    """A fast upstream and a client that has read little: whatever lies between is bounded, and the end is as quick."""
    account = house.account()
    number = len(house.fake.requests("flood"))
    with house.raw(account, "flood", stream=True) as wire:
        wire.until(b"tick")
        assert upstream_closed(house, "flood", number, leave(wire)) < AT_ONCE_S
    assert charged_once(house, account)["completion_tokens"] > 0


def rss_mb(house: House) -> float:
    fields = Path(f"/proc/{house.process.pid}/statm").read_text().split()
    return int(fields[1]) * 4096 / 1_000_000


def test_gone_after_not_reading(house: House) -> None:
    """A client that takes nothing holds its upstream back (no memory is filled for it), and its leaving is seen in
    mid-write."""
    account = house.account()
    number = len(house.fake.requests("hose"))
    before = rss_mb(house)
    with house.raw(account, "hose", stream=True) as wire:
        wire.until(b"tick")
        time.sleep(1.0)
        sent = house.fake.requests("hose")[number]["pieces_sent"]
        time.sleep(0.5)
        assert house.fake.requests("hose")[number]["pieces_sent"] == sent, "the upstream is not held back"
        assert rss_mb(house) - before < 40
        assert upstream_closed(house, "hose", number, leave(wire)) < AT_ONCE_S
    assert charged_once(house, account)["completion_tokens"] > 0


def test_gone_before_content_can_be_free(house: House) -> None:
    account = house.account()
    number = len(house.fake.requests("no-head"))
    with house.raw(account, "free-no-head", stream=True) as wire:
        house.wait_for(lambda: len(house.fake.requests("no-head")) > number, "the upstream was not called")
        assert upstream_closed(house, "no-head", number, leave(wire)) < AT_ONCE_S
        assert (house.row(account)["cost"], house.balance(account)) == ("0", 1)


@pytest.mark.parametrize(
    ("model", "stream", "pieces"), [("drained", True, 20), ("drained-before", True, 5), ("drained-plain", False, 3)]
)
def test_a_draining_channel_is_read_to_its_usage(house: House, model: str, stream: bool, pieces: int) -> None:
    account = house.account()
    with house.raw(account, model, stream=stream) as wire:
        if model == "drained":
            wire.until(b"tick")
        else:
            house.wait_for(lambda: house.fake.requests(model), "the upstream was not called")
        leave(wire)
    row = charged_once(house, account)
    seen = house.fake.requests(model)[-1]
    assert seen["pieces_sent"] == pieces or not stream
    assert seen["finished_at"] is not None
    assert (row["estimated"], row["completion_tokens"], row["prompt_tokens"]) == (False, pieces, HELLO_PROMPT)


def test_a_request_left_unfinished_costs_nothing(house: House) -> None:
    account = house.account()
    whole = house.request(account, "plain")
    for cut in (10, len(whole) // 2, len(whole) - 1):
        with house.connect() as wire:
            wire.send(whole[:cut])
    time.sleep(0.1)
    assert house.rows(account) == [] and house.balance(account) == 1


def test_hundreds_that_leave_at_any_moment(house: House) -> None:
    """F40: nothing leaks, and the money of each is settled once."""
    account = house.account("5")
    chance = random.Random(40)
    delays = [chance.uniform(0, 0.02) for _ in range(400)]

    def visit(delay: float) -> None:
        with house.raw(account, "slowish", stream=delay > 0.01) as wire:
            time.sleep(delay)
            (reset if delay < 0.005 else leave)(wire)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, delays))
    assert house.chat(account).status_code == 200
    house.settle_down()

    def agrees() -> bool:  # requests whose client has left may still lie unread
        rows = [
            row for page in range(1, 6) for row in house.get("/v1/user/logs", account, page=page, page_size=100)["data"]
        ]
        return house.balance(account) == 5 - sum(Decimal(row["cost"]) for row in rows)

    house.wait_for(agrees, "the balance is not what the rows cost")
    house.settle_down()
    assert agrees()
    state = house.fake.state()
    idle = [seen for seen in state["connections"] if not (seen["closed_by_peer_at"] or seen["closed_by_us_at"])]
    assert len(idle) <= 40  # kept for the next call, not one for each visitor
