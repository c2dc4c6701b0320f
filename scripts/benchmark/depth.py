"""What a long history costs: logs, statistics and the dashboard's pages on many requests, and plain calls there beside
an empty database, in turns of one run. Nothing here judges a time; --json is for who does.

    scripts/depth                       1,000,000 requests of 10 users over 30 days
    scripts/depth --requests 100000 --users 1 --turns 4
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from scripts.benchmark import gateway, plain, wire
from scripts.benchmark.processes import Children, Trouble, rest
from scripts.benchmark.subjects import Place, Subject, start_upstreams

CONNECTIONS = 32
STRANGE = "Asia/Kathmandu"
Timed = tuple[str, dict[str, float]]
OF_A_USER = (
    "/", "/?period=24h", f"/?period=30d&tz={STRANGE}", "/keys", "/logs", "/logs?status=failed", "/logs?status=ok",
    "/logs?model=seed-small", "/logs?model=auto", "/logs?mode=standard&page=500",
)  # fmt: skip
OF_THE_OPERATOR = ("/", "/admin/requests", "/admin/requests?status=ok", "/admin/requests?model=seed-rare")


class Site:
    """One kept connection to a server."""

    def __init__(self, port: int, secret: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, **query: object) -> Any:
        """The JSON of an answer. Raises Trouble."""
        self.connection.request("GET", f"{path}?{urlencode(query)}", headers=self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise Trouble(f"GET {path} {query}: {answer.status} {said[:300]!r}")
        return json.loads(said)

    def login(self, username: str, password: str) -> str | None:
        """A login token; None where this version has none."""
        body = json.dumps({"username": username, "password": password})
        self.connection.request("POST", "/v1/auth/login", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        said = json.loads(answer.read())
        return str(said["token"]) if answer.status == 200 else None


class Browser:
    """One kept connection of somebody who has signed in. Raises Trouble where that is refused."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        form = urlencode({"username": username, "password": password})
        self.connection.request("POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 303:
            raise Trouble(f"{username} cannot sign in: {answer.status}")
        self.headers = {"Cookie": (answer.headers["Set-Cookie"] or "").partition(";")[0], "Accept": "text/html"}

    def open(self, path: str) -> None:
        """A page, to its last byte. Raises Trouble."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise Trouble(f"GET {path}: {answer.status}")


def dashboard(port: int, username: str, password: str, paths: Iterable[str], times: int) -> Iterator[Timed]:
    """Pages of the dashboard, as the one sees them who signs in so."""
    browser = Browser(port, username, password)
    for path in paths:
        yield f"page {path}", timed(lambda path=path: browser.open(path), times)  # type: ignore[misc]


def timed(ask: Callable[[], object], times: int) -> dict[str, float]:
    """Milliseconds: the median, and what one in twenty takes longer than."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50_ms": round(statistics.median(took), 2), "p95_ms": round(took[int(len(took) * 0.95) - 1], 2)}


def statistics_of(site: Site, times: int) -> Iterator[Timed]:
    for period in ("24h", "7d", "30d"):
        for zone in ("UTC", STRANGE):
            said = site.get("/v1/user/stats", period=period, tz=zone)
            total = site.get("/v1/user/logs", **{"from": said["from"], "to": said["to"]})["total"]
            if total != said["totalRequests"]:
                raise Trouble(f"{period} {zone}: {said['totalRequests']} requests in statistics, {total} in logs")
            took = timed(lambda period=period, zone=zone: site.get("/v1/user/stats", period=period, tz=zone), times)  # type: ignore[misc]
            yield f"stats {period} {zone}", took


