"""The benchmark behind scripts/bench: its arithmetic, its reading of bytes, its reports, and one small run. No time is
judged."""

import json
import socket
import struct
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from scripts.benchmark import gateway, paced, plain, plan, sections, streams, subjects, translation, wire
from scripts.benchmark.books import judge
from scripts.benchmark.figures import Load, Spread, added_us, cell, parse_wrk, percentile, plain_dict, ratio, spread
from scripts.benchmark.gateways import LIMIT, ideal, most_in_a_second, used
from scripts.benchmark.picture import panels, svg
from scripts.benchmark.processes import Children, cpu_s, rss_bytes, tree
from scripts.benchmark.report import figure, markdown, ratios, table
from tests.patience import until

WRK = """Running 1s test @ http://127.0.0.1:1/v1/chat/completions
  1 threads and 32 connections
Requests/sec:   1000.00
bench {"requests": 1005, "duration_us": 1005000, "p50_us": 900, "p99_us": 4100, "status": 3, "connect": 0, "read": 1, "write": 0, "timeout": 1}
"""  # noqa: E501


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0.0),
        ([7], 99, 7),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
        ([1, 2], 0, 1),
    ],
)
def test_percentile(values: Any, percent: float, expected: float) -> None:
    assert percentile(list(values), percent) == expected


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    with pytest.raises(ValueError):
        spread([])


def test_what_wrk_says() -> None:
    load = parse_wrk(WRK)
    assert load == Load(answers=1002, errors=5, seconds=1.005, p50_us=900, p99_us=4100)
    assert round(load.per_second) == 997
    with pytest.raises(ValueError, match="Connection refused"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_rounds_are_summed_up() -> None:
    loads = [Load(100, 0, 1.0, 500, 900), Load(0, 3, 1.0, 0, 0), Load(300, 1, 1.0, 700, 1100)]
    found = cell(loads, [1.0, 3.0])
    assert (found.per_second, found.p50_us) == (Spread(100, 0, 300), Spread(600, 500, 700))
    assert (found.answers, found.errors, found.rounds, found.cpu_s_per_1000) == (400, 4, 3, Spread(2.0, 1.0, 3.0))
    direct = [Load(1, 0, 1.0, 100, 100)] * 3
    assert added_us(loads, direct) == Spread(500, 400, 600)
    assert added_us([loads[1]], direct) is None
    assert ratio(2.0, 3.0) == 0.667 and ratio(1.0, 0.0) is None


def test_the_bytes_on_the_wire() -> None:
    body = wire.plain_body()
    assert len(body) == wire.BODY_BYTES and json.loads(body)["model"] == wire.PLAIN
    assert 250 <= len(wire.plain_answer()) <= 350 and json.loads(wire.plain_answer())["usage"]["total_tokens"] == 226
    assert json.loads(wire.stream_body(7))["messages"][0]["content"].startswith("rate=7 ")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: a\r\ncontent-length:0\r\n\r\n",
    ],
)
def test_where_an_answer_ends(answer: bytes) -> None:
    for cut in range(len(answer)):
        assert wire.answer_size(answer[:cut]) is None
    assert wire.answer_size(answer + b"HTTP/1.1 200") == len(answer)


def test_chunks_are_undone_wherever_they_are_cut() -> None:
    data = b"5\r\nhello\r\nb; x=y\r\n, big world\r\n0\r\n\r\n"
    for cut in range(len(data)):
        chunks = wire.Unchunker()
        assert chunks.feed(data[:cut]) + chunks.feed(data[cut:]) == b"hello, big world" and chunks.ended
    chunks = wire.Unchunker()
    assert b"".join(chunks.feed(data[at : at + 1]) for at in range(len(data))) == b"hello, big world"
    with pytest.raises(ValueError):
        wire.Unchunker().feed(b"data: no chunk\r\n")


@pytest.mark.parametrize(
    ("answers", "settled", "voided", "cut_at_most", "verify", "fault"),
    [
        (100, 100, 0, 0, {"ok": True}, ""),
        (100, 130, 2, 32, {"ok": True}, ""),
        (100, 99, 0, 32, {"ok": True}, "1 answers were never settled"),
        (100, 131, 2, 32, {"ok": True}, "1 calls more than the load made"),
        (100, 100, 0, 0, {"ok": True, "open_holds": 2}, "2 holds are open"),
        (100, 100, 0, 0, {"ok": False, "disagreement": "entry 7"}, "the ledger does not verify: entry 7"),
    ],
)
def test_the_books_are_judged(
    answers: int, settled: int, voided: int, cut_at_most: int, verify: dict[str, Any], fault: str
) -> None:
    assert judge("ftgate", "plain", verify, answers, settled, voided, cut_at_most).fault == fault


