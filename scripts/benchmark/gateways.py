"""Two real gateways on a real PostgreSQL, under load: a limit that they share, a key that is disabled, one that is
killed. Each is a line of figures with what must be; the exit code is 1 where one is not so."""

import argparse
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ftgate.store.database import read_only
from scripts.benchmark.wire import answer_size
from tests.blackbox.harness import HELLO, Account, House, Process, channel
from tests.postgres import stop, use

LIMIT = 50
TIMES = 4
EDGE_S = 2
"""What is left out at both ends where a share is told."""
KEPT_S = 2
"""A connection that was idle for longer is made anew: a gateway closes those that nobody uses."""
CALLERS = 16
STREAMS = 4
"""Of the callers at each gateway."""
CONFIG = f"""
[limits]
requests_per_second = 0
concurrent = 0
[plan.default]
price_multiplier = 1.0
[plan.slow]
requests_per_second = {LIMIT}
{channel("lab", ["plain", "short"])}
"""
SCRIPTS: dict[str, dict[str, object]] = {"short": {"content": ["tick "], "repeat": 10, "piece_delay_s": 0.02}}
SECOND_US = 1_000_000


@dataclass
class Call:
    """Times by time.monotonic(); `status` is 0 where the connection was cut, or a stream did not end as one does."""

    began: float
    ended: float
    status: int


class Wire:
    """A connection that is kept, for one caller."""

    def __init__(self, url: str, account: Account, model: str, *, stream: bool = False) -> None:
        host, _, port = url.partition("://")[2].rpartition(":")
        self.address = host, int(port)
        self.stream = stream
        body = json.dumps({"model": model, "messages": HELLO, "stream": stream}).encode()
        self.request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: ftgate\r\nAuthorization: Bearer {account.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.socket: socket.socket | None = None
        self.used = 0.0

    def call(self) -> Call:
        began = time.monotonic()
        if began - self.used > KEPT_S:
            self.close()
        try:
            status = self._status()
        except OSError:
            self.close()
            status = 0
        self.used = time.monotonic()
        return Call(began, self.used, status)

    def _status(self) -> int:
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 20)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)
        data = b""
        while (size := answer_size(data)) is None:
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError
            data += more
        assert size == len(data), "an answer to nothing"
        status = int(data[9:12])
        if b"\r\nconnection: close" in data.lower():
            self.close()
        return 0 if self.stream and status == 200 and b"[DONE]" not in data else status

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


