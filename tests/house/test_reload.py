"""Reading the config again: by command, by signal and by file; and that what cannot be used changes nothing."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ftgate import config
from ftgate.config.stamps import look
from ftgate.errors import ConfigFaults
from ftgate.house.config_desk import ConfigDesk
from ftgate.house.live import Live
from ftgate.house.reload import WATCH_S, Reloaded, Reloader
from tests.config.reading import CHANNEL
from tests.patience import SOON_S


class Unnoted:
    """ports.operator.Deeds that nobody reads."""

    async def note(self, *said: object, **more: object) -> None:
        pass


async def by_command(reloader: Reloader) -> Any:
    """As the command line asks for it."""
    return await ConfigDesk(reloader, Unnoted()).command()


class Place:
    """A config file, and a reloader over it. Files are read in threads: no time is faked here but the pause between two
    looks."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ftgate.toml"
        self.secret = folder / "key"
        self.secret.write_text("sk-1")
        self.write(CHANNEL.replace("env:LAB_KEY", f"file:{self.secret}"))
        self.live = Live(self.read())
        self.told: list[config.Settings] = []
        self.live.tell(lambda: self.told.append(self.live.settings))
        self.reloader = Reloader(self.live, self.read)

    def read(self) -> config.Settings:
        return config.load(self.file, {})

    def write(self, text: str) -> None:
        self.text = text
        beside = self.file.with_name("beside")
        beside.write_text(text)
        beside.replace(self.file)

    def key(self) -> str:
        return self.live.gate.routes.channels[0].credentials[0].reveal()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_other_settings_are_in_force_in_one_step(place: Place) -> None:
    before = place.live.gate
    place.write("[server]\nport = 1\nkeepalive = 7\nmax_body_mb = 3\n" + place.text)
    done = await place.reloader.reload()
    assert done == Reloaded(("server.max_body_mb", "server.keepalive"), ("server.port",))
    assert (place.live.gate.keepalive_s, place.live.doors.max_body_bytes, before.keepalive_s) == (7, 3_000_000, 15)
    assert len(place.told) == 1
    change = place.reloader.last_change
    assert change == (place.reloader.loaded_at_us, ("server.max_body_mb", "server.keepalive"))
    place.write(place.text.replace("port = 1", "port = 2"))
    assert await place.reloader.reload() == Reloaded((), ("server.port",))
    place.write(place.text.replace("port = 2\n", ""))  # as it was at the start
    assert await place.reloader.reload() == Reloaded((), ())
    assert place.reloader.last_change == change


BAD = ["keepalive = [", "[server]\nkeepalive = -1\n", "[server]\nkept = 1\n", "[plan.x]\nprice_multiplier = -1\n"]


