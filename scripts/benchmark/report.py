"""What was found, as Markdown tables for people: pure, from the same dict that result.json holds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scripts.benchmark.figures import ratio

Result = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown with aligned columns; the first is text, the others are figures."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])


def figure(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def spread_words(found: Mapping[str, float] | None, factor: float = 1.0) -> str:
    """`median (low-high)`."""
    if found is None:
        return "-"
    low, high = figure(found["low"] * factor), figure(found["high"] * factor)
    return figure(found["median"] * factor) + (f" ({low}–{high})" if low != high else "")


def plain_tables(result: Result) -> list[str]:
    found = result["plain"]
    connections = sorted({int(many) for cells in found.values() for many in cells})

    def rows(name: str, words: Callable[[Mapping[str, Any]], str]) -> list[str]:
        return [name, *(words(found[name][str(many)]) if str(many) in found[name] else "-" for many in connections)]

    def latency(cell: Mapping[str, Any]) -> str:
        return f"{figure(cell['p50_us']['median'] / 1000)} / {figure(cell['p99_us']['median'] / 1000)}"

    head = ["", *(f"{many} connection{'s' * (many > 1)}" for many in connections)]
    parts = []
    if "plain" in result["settings"]["sections"]:
        parts += ["## Requests a second", "", "The median of the rounds (least–greatest).", ""]
        parts += [table(head, [rows(name, lambda cell: spread_words(cell["per_second"])) for name in found]), ""]
        parts += ["## Time of an answer, p50 / p99 in ms", "", table(head, [rows(name, latency) for name in found]), ""]
    added = result.get("added_us", {})
    if added:
        lines = [[name, spread_words(added[name], 0.001)] for name in added]
        parts += [
            "## Added latency",
            "",
            "p50 on one connection minus the direct upstream's in the same round, ms.",
            "",
        ]
        parts += [table(["", "added ms"], lines), ""]
    many = "32" if 32 in connections else str(connections[0])
    lines = []
    for name in (name for name in found if many in found[name]):
        answers, errors = (sum(cell[what] for cell in found[name].values()) for what in ("answers", "errors"))
        lines.append([name, spread_words(found[name][many]["cpu_s_per_1000"]), f"{answers:,}", f"{errors:,}"])
    parts += [f"## CPU seconds for 1,000 requests ({many} connections), answers and errors", ""]
    return [*parts, table(["", "CPU s", "answers", "errors"], lines), ""]


def stream_tables(result: Result) -> list[str]:
    found = result["streams"]
    keys = sorted(
        {key for cells in found.values() for key in cells}, key=lambda key: [int(part) for part in key.split("x")]
    )
    parts = [
        "## Streams: event delay",
        "",
        "From the upstream's send to the client's read, p50 / p99 in ms. *Short* are streams that did not open",
    ]
    parts += [
        "in time or did not end in good order, *lost* events that were sent and never came, *stalled* streams "
        "without an event"
    ]
    parts += ["for more than a second.", ""]
    for key in keys:
        count, rate = key.split("x")
        rows = []
        for name in (name for name in found if key in found[name]):
            cell = found[name][key]
            delay = f"{figure(cell['p50_ms']['median'])} / {figure(cell['p99_ms']['median'])}"
            rows.append(
                [
                    name,
                    delay,
                    figure(cell["max_ms"]),
                    f"{cell['stalled']:,}",
                    f"{cell['wanted'] - cell['ended']:,}",
                    f"{cell['lost']:,}",
                ]
            )
        head = [f"{int(count):,} streams x {rate}/s", "delay ms", "longest", "stalled", "short", "lost"]
        parts += [table(head, rows), ""]
    return parts


def memory_tables(result: Result) -> list[str]:
    parts = []
    if idle := result.get("idle_mb"):
        parts += [
            "## Memory after the start, MB",
            "",
            table(["", "RSS"], [[name, figure(mb)] for name, mb in idle.items()]),
            "",
        ]
    if found := result.get("memory"):
        rows = []
        for name, seen in found.items():
            calls = [f"{figure(mb)} after {int(many):,}" for many, mb in seen["after_calls_mb"].items()]
            few = f" of {seen['wanted_streams']:,}" if seen["idle_streams"] < seen["wanted_streams"] else ""
            streams = f"{figure(seen['with_streams_mb'])} with {seen['idle_streams']:,}{few}"
            row = [
                name,
                figure(seen["idle_mb"]),
                streams,
                figure(seen["kb_per_stream"]),
                figure(seen["after_streams_mb"]),
            ]
            rows.append([*row, ", ".join(calls)])
        head = ["", "idle", "open streams", "KB a stream", "when they ended", "calls"]
        parts += ["## Memory of a new process by itself, MB", "", table(head, rows), ""]
    return parts


def ratios(result: Result) -> dict[str, dict[str, float | None]]:
    """ftgate against every other subject: how many times its requests a second, its added latency, its CPU, its
    memory."""
    plain, added, idle = result.get("plain", {}), result.get("added_us", {}), result.get("idle_mb", {})
    mine = next((name for name in ("ftgate", "ftgate-plain") if name in plain), None)
    found: dict[str, dict[str, float | None]] = {}
    for other in (name for name in plain if mine and name != mine):
        own, theirs = plain[mine], plain[other]
        row = {
            f"requests/s, {many} conn.": ratio(own[many]["per_second"]["median"], theirs[many]["per_second"]["median"])
            for many in own
            if many in theirs
        }
        if mine in added and other in added and added[mine]["median"] > 0 and added[other]["median"] > 0:
            row["added latency"] = ratio(added[mine]["median"], added[other]["median"])
        many = "32" if "32" in own and "32" in theirs else "1"
        if many in own and many in theirs and (cpu := theirs[many]["cpu_s_per_1000"]) and own[many]["cpu_s_per_1000"]:
            row["CPU"] = ratio(own[many]["cpu_s_per_1000"]["median"], cpu["median"])
        if mine in idle and other in idle:
            row["idle memory"] = ratio(idle[mine], idle[other])
        found[other] = row
    return found


def ratio_table(result: Result) -> list[str]:
    found = result.get("ratios", {})
    if not found:
        return []
    columns = list(dict.fromkeys(column for row in found.values() for column in row))
    rows = [
        [f"÷ {name}", *(figure(row[column]) if row.get(column) is not None else "-" for column in columns)]
        for name, row in found.items()
    ]
    mine = "ftgate" if "ftgate" in result["plain"] else "ftgate-plain"
    words = f"{mine} divided by each: of requests a second more is better, of all else less."
    return ["## Ratios", "", words, "", table(["", *columns], rows), ""]


def books_table(result: Result) -> list[str]:
    rows = []
    for one in result.get("books", []):
        verified = "ok" if one["verified"] else "DOES NOT VERIFY"
        cut = f"{one['cut'] + one['voided']:,}"
        rows.append(
            [
                one["subject"],
                one["after"],
                f"{one['answers']:,}",
                f"{one['settled']:,}",
                cut,
                verified,
                one["fault"] or "none",
            ]
        )
    if not rows:
        return []
    words = (
        "Every answer must be one settled request. *Cut* are calls that were under way when a load stopped, "
        "which the load does not count."
    )
    return ["## Books", "", words, "", table(["", "after", "answers", "settled", "cut", "ledger", "fault"], rows), ""]


def markdown(result: Result) -> str:
    """The whole report."""
    about, settings = result["about"], result["settings"]
    parts = [
        "# Benchmark",
        "",
        f"{about['when']}, {about['machine']}, {about['cores']} cores, Python {about['python']}.",
    ]
    parts += [
        f"Load: {settings['load']}; static upstream: {settings['upstream']}; everything on one machine, so all share "
        "its cores."
    ]
    plain = f"Cells of {settings['seconds']} s (256 connections: twice that), {settings['rounds']} rounds in turn"
    parts += [f"{plain}; streams {settings['stream_seconds']} s, {settings['stream_rounds']} rounds."]
    parts += ["", *(f"- **{name}**: {words}" for name, words in result["subjects"].items())]
    parts += [f"- **missing: {name}**: {why.splitlines()[0] if why else ''}" for name, why in result["missing"].items()]
    parts += ["", *ratio_table(result)]
    parts += plain_tables(result) if result.get("plain") else []
    parts += stream_tables(result) if result.get("streams") else []
    parts += [*memory_tables(result), *books_table(result)]
    return "\n".join(parts).rstrip() + "\n"