@dataclass
class Load:
    """Callers in threads, until told otherwise. `calls` has what came of each, by the name of its gateway."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def callers(self, name: str, many: int, make: Callable[[], Wire], *, rest_s: float = 0) -> None:
        """`many` more at a gateway, each asking as soon as it was answered, or so long after."""
        made = self.calls.setdefault(name, [])
        self._start([lambda: self._closed(make(), made, rest_s) for _ in range(many)])

    def _closed(self, wire: Wire, made: list[Call], rest_s: float) -> None:
        while not self.over.is_set():
            made.append(call := wire.call())
            if rest_s or not call.status:
                self.over.wait(rest_s or 0.05)
        wire.close()

    def offered(self, makes: dict[str, Callable[[], Wire]], rate: int, seconds: float, hands: int) -> None:
        """`rate` calls a second whether or not others are answered, in turn at each gateway."""
        names, began, lock = sorted(makes), time.monotonic() + 0.2, threading.Lock()
        numbers = iter(range(int(rate * seconds)))

        def hand() -> None:
            wires = {name: make() for name, make in makes.items()}
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    break
                time.sleep(max(0, began + number / rate - time.monotonic()))
                name = names[number % len(names)]
                self.calls.setdefault(name, []).append(wires[name].call())
            for wire in wires.values():
                wire.close()

        self._start([hand] * hands)

    def _start(self, targets: list[Callable[[], None]]) -> None:
        new = [threading.Thread(target=target, daemon=True) for target in targets]
        self.threads += new
        for thread in new:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)

    @contextmanager
    def going(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.over.set()
            self.join()


class Town:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.house = House(base, CONFIG, SCRIPTS, way="postgres", serving=False)
        self.processes: dict[str, Process] = {}
        self.urls: dict[str, str] = {}
        self.wrong = 0

    def __enter__(self) -> "Town":
        self.house.data = self.base / "a"
        for name in ("a", "b"):
            self.start(name)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes.values():
            process.kill()
        self.house._let_go()

    def start(self, name: str) -> None:
        process = self.house.spawn(data=self.base / name, name=f"{name}-{time.monotonic_ns()}")
        self.processes[name], self.urls[name] = process, process.wait_ready()
        if name == "a":
            self.house.http.base_url = self.urls["a"]

    def told(self, what: str, right: bool, figures: str) -> None:
        self.wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {what}: {figures}", flush=True)

    def asked(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[int, ...]]:
        with closing(read_only(self.house.source)) as connection:
            return connection.execute(sql, values).fetchall()

    def holds_of(self, column: str, id: int) -> list[int]:
        """When the holds of an account or a key were taken, by the database's clock."""
        sql = f"SELECT at_us FROM entries WHERE {column} = ? AND kind = 'hold' ORDER BY at_us"  # noqa: S608 - a name of ours
        return [at for (at,) in self.asked(sql, (id,))]

    def account_id(self, account: Account) -> int:
        return self.asked("SELECT id FROM users WHERE username = ?", (account.name,))[0][0]

    # What is looked at

    def limit(self, seconds: float) -> None:
        account = self.house.account("1000")
        self.house.cli("users", "set", account.name, "--plan", "slow")
        load = Load()
        load.offered(
            {name: partial(Wire, url, account, "plain") for name, url in self.urls.items()}, LIMIT * TIMES, seconds, 24
        )
        with load.going():
            load.join()
        at = self.holds_of("account", self.account_id(account))
        most = most_in_a_second(at)
        share = used(at[EDGE_S * LIMIT : -EDGE_S * LIMIT])
        began = sorted(int(call.began * SECOND_US) for calls in load.calls.values() for call in calls)
        most_used = used(ideal(began)[EDGE_S * LIMIT : -EDGE_S * LIMIT])
        took = sorted(call.ended - call.began for calls in load.calls.values() for call in calls)
        statuses = {call.status for calls in load.calls.values() for call in calls}
        self.told(
            f"two gateways offered {TIMES} times {LIMIT} calls a second for {seconds:g} s",
            most <= LIMIT and share >= 0.99 and statuses == {200, 429},
            f"{len(took)} offered, {len(at)} admitted, at most {most} in a second, {share:.2%} of the limit used"
            f" ({most_used:.2%} could have been, as they came); half were answered within"
            f" {took[len(took) // 2] * 1000:.1f} ms, 99 % within {took[len(took) * 99 // 100] * 1000:.0f} ms, with"
            f" {sorted(statuses)}",
        )  # fmt: skip

    def disabled(self, rounds: int) -> None:
        owner = self.house.account("1000")
        late, admitted, before, asked_later, took = 0, 0, 0, 0, 0.0
        for _ in range(rounds):
            made = self.house.cli("keys", "create", "--user", owner.name, "--json")
            key, load = Account(owner.name, made["key"]), Load()
            for name, url in self.urls.items():
                load.callers(f"others at {name}", 2, partial(Wire, url, owner, "plain"), rest_s=0.01)
            load.callers("b", 4, partial(Wire, self.urls["b"], key, "plain"), rest_s=0.002)
            with load.going():
                time.sleep(0.3)
                began = time.monotonic()
                self.house.cli("keys", "disable", made["id"])
                answered = time.monotonic()
                ((answered_us,),) = self.asked("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
                took = max(took, answered - began)
                time.sleep(0.2)
            calls = load.calls["b"]
            before += sum(call.status == 200 for call in calls)
            asked_later += sum(call.began >= answered for call in calls)
            late += sum(call.status != 401 for call in calls if call.began >= answered)
            admitted += sum(at > answered_us for at in self.holds_of("key", int(made["id"])))
        self.told(
            f"a key disabled at one gateway, {rounds} times",
            late == admitted == 0 and before > 0 and asked_later > 0,
            f"{before} calls had been served at the other; of {asked_later} begun after the answer {late} were not"
            f" refused, {admitted} holds were taken after it; the longest answer took {took * 1000:.0f} ms",
        )  # fmt: skip

    def killed(self, seconds: float) -> None:
        accounts, load = [self.house.account("1000") for _ in range(4)], Load()
        for name, url in self.urls.items():
            for account in accounts:
                streams = STREAMS // len(accounts)
                load.callers(name, CALLERS // len(accounts) - streams, partial(Wire, url, account, "plain"))
                load.callers(
                    f"{name}, streams", streams, partial(Wire, url, account, "short", stream=True)
                )  # fmt: skip
        with load.going():
            time.sleep(seconds / 2)
            killed = time.monotonic()
            self.processes["b"].kill()
            time.sleep(seconds / 2)
        ((boot,),) = self.asked("SELECT max(id) FROM boots WHERE gateway = ?", (self._name("b"),))
        ((left,),) = self.asked("SELECT count(*) FROM holds WHERE boot = ?", (boot,))
        began = time.monotonic()
        self.start("b")
        ready_s = time.monotonic() - began
        self.house.wait_for(lambda: self.asked("SELECT count(*) FROM holds") == [(0,)], "holds stay open", 70)
        ended_s = time.monotonic() - began
        plain, streamed = load.calls["a"], load.calls["a, streams"]
        failed = sum(call.status != 200 for call in (*plain, *streamed))
        cut = sum(call.status == 0 for name in ("b", "b, streams") for call in load.calls[name] if call.began <= killed)
        around = longest(call for call in plain if call.ended > killed and call.began < killed + 2)
        self.told(
            f"one of two gateways killed under {CALLERS} callers at each",
            failed == 0 and left > 0,
            f"{failed} of {len(plain) + len(streamed)} calls failed at the other, the longest from the kill on took"
            f" {around * 1000:.0f} ms ({longest(call for call in plain if call.ended <= killed) * 1000:.0f} ms before);"
            f" {cut} were cut at the dead one, {left} holds were left open; started again it was ready after"
            f" {ready_s:.1f} s, and they were ended {ended_s:.1f} s after its start",
        )  # fmt: skip

    def _name(self, name: str) -> str:
        return (self.base / name / "gateway").read_text().strip()

    def verified(self) -> None:
        said = self.house.cli("ledger", "verify", "--json", code=0)
        right = said["ok"] is True and said["open_holds"] == 0
        self.told("the ledger", right, f"{said['entries']} entries verified, {said['open_holds']} holds open")
        for name, process in self.processes.items():
            code = process.terminate()
            self.told(f"gateway {name}", code == 0, f"ended with {code}")


def longest(calls: Iterator[Call]) -> float:
    return max((call.ended - call.began for call in calls), default=0.0)


def ideal(began: list[int]) -> list[int]:
    """Which of these one gateway would have admitted that takes no time: of calls that come one by one, none comes just
    when a second is over."""
    taken: list[int] = []
    for at in began:
        if len(taken) < LIMIT or at - taken[-LIMIT] >= SECOND_US:
            taken.append(at)
    return taken


def used(at: list[int]) -> float:
    """Of times that are in order: how much of LIMIT a second they are, between one of them and another that comes
    whole seconds' worth later, since those of a second come in a burst."""
    many = (len(at) - 1) // LIMIT * LIMIT
    return many / LIMIT / ((at[many] - at[0]) / SECOND_US)


def most_in_a_second(at: list[int]) -> int:
    """Of times that are in order, in microseconds: the most in any second that holds its beginning and not its end."""
    most = first = 0
    for last, time_us in enumerate(at):
        while time_us - at[first] >= SECOND_US:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gateways", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of the load on the limit, from 6 on")
    parser.add_argument("--rounds", type=int, default=20, help="how often a key is disabled")
    parser.add_argument("--only", choices=("limit", "disabled", "killed"), action="append")
    given = parser.parse_args()
    only = given.only or ["limit", "disabled", "killed"]
    with TemporaryDirectory(prefix="ftgate-gateways-") as place:
        os.chmod(place, 0o755)
        use(Path(place))
        try:
            with Town(Path(place) / "town") as town:
                if "limit" in only:
                    town.limit(max(given.seconds, 3 * EDGE_S))
                if "disabled" in only:
                    town.disabled(given.rounds)
                if "killed" in only:
                    town.killed(8)
                town.verified()
                return 1 if town.wrong else 0
        finally:
            stop(Path(place))


if __name__ == "__main__":
    sys.exit(main())
