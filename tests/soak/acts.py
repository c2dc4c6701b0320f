"""What people and programs do to a gateway in a long run, one function each: what it came to, or what was wrong."""

import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.blackbox.harness import HELLO
from tests.browser.dashboard import BROKEN, FLASH, LONG, OPERATOR, OTHER, SLOW, THINKER, USER, Dashboard

PEOPLE = (USER, OTHER)
MESSAGES = {"max_tokens": 50, "messages": HELLO}


class Wrong(Exception):
    """What no run may see, in one sentence."""


@dataclass
class Visitor:
    """One who does things, over connections of its own."""

    site: Dashboard
    random: random.Random
    http: httpx.Client
    base: Path
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def who(self) -> str:
        return self.random.choice(PEOPLE)

    def post(self, path: str, body: object, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.site.keys[self.who]}"}
        return self.http.post(path, json=body, headers=headers)


def whole(answer: httpx.Response, status: int, *marks: str) -> None:
    """Raises Wrong unless the answer has this status and holds these marks."""
    if answer.status_code != status:
        raise Wrong(f"{answer.request.url.path} answered {answer.status_code}, not {status}: {answer.text[:200]}")
    for mark in marks:
        if mark not in answer.text:
            raise Wrong(f"{answer.request.url.path} answered without {mark!r}: {answer.text[-200:]}")


def refused(answer: httpx.Response) -> None:
    """A wrong key: 401, or 429 where there were many from this address. Raises Wrong."""
    if answer.status_code != 429:
        whole(answer, 401)


def plain(one: Visitor) -> None:
    model = one.random.choice([FLASH, FLASH, THINKER, LONG, "auto"])
    whole(one.post("/v1/chat/completions", {"model": model, "messages": HELLO}), 200, '"usage"')


def stream(one: Visitor) -> None:
    body = {"model": one.random.choice([FLASH, THINKER]), "messages": HELLO, "stream": True}
    whole(one.post("/v1/chat/completions", body), 200, "data: [DONE]", "cost=")


def messages(one: Visitor) -> None:
    streamed = one.random.random() < 0.5
    answer = one.post("/v1/messages", {"model": FLASH, "stream": streamed, **MESSAGES})
    whole(answer, 200, "message_stop" if streamed else "end_turn")


def responses(one: Visitor) -> None:
    streamed = one.random.random() < 0.5
    answer = one.post("/v1/responses", {"model": FLASH, "input": "Hello", "stream": streamed})
    whole(answer, 200, "response.completed" if streamed else "completed")


def leave(one: Visitor) -> None:
    """A client that reads a little of a long stream and goes."""
    body = {"model": SLOW, "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {one.site.keys[one.who]}"}
    with one.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        if answer.status_code != 200:
            raise Wrong(f"a stream was answered {answer.status_code}: {answer.read()[:200]!r}")
        pieces = answer.iter_bytes()
        for _ in range(one.random.randrange(1, 30)):
            next(pieces, b"")


def broken(one: Visitor) -> None:
    answer = one.post("/v1/chat/completions", {"model": BROKEN, "messages": HELLO})
    whole(answer, 503 if answer.status_code == 503 else 502, '"error"')


def bad(one: Visitor) -> None:
    whole(one.post("/v1/chat/completions", {"model": "no-such-model", "messages": HELLO}), 400, "model_not_found")
    whole(one.post("/v1/chat/completions", {"model": FLASH}), 400, "messages")
    refused(one.post("/v1/chat/completions", {}, key="sk-ft_" + "x" * 40))


def pages(one: Visitor) -> None:
    """A dashboard that stays open."""
    looked = [(USER, "/"), (USER, "/logs"), (OPERATOR, "/"), (OPERATOR, "/admin/calls"), (OPERATOR, "/admin/channels")]
    for name, path in looked:
        session = one.site.session(name)
        cookie = {"Cookie": f"{session.cookie}={session.value}", "Accept": "text/html"}
        whole(one.http.get(path, headers=cookie), 200, "</html>")


def keys(one: Visitor) -> None:
    """A key's whole life."""
    who = one.who
    made = one.site.key(who, name=f"soak {one.random.random()}", quota=100)
    secret, path = made["key"], f"/v1/tokens/{made['apiKey']['id']}"
    body = {"model": FLASH, "messages": HELLO}
    whole(one.post("/v1/chat/completions", body, key=secret), 200)
    one.site.api(who, "PATCH", path, {"status": "disabled"})
    refused(one.post("/v1/chat/completions", body, key=secret))
    one.site.api(who, "DELETE", path)
    refused(one.post("/v1/chat/completions", body, key=secret))


def pay(one: Visitor) -> None:
    with one.one_at_a_time:  # a few an hour are allowed to each
        one.site.pay(one.who, one.random.randrange(5, 20))


def reload(one: Visitor) -> None:
    """The config is written anew with another setting, and read by itself or by command."""
    house = one.site.house
    with one.one_at_a_time:
        text = re.sub(r"\nkeepalive = \d+", "", house.file.read_text())
        text = text.replace("[server]\n", f"[server]\nkeepalive = {one.random.randrange(5, 30)}\n", 1)
        beside = house.file.with_name("beside.toml")
        beside.write_text(text)
        beside.replace(house.file)
        if one.random.random() < 0.5:
            house.cli("reload")


def backup(one: Visitor) -> None:
    target = one.base / "backups"
    target.mkdir(exist_ok=True)
    with one.one_at_a_time:
        one.site.house.cli("backup", str(target))
        for copy in target.iterdir():
            copy.unlink()


ACTS: Mapping[Callable[[Visitor], None], float] = {
    plain: 40, stream: 20, messages: 8, responses: 8, leave: 6, broken: 3, bad: 3, pages: 2, keys: 1, pay: 0.1,
    reload: 0.2, backup: 0.05,
}  # fmt: skip
"""What is done, and how often of their sum."""


def act(one: Visitor, counts: dict[str, int], wrong: list[str], lock: threading.Lock) -> None:
    """One of them, by chance; what came of it is counted."""
    does = one.random.choices([*ACTS], [*ACTS.values()])[0]
    said: Any = None
    try:
        does(one)
    except (Wrong, httpx.HTTPError, AssertionError) as problem:
        said = f"{does.__name__}: {type(problem).__name__} {problem}"[:400]
    with lock:
        counts[does.__name__] = counts.get(does.__name__, 0) + 1
        if said:
            wrong.append(said)
