"""Two gateways on one PostgreSQL behind a proxy, as the manual shows it: one after the other is stopped and started
again, as an upgrade does it, while calls and streams go on. No caller may feel it."""

import socket
import threading
import time
import tomllib
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import trustme

from ftgate.store.database import read_only
from tests import postgres as servers
from tests.blackbox.harness import HELLO, Account, House, Process, channel, with_server
from tests.proxies import fronts

CALLERS, STREAMS = 6, 3
ROUNDS = 2
"""How often each gateway is stopped."""
STAY_S = 3.0
"""How long a new one is there before the next is stopped: proxies have to find out."""
SCRIPTS: dict[str, dict[str, object]] = {"ticks": {"content": ["tick "], "repeat": 15, "piece_delay_s": 0.05}}
TICKS = 15
CLOSED = "connection closed before it was read"
"""nginx that is reloaded closes the idle connections of its callers: one may have been about to ask, and asks again, as
SDKs do. The books tell that it had asked nobody."""


class Callers:
    """Calls one after the other through the proxy, each told by what came of it."""

    def __init__(self, port: int, trust: object, account: Account) -> None:
        self.port, self.trust, self.account = port, trust, account
        self.over = threading.Event()
        self.seen: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self._go, args=(number < STREAMS,)) for number in range(CALLERS)]

    def __enter__(self) -> "Callers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _go(self, stream: bool) -> None:
        body = {"model": "ticks" if stream else "plain", "messages": HELLO, "stream": stream}
        with httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", headers={"Host": fronts.NAME, **self.account.headers},
            verify=self.trust, trust_env=False, timeout=30,  # type: ignore[arg-type]
        ) as http:  # fmt: skip
            while not self.over.is_set():
                self.seen[self._asked(http, body, stream)] += 1

    @staticmethod
    def _asked(http: httpx.Client, body: dict[str, object], stream: bool) -> str:
        try:
            answer = http.post("/v1/chat/completions", json=body, extensions={"sni_hostname": fronts.NAME})
        except httpx.RemoteProtocolError:
            return CLOSED
        except httpx.HTTPError as error:
            return type(error).__name__
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.text[:150]!r}"
        if not stream:
            return "call"
        whole = answer.text.count("tick ") == TICKS and "[DONE]" in answer.text
        return "stream" if whole else f"a stream that ended so: {answer.text[-300:]!r}"


def tried(name: str, path: str, base: Path) -> tuple[bool, str]:
    """Whether no call was lost, and what came of all of them."""
    authority = trustme.CA()
    issued = authority.issue_cert(fronts.NAME)
    issued.private_key_pem.write_to_path(base / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(base / "cert.pem", append=True)
    said = tomllib.loads(fronts.block("toml", "[server]\nshutdown", "postgres"))["server"]
    config = with_server(channel("lab", ["plain", "ticks"]), {**said, "trusted_proxies": ["127.0.0.1"]})
    config += "\n[limits]\nrequests_per_second = 0\n"
    with servers.own(base), House(base / "house", config, SCRIPTS, way="postgres", serving=False) as house:
        authority.configure_trust(house.trust)
        ports = [_free_port() for _ in range(2)]
        gateways = [_start(house, number, port) for number, port in enumerate(ports)]
        house.data = house.base / "g0"
        try:
            addresses = [f"127.0.0.1:{port}" for port in ports]
            with fronts.serving(name, path, base, *addresses) as front:
                with Callers(front.port, house.trust, house.account("100")) as callers:
                    for number in [0, 1] * ROUNDS:
                        time.sleep(STAY_S)
                        if name == "nginx":
                            front.without(addresses[number])
                        assert gateways[number].terminate(30) == 0
                        gateways[number] = _start(house, number, ports[number])
                        if name == "nginx":
                            front.without(None)
                    time.sleep(STAY_S)
            with closing(read_only(house.source)) as connection:
                ((begun,),) = connection.execute("SELECT count(*) FROM requests").fetchall()
            opened = house.verified()["open_holds"]
        finally:
            for gateway in gateways:
                gateway.kill()
        seen = callers.seen
        whole = seen["call"] + seen["stream"]
        said = ", ".join(f"{many} {what}" for what, many in seen.most_common())
        right = begun == whole and not opened and seen.keys() <= {"call", "stream", CLOSED} and seen["stream"] > 0
        return right, f"{said}; {begun} in the books"


def _start(house: House, number: int, port: int) -> Process:
    process = house.spawn("--port", str(port), data=house.base / f"g{number}", name=f"g{number}-{time.monotonic_ns()}")
    process.wait_ready()
    return process


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port: int = any_port.getsockname()[1]
        return port