def pages_of(site: Site, path: str, name: str, times: int, **query: object) -> Iterator[Timed]:
    """The first page, and those behind a cursor in the middle and near the end, of 100 rows each."""
    query |= {"page_size": 100}
    total = site.get(path, **query)["total"]
    yield f"{name}, first of {total}", timed(lambda: site.get(path, **query), times)
    for words, share in (("middle", 0.5), ("end", 0.99)):
        following = site.get(path, **query, page=max(int(total * share) // 100, 1))["next"]
        if following is not None:
            took = timed(lambda following=following: site.get(path, **query, cursor=following), times)  # type: ignore[misc]
            yield f"{name}, {words}", took


def reading(deep: Subject, seeded: str, password: str, times: int) -> Iterator[Timed]:
    """All pages that are measured."""
    site = Site(deep.plain.port, seeded)
    yield from statistics_of(site, times)
    yield from pages_of(site, "/v1/user/logs", "logs", times)
    yield from pages_of(site, "/v1/user/logs", "logs of a rare model", times, model="seed-rare")
    yield from pages_of(site, "/v1/user/logs", "logs that failed", times, status="502")
    week = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7 * 86_400))
    yield from pages_of(site, "/v1/user/logs", "logs of a week", times, **{"from": week})
    since = urlencode({"from": week})
    yield from dashboard(deep.plain.port, "u1", "seedseed", (*OF_A_USER, f"/logs?{since}"), times)
    yield from dashboard(deep.plain.port, "root", password, (*OF_THE_OPERATOR, f"/admin/requests?{since}"), times)
    token = Site(deep.plain.port, seeded).login("root", password)  # the other connection was idle for long
    if token is None:
        print("admin pages: this version has no login", file=sys.stderr)
        return
    operator = Site(deep.plain.port, token)
    yield from pages_of(operator, "/v1/admin/requests", "admin", times)
    yield from pages_of(operator, "/v1/admin/requests", "admin of a model", times, model="seed-rare")
    yield from pages_of(operator, "/v1/admin/requests", "admin of a week", times, **{"from": week})


def calls(subjects: list[Subject], body: Path, turns: int, seconds: int) -> dict[str, Any]:
    """Plain calls a second on each, in turns, and the ratios of the turns."""
    rates: list[list[float]] = [[], []]
    for subject in subjects:
        plain.run(subject.plain, body, CONNECTIONS, 1)
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            child = subjects[which].child
            assert child is not None
            rest(child.pid, 5)
            rates[which].append(plain.run(subjects[which].plain, body, CONNECTIONS, seconds).answers / seconds)
    ratios = sorted(deep / empty for empty, deep in zip(*rates, strict=True))
    return {
        "empty": round(statistics.median(rates[0])), "deep": round(statistics.median(rates[1])),
        "ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 2) for ratio in ratios],
    }  # fmt: skip


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ftgate-depth-") as base, Children() as children:
        place = Place(Path(base), children)
        up = start_upstreams(place)
        body = place.directory / "body.json"
        body.write_bytes(wire.plain_body())
        empty = gateway.start(place, up, gateway.FAST, name="empty")
        began = time.monotonic()
        history = gateway.History(given.requests, given.users, given.days)
        deep = gateway.start(place, up, gateway.FAST, name="deep", history=history)
        found: dict[str, Any] = {
            "requests": given.requests, "users": given.users,
            "seeded_s": round(history.seeded_s, 1), "start_s": round(history.start_s, 2),
            "pages": {},
        }  # fmt: skip
        print(f"seeded in {history.seeded_s:.1f} s, ready {history.start_s:.2f} s after its start", flush=True)
        for name, took in reading(deep, history.key, history.password, given.times):
            found["pages"][name] = took
            print(f"{name:48} p50 {took['p50_ms']:7.2f} ms   p95 {took['p95_ms']:7.2f} ms", flush=True)
        if given.turns:
            found["calls"] = calls([empty, deep], body, given.turns, given.seconds)
            print("plain calls a second: empty {empty}, deep {deep}, ratio {ratio} {ratios}".format(**found["calls"]))
        found["took_s"] = round(time.monotonic() - began, 1)
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/depth", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the history [1000000]")
    parser.add_argument("--users", type=int, default=10, help="who made them [10]")
    parser.add_argument("--days", type=float, default=30.0, help="over how long [30]")
    parser.add_argument("--times", type=int, default=40, help="how often each page is asked for [40]")
    parser.add_argument("--turns", type=int, default=6, help="of plain calls on each; 0: none [6]")
    parser.add_argument("--seconds", type=int, default=2, help="of each turn [2]")
    parser.add_argument("--json", type=Path, help="write what was found there too")
    given = parser.parse_args()
    try:
        found = measure(given)
    except Trouble as error:
        print(error, file=sys.stderr)
        return 2
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
