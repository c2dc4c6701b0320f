"""The operator's socket: one line in, one line out, and nothing that is said to it ends the server."""

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.accounts import Accounts
from ftgate.core.books import Books
from ftgate.errors import NotFound
from ftgate.house import control
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.accounts.opened import SITE
from tests.fakes.ports import TrioClock

Served = Callable[[bytes], Awaitable[Any]]


async def echo(*, text: str = "") -> dict[str, str]:
    return {"text": text}


async def missing() -> None:
    raise NotFound("no such thing")


async def broken() -> None:
    raise ZeroDivisionError("a bug")


async def dead() -> None:
    raise DatabaseFault("the database has failed: disk I/O error")


async def unsayable() -> object:
    return object()


COMMANDS = {"echo": echo, "missing": missing, "broken": broken, "dead": dead, "unsayable": unsayable}


@asynccontextmanager
async def serving(path: Path, commands: control.Commands = COMMANDS) -> AsyncIterator[Served]:
    async def ask(line: bytes) -> Any:
        """What comes back for these bytes: an object, or None when the server just closes."""
        stream = await trio.open_unix_socket(path)
        async with stream:
            answer = b""
            try:
                await stream.send_all(line)
                while data := await stream.receive_some():
                    answer += data
            except trio.BrokenResourceError:
                pass
            assert answer == b"" or answer.endswith(b"\n")
            return json.loads(answer) if answer else None

    async with trio.open_nursery() as nursery:
        await nursery.start(control.serve, control._bound(path), commands)
        with trio.fail_after(20):
            yield ask
            assert await ask(b'{"command": "echo", "arguments": {"text": "alive"}}\n') == {"result": {"text": "alive"}}
        nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_commands(path: Path) -> None:
    async with serving(path) as ask:
        assert await ask(b'{"command": "echo"}\n') == {"result": {"text": ""}}
        assert await ask(b'{"command": "echo", "arguments": null}\n') == {"result": {"text": ""}}
        said = json.dumps({"command": "echo", "arguments": {"text": "ä\n\U0001f4b6" * 10_000}}).encode()
        assert await ask(said + b"\n") == {"result": {"text": "ä\n\U0001f4b6" * 10_000}}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"command": "no"}', "does not know the command 'no'"),
        (b'{"command": "missing"}', "no such thing"),
        (b'{"command": "dead"}', "the database has failed"),
        (b'{"command": "broken"}', "'broken' failed: ZeroDivisionError"),
        (b'{"command": "unsayable"}', None),
        (b'{"command": "echo", "arguments": {"word": 1}}', "'echo' failed: TypeError"),
        (b'{"command": "echo", "arguments": [1]}', "not a command"),
        (b'{"command": "echo", "arguments": 7}', "not a command"),
        (b'{"command": ["echo"]}', "does not know"),
        (b'{"command": null}', "does not know"),
        (b"{}", "not a command"),
        (b"[]", "not a command"),
        (b"7", "not a command"),
        (b"", "not a command"),
        (b"{", "not a command"),
        (b"\xff\xfe", "not a command"),
        (b"GET / HTTP/1.1\r", "not a command"),
        (b"[" * 100_000, "not a command"),
        (b'{"command": "echo"}\n{"command": "echo"}', "not a command"),
    ],
    ids=lambda value: repr(value)[:50],
)
async def test_faults_are_answers(path: Path, line: bytes, words: str | None) -> None:
    async with serving(path) as ask:
        answer = await ask(line + b"\n")
        assert answer is None if words is None else words in answer["error"]


async def test_a_refusal_has_its_code(path: Path) -> None:
    async with serving(path) as ask:
        assert await ask(b'{"command": "missing"}\n') == {"error": "no such thing", "code": "not_found"}


async def test_a_line_without_an_end(path: Path) -> None:
    async with serving(path) as ask:
        answer = await ask(b"x" * (control.MAX_LINE + 200_000))
        assert answer is None or "at most 1 MB" in answer["error"]
        assert "at most 1 MB" in (await ask(b"x" * (control.MAX_LINE + 1)))["error"]


async def test_idle_connections_are_closed_and_in_nobodys_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.2)
    async with serving(path) as ask:
        streams = [await trio.open_unix_socket(path) for _ in range(20)]
        await streams[0].send_all(b'{"comm')
        assert await ask(b'{"command": "echo"}\n')
        for stream in streams:
            async with stream:
                assert await stream.receive_some() == b""