def test_the_plan() -> None:
    quick = plan.parse([])
    assert (quick.sections, quick.seconds, quick.rounds, quick.peers) == (("plain", "latency", "streams"), 1, 3, ())
    assert (1, "ftgate-limits") not in quick.cells() and (32, "ftgate-limits") in quick.cells()
    latency = plan.parse(["--only", "latency", "--subjects", "ftgate", "--peers", "all", "--rounds", "2"])
    assert latency.cells() == [(1, name) for name in ("direct", "ftgate", "litellm", "portkey")]
    assert "memory" in plan.parse(["--full"]).sections and "memory" in plan.parse(["--memory"]).sections
    for wrong in (["--peers", "nobody"], ["--subjects", "nobody"], ["--rounds", "0"], ["--only", "nothing"]):
        with pytest.raises(SystemExit):
            plan.parse(wrong)


def _result() -> dict[str, Any]:
    def plain_cell(rate: float, cpu: float) -> Any:
        return cell([Load(int(rate), 0, 1.0, 1e6 / rate, 4e6 / rate)], [cpu])

    stream = sections.StreamCell(Spread(1, 1, 1), Spread(2, 1, 4), 9.0, 1000, 1000, 990, 20_000, 0, 3)
    result: Any = plain_dict(
        {
            "about": {"when": "2026-01-01 00:00 UTC", "machine": "A & B <C>", "cores": 2, "python": "3.11.7"},
            "settings": {
                "sections": ("plain",),
                "seconds": 1,
                "rounds": 1,
                "stream_seconds": 2,
                "stream_rounds": 1,
                "load": "wrk",
            }
            | {"upstream": "nginx"},
            "subjects": {"direct": "the upstream", "naive": "a passthrough", "ftgate": "fast door"},
            "missing": {"portkey": "it needs Node\nand more"},
            "plain": {
                "direct": {"1": plain_cell(50_000, 0.01), "32": plain_cell(70_000, 0.01)},
                "naive": {"1": plain_cell(800, 1.2), "32": plain_cell(700, 1.4)},
                "ftgate": {"1": plain_cell(4000, 0.2), "32": plain_cell(7000, 0.14)},
            },
            "added_us": {"naive": Spread(1200, 1100, 1300), "ftgate": Spread(240, 230, 250)},
            "streams": {"direct": {"1000x10": stream}, "ftgate": {"1000x10": stream, "20x10": stream}},
            "idle_mb": {"naive": 50.0, "ftgate": 40.0},
            "memory": {"ftgate": sections.Memory(40.0, 1900, 2000, 140.0, 52.6, 90.0, {"20000": 91.0})},
            "books": [judge("ftgate", "plain calls", {"ok": True}, 100, 101, 0, 1)],
        }
    )
    result["ratios"] = ratios(result)
    return dict(json.loads(json.dumps(result)))


def test_the_report() -> None:
    result = _result()
    assert result["ratios"]["naive"] == {
        "requests/s, 1 conn.": 5.0,
        "requests/s, 32 conn.": 10.0,
        "added latency": 0.2,
        "CPU": 0.1,
        "idle memory": 0.8,
    }
    text = markdown(result)
    for words in (
        "missing: portkey**: it needs Node\n",
        "| 1,000 streams x 10/s |",
        "140 with 1,900 of 2,000",
        "91 after 20,000",
        "÷ naive",
    ):
        assert words in text
    for only in ("plain", "streams", "memory"):  # a run of one part has nothing of the others
        some = {
            **result,
            "plain": {},
            "added_us": {},
            "streams": {},
            "memory": {},
            "idle_mb": {},
            "ratios": {},
            only: result[only],
        }
        assert markdown(some).startswith("# Benchmark") and ElementTree.fromstring(svg(some)) is not None


def test_tables_and_figures() -> None:
    assert (
        table(["", "ms"], [["a", "1"], ["long", "22"]]) == "|      | ms |\n|------|---:|\n| a    |  1 |\n| long | 22 |"
    )
    assert [figure(value) for value in (0, 0.01234, 1.5, 99.96, 1234.5)] == ["0", "0.0123", "1.5", "100", "1,234"]