@pytest.mark.parametrize("bad", [*BAD, None])
async def test_what_cannot_be_used_changes_nothing(
    place: Place, bad: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    before = place.live.settings, place.live.gate, place.live.doors
    if bad is None:
        place.file.unlink()
    else:
        place.write(place.text + bad)
    said = await by_command(place.reloader)
    assert said["ok"] is False and all("ftgate.toml:" in fault for fault in said["faults"])  # type: ignore[attr-defined]
    assert (place.live.settings, place.live.gate, place.live.doors) == before and not place.told
    assert place.reloader.faults and "nothing has changed" in caplog.text
    place.write(place.text.removesuffix(bad or ""))
    assert await by_command(place.reloader) == {"ok": True, "changed": [], "needs_restart": []}
    assert not place.reloader.faults


@pytest.mark.parametrize("environ", [{}, {"DEEPSEEK_API_KEY": "sk-0123456789"}])
@pytest.mark.parametrize("left", ["", "[limits]\nrequests_per_second = 5\n"])
async def test_a_file_that_was_cut_off_takes_no_channel_away(place: Place, left: str, environ: dict[str, str]) -> None:
    """A full disk, or an editor that was stopped: nobody is answered by the demo for that."""
    reloader = Reloader(place.live, lambda: config.load(place.file, environ))
    place.write(left)
    said = await by_command(reloader)
    assert said["ok"] is False and "no [[channel]] any more" in str(said["faults"]) and not place.told
    place.write(CHANNEL.replace("env:LAB_KEY", "sk-late"))
    assert (await by_command(reloader))["ok"] and place.key() == "sk-late"


async def test_channels_that_nobody_wrote_come_and_do_not_go() -> None:
    live = Live(config.from_environment({}, None))
    models: list[str] | None = ["m"]
    reloader = Reloader(live, lambda: config.from_environment({}, models))
    assert (await by_command(reloader))["changed"] == ["channel.demo", "channel.ollama", "channel"]
    models = None  # it is starting anew
    said = await by_command(reloader)
    assert said["ok"] is False and "ollama is not found now" in str(said["faults"])
    models = ["m", "n"]
    assert (await by_command(reloader))["changed"] == ["channel.ollama"]


async def test_what_this_process_cannot_take_changes_nothing(place: Place) -> None:
    reloader = Reloader(place.live, place.read, lambda settings: "it leads back")
    with pytest.raises(ConfigFaults, match="it leads back"):
        await reloader.reload()
    assert not place.told


async def test_a_hang_up_reloads(place: Place) -> None:
    rung = [trio.Event(), trio.Event()]
    waiting = iter(rung)

    async def hangup() -> None:
        await next(waiting).wait()

    with trio.fail_after(SOON_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(place.reloader.heed, hangup)
            place.secret.write_text("sk-2")
            await trio.testing.wait_all_tasks_blocked()
            assert place.key() == "sk-1"
            rung[0].set()
            while place.key() != "sk-2":
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


class Looking:
    """A watch whose looks a test makes one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.send, self.receive = trio.open_memory_channel[None](0)
        self.sleep = trio.sleep
        monkeypatch.setattr(trio, "sleep", self.rest)

    async def rest(self, seconds: float) -> None:
        await (self.receive.receive() if seconds == WATCH_S else self.sleep(seconds))

    async def look(self) -> None:
        await self.send.send(None)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(0.02)  # a thread is at work meanwhile
        await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("what", ["the file", "a secret's file"])
async def test_a_file_that_changes_is_read_when_it_has_come_to_rest(
    place: Place, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch)

    def change(key: str) -> None:
        if what == "the file":
            place.write(CHANNEL.replace("env:LAB_KEY", key))
        else:
            place.secret.write_text(key)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.reloader.watch)
        await looking.look()
        await looking.look()
        assert place.key() == "sk-1" and not place.told
        change("sk-half-of-it")
        await looking.look()
        change("sk-the-whole-of-it")
        await looking.look()
        assert not place.told  # it was another at each look
        await looking.look()
        await wait_until(lambda: place.key() == "sk-the-whole-of-it")
        await looking.look()
        assert len(place.told) == 1
        nursery.cancel_scope.cancel()


async def test_a_file_with_faults_is_told_once_and_read_again_when_it_is_mended(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looking = Looking(monkeypatch)
    caplog.set_level(logging.ERROR)
    missing = place.secret.with_name("missing")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.reloader.watch)
        place.write(place.text.replace(str(place.secret), str(missing)))
        for _ in range(4):
            await looking.look()
        await wait_until(lambda: bool(place.reloader.faults))
        for _ in range(3):
            await looking.look()
        assert caplog.text.count("cannot be read") == 1 and not place.told
        missing.write_text("sk-late")  # what the config lacked has come
        await looking.look()
        await looking.look()
        await wait_until(lambda: place.key() == "sk-late")
        nursery.cancel_scope.cancel()


async def test_a_file_that_may_be_read_at_last_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rights are other ones: neither its text nor its time is."""
    looking = Looking(monkeypatch)
    reading = place.reloader.read

    def read() -> config.Settings:
        if place.file.stat().st_mode & 0o777 == 0:  # root would read it all the same
            raise ConfigFaults(["it cannot be read: Permission denied"], look([place.file]))
        return reading()

    place.reloader.read = read
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.reloader.watch)
        place.write(place.text.replace(f"file:{place.secret}", "sk-new"))
        place.file.chmod(0)
        for _ in range(3):
            await looking.look()
        await wait_until(lambda: bool(place.reloader.faults))
        place.file.chmod(0o600)
        for _ in range(2):
            await looking.look()
        await wait_until(lambda: place.key() == "sk-new")
        nursery.cancel_scope.cancel()


async def test_a_bug_in_reading_ends_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> config.Settings:
        raise ZeroDivisionError

    reloader = Reloader(place.live, broken)
    await reloader.attempt("SIGHUP")
    assert "could not be read again" in caplog.text and not place.told


async def wait_until(seen: Callable[[], bool]) -> None:
    with trio.fail_after(SOON_S):
        while not seen():
            await trio.sleep(0.01)


def test_what_the_command_line_gave_is_told_among_the_settings_too(place: Place) -> None:
    shown: Any = ConfigDesk(place.reloader, Unnoted(), {"server.port": 8477}).shown()
    assert shown["given"] == {"server.port": 8477}
    assert {"name": "server.port", "value": 8477, "origin": "command line"} in shown["settings"]