async def test_a_command_may_take_its_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is only the wire that may not idle: a change that is on its way is answered when it is in."""
    monkeypatch.setattr(control, "IDLE_S", 0.05)

    async def slow() -> str:
        await trio.sleep(0.2)
        return "in"

    async with serving(path, {**COMMANDS, "slow": slow}) as ask:
        assert await ask(b'{"command": "slow"}\n') == {"result": "in"}


async def test_a_peer_that_leaves(path: Path) -> None:
    async with serving(path):
        for said in (b"", b'{"command"', b'{"command": "echo"}\n'):
            stream = await trio.open_unix_socket(path)
            await stream.send_all(said)
            await trio.aclose_forcefully(stream)


async def test_who_may_open_it(path: Path) -> None:
    before = os.umask(0)
    try:
        async with serving(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert os.umask(0) == 0  # given back
    finally:
        os.umask(before)


@pytest.mark.parametrize("left", ["socket", "file"])
async def test_what_a_crash_left_is_replaced(path: Path, left: str) -> None:
    if left == "socket":
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
    else:
        path.touch()
    async with serving(path) as ask:
        assert await ask(b'{"command": "echo"}\n') == {"result": {"text": ""}}


async def test_a_path_that_cannot_be_bound(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        control._bound(tmp_path / "no" / "control.sock")


async def test_twenty_grants_at_once_are_exact(tmp_path: Path, path: Path) -> None:
    connection = connect(tmp_path / "f.sqlite3", durability="process")
    writer = Writer(connection)
    accounts = Accounts(Books(), writer, TrioClock(), lambda plan: False, b"secret", lambda: SITE)
    writer.start()
    commands = {**COMMANDS, "users.create": accounts.users.create, "credit.grant": accounts.credits.grant}
    answers: list[Any] = []
    async with serving(path, commands) as ask:
        await ask(b'{"command": "users.create", "arguments": {"username": "ann", "credits": "0.01"}}\n')

        async def grant() -> None:
            answers.append(
                await ask(
                    b'{"command": "credit.grant", "arguments": {"username": "ann", "amount": "0.100000000001"}}\n'
                )
            )

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(grant)
    await writer.close()
    assert len({answer["result"]["entry"] for answer in answers}) == 20
    assert max(answer["result"]["balance"] for answer in answers) == "2.01000000002"
    assert accounts.books.accounts[1].posted == 2_010_000_000_020
    said = verify_ledger(tmp_path / "f.sqlite3")
    assert (said["ok"], said["accounts"], said["entries"], said["open_holds"]) == (True, 1, 21, 0)


async def test_a_stop_loses_no_command(path: Path) -> None:
    """What has come whole is done and answered; who has not said it all, or is still in the queue, is told to come
    again."""
    begun, go_on = trio.Event(), trio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async def ask(line: bytes, said: list[Any]) -> None:
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(line)
            said.append(json.loads(b"".join([data async for data in stream])))

    answers: dict[str, list[Any]] = {"whole": [], "half": [], "queued": []}
    with trio.fail_after(10):
        async with trio.open_nursery() as clients, trio.open_nursery() as server:
            await server.start(control.serve, control._bound(path), {"slow": slow})
            clients.start_soon(ask, b'{"command": "slow"}\n', answers["whole"])
            clients.start_soon(ask, b'{"command": ', answers["half"])
            await begun.wait()
            await trio.testing.wait_all_tasks_blocked()
            with socket.socket(socket.AF_UNIX) as late, trio.CancelScope(shield=True):
                late.connect(str(path))  # the server has no turn before it is stopped
                server.cancel_scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
                assert not path.exists()
                late.settimeout(5)
                answers["queued"].append(json.loads(late.recv(1000)))
                go_on.set()
    assert answers["whole"] == [{"result": "done"}]
    for which in ("half", "queued"):
        assert [answer["code"] for answer in answers[which]] == ["shutting_down"]


async def test_a_stop_does_not_wait_for_ever(path: Path, autojump_clock: trio.testing.MockClock) -> None:
    started = trio.current_time()
    async with trio.open_nursery() as clients, trio.open_nursery() as server:
        await server.start(control.serve, control._bound(path), {"stuck": trio.sleep_forever})
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b'{"command": "stuck"}\n')
            await trio.testing.wait_all_tasks_blocked()
            server.cancel_scope.cancel()
        assert clients.child_tasks == frozenset()
    assert trio.current_time() - started <= control.DONE_S
