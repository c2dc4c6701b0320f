"""A command whose answer does not come, or comes too late: the command line says what is not known, and how it is
repeated safely."""

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from ftgate.app import commands, open_house
from ftgate.cli import remote
from ftgate.cli.group import cli
from ftgate.house import control
from ftgate.house.house import DATABASE
from ftgate.house.lock import Lock
from ftgate.store.verify import verify_ledger
from tests.house.test_house import SETTINGS
from tests.store.faulty import read


def run(place: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--data", str(place)])
    assert done.exit_code == code and done.output.count("\n") == 1, (done.output, done.exception)
    return done.output


@contextmanager
def silent(place: Path, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """Something that holds the data directory, reads commands and does `answer` in place of answering."""
    lock = Lock(place, serving=True)
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(str(lock.socket))
        door.listen()

        def work() -> None:
            with closing(door.accept()[0]) as wire, wire.makefile("rb") as said:
                json.loads(said.readline())
                answer(wire)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(10)
            lock.release()
    assert not thread.is_alive()


COMMANDS = [
    (
        ["credit", "grant", "ann", "5"],
        ["`ftgate ledger entries --user ann` shows whether ref grant_", "repeated with --ref grant_"],
    ),
    (
        ["credit", "grant", "ann", "5", "--ref", "r7"],
        ["whether ref r7 is there, and repeated with --ref r7 it is done once"],
    ),
    (["credit", "correct", "ann", "-5", "--note", "n"], ["repeated with --ref correct_"]),
    (["keys", "create", "--user", "ann"], ["a key that nobody has seen", "`ftgate keys delete ID` removes it"]),
    (["users", "create", "ann"], ["`ftgate users list` shows whether ann is there"]),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=lambda value: " ".join(value[:4]))
@pytest.mark.parametrize("how", ["closed", "half a line", "no words", "nothing"])
def test_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], words: list[str], how: str
) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.2)
    gone = threading.Event()
    answers: dict[str, Callable[[socket.socket], object]] = {
        "closed": lambda wire: None,
        "half a line": lambda wire: wire.sendall(b'{"result": '),
        "no words": lambda wire: wire.sendall(b"\xff\n"),
        "nothing": lambda wire: gone.wait(10),
    }
    with silent(tmp_path, answers[how]):
        said = run(tmp_path, *command, code=1)
        gone.set()
    assert "did not answer" in said and "It may have been done all the same: " in said
    assert all(word in said for word in words), said


def test_a_server_that_cannot_be_reached_has_done_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again for a while: it may be starting, or about to end."""
    monkeypatch.setattr(remote, "WAIT_S", 0.2)
    lock = Lock(tmp_path, serving=True)
    said = run(tmp_path, "credit", "grant", "ann", "5", code=1)
    lock.release()
    assert "takes no commands" in said and "Nothing was changed." in said and "--ref" not in said


async def test_a_grant_on_a_locked_database_and_its_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a running server. As long as the database is locked every repeat says the same; in the end there is one
    entry."""
    monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 0.1)
    monkeypatch.setattr("ftgate.store.writer.LAZY_S", 0.02)
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.01,))
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.begin()
    house.connection.execute("PRAGMA busy_timeout = 0")
    await house.accounts.users.create(username="ann")
    said: list[str] = []

    async def grant(*more: str, amount: str = "5", code: int = 0) -> str:
        command = partial(run, tmp_path, "credit", "grant", "ann", amount, *more, code=code)
        return await trio.to_thread.run_sync(command)

    async with trio.open_nursery() as nursery:
        assert house.lock.socket is not None
        await nursery.start(control.serve, control.bound(house.lock), commands(house.accounts))
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other, trio.fail_after(20):
            other.execute("BEGIN IMMEDIATE")
            said.append(await grant(code=1))
            ref = said[0].partition("--ref ")[2].split()[0]
            assert ref.startswith("grant_") and f"ref {ref}, is decided and not yet written" in said[0]
            said.append(await grant("--ref", ref, code=1))
            assert said[0] == said[1]
            other.execute("ROLLBACK")
            monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 10)
            said.append(await grant("--ref", ref))
            assert said[2] == f"already done: ref {ref} is entry 1; nothing was changed. ann: balance $5.00\n"
            assert json.loads(await grant("--ref", ref, "--json"))["already_done"] is True
            assert f"the ref {ref} is that of a grant of $5 to ann" in await grant("--ref", ref, amount="6", code=1)
        nursery.cancel_scope.cancel()
    await house.close()
    assert read(tmp_path / DATABASE, "SELECT ref, amount FROM entries") == [(ref, 5 * 10**12)]
    assert await grant("--ref", ref) == said[2]  # and without a server
    assert verify_ledger(tmp_path / DATABASE)["entries"] == 1