def test_the_picture() -> None:
    result = _result()
    root = ElementTree.fromstring(svg(result))
    name = "{http://www.w3.org/2000/svg}"
    drawn = root.findall(f".//{name}circle")
    assert len(drawn) == sum(len(rows) for _, _, rows in panels(result)) == 7
    assert "prefers-color-scheme: dark" in (root.findtext(f"{name}style") or "") and "10 short" in (
        root.findtext(f"{name}desc") or ""
    )


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the benchmark needs Linux")
def test_our_own_upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in where nginx is not installed."""
    monkeypatch.setattr(subjects, "have_nginx", lambda: False)
    with Children() as children:
        up = subjects.start_upstreams(subjects.Place(tmp_path, children))
        direct = subjects.direct(up)
        sections.probe(direct, up)
        load = plain.closed_loop(direct.plain, direct.plain.request(wire.plain_body()), 3, seconds=5, count=20)
        assert (load.answers, load.errors, up.served()) == (20, 0, 21)
        lost = plain.closed_loop(direct.plain, direct.plain.request(b"{}"), 1, seconds=5, count=1, must_hold=b"never")
        assert (lost.answers, lost.errors) == (0, 1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the benchmark needs Linux")
def test_a_small_run(tmp_path: Path) -> None:
    """Real processes: the upstreams, ftgate, both loads, and the books."""
    with Children() as children:
        place = subjects.Place(tmp_path, children)
        up = subjects.start_upstreams(place)
        subject = gateway.start(place, up, gateway.PLAIN)
        sections.probe(subject, up)
        assert subject.books and subject.child
        load = plain.closed_loop(subject.plain, subject.plain.request(wire.plain_body()), 4, seconds=20, count=40)
        assert (load.answers, load.errors) == (40, 0) and 0 < load.p50_us <= load.p99_us
        run = streams.measure(
            subject.stream_port, subject.stream_request(20), up.paced_port, count=5, rate=20, seconds=0.5
        )
        assert (run.opened, run.ended, run.lost, run.stalled) == (5, 5, 0, 0) and run.events > 5
        subject.books.note(load.answers + run.ended, 0)
        checked = subject.books.check("a small run")
        assert (checked.fault, checked.verified, checked.answers, checked.settled, checked.cut) == ("", True, 47, 47, 0)
        assert up.served() == 41 and cpu_s(subject.child.pid) > 0 and rss_bytes(subject.child.pid) > 1e7
        pids = [pid for child in (up.static, up.paced, subject.child) for pid in tree(child.pid)]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_what_gateways_admit_of_a_limit_is_counted() -> None:
    second = 1_000_000
    assert most_in_a_second([]) == 0 and most_in_a_second([0, 1, second, second + 1]) == 2
    assert most_in_a_second([0, 1, second - 1, second, second + 1]) == 3
    burst = [n * second + at for n in range(4) for at in range(LIMIT)]
    assert most_in_a_second(burst) == LIMIT and used(burst) == 1.0
    assert used([at * second * 2 // LIMIT for at in range(4 * LIMIT)]) == 0.5
    offered = [at * second // (4 * LIMIT) for at in range(40 * LIMIT)]
    assert ideal(offered) == [at for at in offered if at % second < second // 4]


async def test_a_stream_that_was_reset_is_written_to_no_more() -> None:
    upstream = paced.Upstream()
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, upstream.serve, 0, host="127.0.0.1"))
        async with await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]) as client:
            await client.send_all(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nrate=9")
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
            await until(lambda: len(upstream.streams) == 1)  # its head is sent before it is one of them
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: not upstream.streams)
        nursery.cancel_scope.cancel()


def test_what_translation_costs_is_told_for_every_direction() -> None:
    singly, together, requests = translation.tables(40, 1)
    for written in (singly, together, requests):
        rows = [line.split(" | ") for line in written.splitlines()[4:]]
        assert {(row[0].removeprefix("| "), row[1]) for row in rows} == {
            (upstream, caller) for upstream in translation.NAMES for caller in translation.CALLERS
        }
        assert all(float(row[2]) > 0 for row in rows)
    for caller in translation.CALLERS:  # what is timed does what it is timed for
        for upstream in translation.NAMES:
            head, texts = translation.stream(upstream, 3)
            reader = translation.reader(caller, upstream)
            passed = reader.feed(head) + b"".join(map(reader.feed, texts))
            assert passed.count(translation.WORD.encode()) == 3
