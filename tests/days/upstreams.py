"""The upstreams of a history: what they say is made up by the history's chance, cut anywhere, with pauses and failures;
the truth of it is told to the auditor."""

import json
import random
from collections.abc import Callable
from typing import Any

import trio

from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest
from tests.days.auditor import Auditor
from tests.days.seen import Told


class RandomAnswer:
    """ports.Answer: plays what was told, at random cuts."""

    def __init__(self, upstreams: "Upstreams", told: Told, status: int, headers: Headers, steps: list[Any]) -> None:
        self.upstreams, self.told, self.status, self.headers, self.steps = upstreams, told, status, headers, steps
        self.whole: bytes | None = None
        self.closed = False

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        if self.upstreams.rng.random() < 0.5:
            return False
        while piece := await self.receive():
            if not take(piece):
                break
        else:
            self.steps.append(0.0)  # its end is for receive() to tell
        return True

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        assert not self.closed
        try:
            while self.steps:
                step = self.steps.pop(0)
                if isinstance(step, float):
                    await trio.sleep(step)
                    continue
                if isinstance(step, UpstreamFailed):
                    raise step
                piece: bytes = step
                self.told.bytes_read += len(piece)
                self.told.read_at = trio.current_time()
                return piece
        except (UpstreamFailed, trio.Cancelled) as ended:
            self.told.broken(ended)
            raise
        self.told.over = "clean"
        return b""

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = self.told.closed = True
            self.upstreams.open_answers -= 1
        await trio.lowlevel.checkpoint()


class Upstreams:
    """ports.Upstream. `failing` says how often one answers with an error."""

    def __init__(self, rng: random.Random, auditor: Auditor, failing: float) -> None:
        self.rng = rng
        self.auditor = auditor
        self.failing = failing
        self.open_answers = 0

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> None:
        """As ports.Upstream says: each call is opened."""

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        _, told = self.auditor.asked(request, trio.current_time())
        assert sending is not None
        try:
            return await self._answer(told, sending)
        except (UpstreamFailed, trio.Cancelled) as ended:
            told.broken(ended)
            raise

    async def _answer(self, told: Told, sending: Sending) -> Answer:
        rng = self.rng
        await trio.sleep(rng.choice([0.0, rng.uniform(0, 3)]))
        if rng.random() < 0.1:
            raise UpstreamFailed(rng.choice([Fault.connect, Fault.dns, Fault.tls]), "unreached", sent=False)
        sending.sent = told.sent = True
        await trio.sleep(rng.choice([0.0, rng.uniform(0, 6)]))
        if rng.random() < 0.08:
            raise UpstreamFailed(Fault.reset, "reset", sent=True)
        self.open_answers += 1
        if rng.random() < self.failing:
            told.status = rng.choice([400, 401, 402, 408, 429, 500, 502, 529])
            headers = [(b"retry-after", b"%d" % rng.randint(0, 5))] if rng.random() < 0.5 else []
            return RandomAnswer(self, told, told.status, headers, [b'{"error":{"message":"no","type":"t"}}'])
        told.status = 200
        kind = b"text/event-stream" if told.stream else b"application/json"
        return RandomAnswer(self, told, 200, [(b"content-type", kind)], self._speak(told))

    def _speak(self, told: Told) -> list[Any]:
        """What the upstream will say: pieces of bytes, pauses, perhaps an end in the middle. The truth goes into
        `told`."""
        rng = self.rng
        model = told.candidate.model
        cap = told.asked.get("max_tokens") or model.max_output or 200
        answers = told.asked.get("n", 1)
        pieces = rng.randint(0, min(cap, 30))
        told.truth(
            rng,
            prompt=rng.randint(1, min(model.context or 10**6, 300)),
            cached=rng.randint(0, 50),
            written=rng.choice([0, 0, rng.randint(1, 80)]),
            output=max(pieces * rng.randint(1, 3), 1 if pieces else 0),
            most=cap * answers,
            content=pieces > 0,
        )
        return self._stream(told, pieces) if told.stream else self._whole(told, pieces, answers)

    def _whole(self, told: Told, pieces: int, answers: int) -> list[Any]:
        rng = self.rng
        choices = [
            {"index": i, "message": {"role": "assistant", "content": "word " * pieces}, "finish_reason": "stop"}
            for i in range(answers)
        ]
        body: dict[str, Any] = {"id": "x", "choices": choices, "usage": told.said}
        marks = ["piece"] * pieces * answers + ["finish"]
        if rng.random() < 0.05:
            body = {"error": {"message": "inside a 200"}}
            marks = ["complaint"]
        data = json.dumps(body).encode()
        told.marks = [(len(data), what, None) for what in marks]
        if told.usage_if_cut is not None and marks != ["complaint"]:
            told.marks.append((len(data), "usage", told.usage_if_cut))
        at = rng.randrange(len(data))
        steps: list[Any] = [data[:at], rng.uniform(0, 8), data[at:]]
        if rng.random() < 0.06:
            steps = [data[:at], UpstreamFailed(Fault.incomplete, "cut", sent=True)]
        return [step for step in steps if step != b""]

    def _stream(self, told: Told, pieces: int) -> list[Any]:
        """Each event with what it tells. Some say with every piece what was used so far."""
        rng = self.rng
        says = told.said if told.shows else None
        early = says is not None and told.usage is not None and rng.random() < 0.25
        data = OPENING
        for number in range(1, pieces + 1):
            if early and says is not None and told.usage is not None:
                so_far = {
                    **says,
                    "completion_tokens": number,
                    "total_tokens": told.usage[0] + number,
                    "completion_tokens_details": None,
                }
                data += event({"delta": {"content": "word "}}, so_far)
                told.marks.append((len(data), "usage", (*told.usage[:3], number)))
            else:
                data += WORD
            told.marks.append((len(data), "piece", None))
        if rng.random() > 0.1:
            data += event({"delta": {}, "finish_reason": "stop"})
            told.marks.append((len(data), "finish", None))
            if says is not None:
                data += event(None, says)
                told.marks += [(len(data), "usage", told.usage_if_cut)] if told.usage_if_cut is not None else []
        if rng.random() < 0.03:
            data += b'data: {"error":{"message":"inside a stream"}}\n\n'
            told.marks.append((len(data), "complaint", None))
        if rng.random() < 0.8:
            data += b"data: [DONE]\n\n"
            told.marks.append((len(data), "done", None))
        return self._in_pieces(data)

    def _in_pieces(self, data: bytes) -> list[Any]:
        """A stream's bytes cut anywhere, with pauses between, now and then broken off."""
        rng = self.rng
        steps: list[Any] = []
        while data:
            size = rng.randint(1, 400)
            steps.append(data[:size])
            data = data[size:]
            if rng.random() < 0.2:
                steps.append(rng.choice([rng.uniform(0, 1), rng.uniform(0, 9)]))
        if rng.random() < 0.12:
            steps = steps[: rng.randint(0, len(steps))]
            steps.append(UpstreamFailed(Fault.incomplete, "cut", sent=True))
        return steps


def event(choice: dict[str, Any] | None, usage: dict[str, Any] | None = None) -> bytes:
    """One event of a stream."""
    chunk: dict[str, Any] = {
        "id": "x",
        "choices": [] if choice is None else [{"index": 0, "finish_reason": None, **choice}],
    }
    return b"data: " + json.dumps(chunk if usage is None else {**chunk, "usage": usage}).encode() + b"\n\n"


OPENING = event({"delta": {"role": "assistant", "content": ""}})
WORD = event({"delta": {"content": "word "}})
