"""ftgate as it is measured: a prepaid account, metering, request rows and a durable ledger, as anybody would run it."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import wire
from scripts.benchmark.books import Books
from scripts.benchmark.processes import environment
from scripts.benchmark.subjects import ROOT, START_S, Place, Subject, Upstreams

_MANY = 1_000_000_000
"""A limit that counts every call and refuses none."""


@dataclass(frozen=True)
class Variant:
    """One way to run ftgate; all else is equal."""

    name: str
    words: str
    fast_door: bool = True
    limits: bool = False
    durability: str = "power"


FAST = Variant("ftgate", "ftgate, fast door; rate limits off")
PLAIN = Variant("ftgate-plain", "ftgate, plain door (Hypercorn); rate limits off", fast_door=False)
LIMITED = Variant("ftgate-limits", "ftgate, fast door, rate limits counted", limits=True)
PROCESS = Variant("ftgate-process", 'ftgate, fast door, durability = "process"', durability="process")


def config(variant: Variant, up: Upstreams) -> str:
    """Its ftgate.toml."""
    many = _MANY if variant.limits else 0
    lines = ["[server]", f"fast_door = {str(variant.fast_door).lower()}"]
    lines += ["[database]", f'durability = "{variant.durability}"']
    lines += [
        "[limits]",
        f"requests_per_second = {many}",
        f"requests_per_minute = {many}",
        f"tokens_per_minute = {many}",
    ]
    lines += [f"concurrent = {many}"]
    for model, port in ((wire.PLAIN, up.static_port), (wire.STREAM, up.paced_port)):
        lines += [
            "[[channel]]",
            f'name = "{model}"',
            'provider = "openai-compatible"',
            f'base_url = "http://127.0.0.1:{port}/v1"',
        ]
        lines += ['keys = ["sk-upstream"]', "timeouts = { idle = 600 }", f'[channel.models."{model}"]']
        lines += ["input = 0.1", "output = 0.2", "context = 131072", "max_output = 65536"]
    return "\n".join(lines) + "\n"


@dataclass
class History:
    """Made-up requests that stand in a data directory before its server starts; and how long both took. `key` is of a
    user of theirs, `password` of the operator `root`."""

    requests: int
    users: int
    days: float
    seeded_s: float = 0.0
    start_s: float = 0.0
    key: str = ""
    password: str = "correct horse"

    def write(self, books: Books) -> None:
        began = time.monotonic()
        numbers = ("--requests", str(self.requests), "--users", str(self.users), "--days", str(self.days))
        self.key = books.command("bench", "seed", *numbers)["users"][0]["key"]
        self.seeded_s = time.monotonic() - began
        books.command("users", "create", "root", "--admin", "--password", "-", stdin=self.password)


def start(
    place: Place, up: Upstreams, variant: Variant, name: str | None = None, root: Path = ROOT,
    history: History | None = None,
) -> Subject:  # fmt: skip
    """A new data directory, an account with credits, a key, and the server; of the files under `root`. Raises
    Trouble."""
    directory = place.sub(name or variant.name)
    (directory / "ftgate.toml").write_text(config(variant, up))
    books = Books(variant.name, directory, root)
    if history is not None:
        history.write(books)
    books.command("users", "create", "bench", "--credits", "10000")
    key = books.command("keys", "create", "--user", "bench")["key"]
    began = time.monotonic()
    argv = [sys.executable, "-m", "ftgate", "serve", *books.arguments, "--port", "0"]
    child = place.children.start(variant.name, argv, directory, env=environment(PYTHONPATH=str(root)))
    child.wait_for(lambda: child.out.read_text().startswith("ready ") and child.out.read_text().endswith("\n"), START_S)
    if history is not None:
        history.start_s = time.monotonic() - began
    port = int(child.out.read_text().split()[1].rpartition(":")[2])
    headers = {"Authorization": f"Bearer {key}"}
    return Subject(variant.name, variant.words, child, port, port, headers, headers, books)
