"""Calls with provider keys of their callers' own, of many shapes, on every route, good ones and failing ones; and the
search for any of these keys afterwards: in answers, logs, files, in what the process holds, and in a core file.

    python -m tests.blackbox.bringing --calls 1000
"""

import argparse
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.blackbox.harness import HELLO, Account, House, Raw, channel

MARK = "cnry" + secrets.token_hex(6)
"""Stands in every key, and nowhere else."""
KEYS = (f"sk-{MARK}-abcdef", MARK, f'"{MARK}\\"', f"{MARK}/%2F+=", MARK + "x" * (512 - len(MARK)), f"{MARK}.:{MARK}")
SPARED = {"scripts.json", "ftgate.toml", "altered.py"}
"""Files of the test's own, which hold what the upstream says."""
VECTORS = json.dumps(
    {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "v",
     "usage": {"prompt_tokens": 4, "total_tokens": 4}}
)  # fmt: skip


def faults(key: str) -> dict[str, dict[str, Any]]:
    """Everything that an upstream may do wrong, with the key in all that it says."""
    said = f"Incorrect API key provided: {key}. Authorization: Bearer {key}"
    words = {"message": said, "type": key, "code": key, "param": key, "details": {"key": [key]}}
    error = {"type": "error", "error": words}
    return {
        **{f"says-{status}": {"status": status, "error_body": error} for status in (400, 401, 403, 429, 500, 529)},
        "text": {"status": 500, "raw_body": said, "content_type": "text/plain"},
        "in-200": {"raw_body": json.dumps(error)},
        "event": {"error_event": error, "error_after": 0},
        "late-event": {"error_event": error, "error_after": 1},
        "headers": {"headers": [["x-key", key], ["set-cookie", f"k={key}"]]},
        "moved": {"status": 302, "location": f"https://api.example/?key={key}"},
        "garbled": {"raw_response": f"HTTP/1.1 200 OK\r\nBad {key} Header\r\n\r\n"},
    }


SCRIPTS: dict[str, dict[str, Any]] = {
    "good": {},
    "vectors": {"raw_body": VECTORS},
    "reset": {"drop": "rst"},
    "cut": {"cut_after": 1},
    "slow": {"head_delay_s": 30},
    "stalled": {"hang_after": 1},
    "long": {"content": ["tick "], "repeat": 100_000, "piece_delay_s": 0.01},
    **{f"{name}-{at}": script for at, key in enumerate(KEYS) for name, script in faults(key).items()},
}
CONFIG = f"""
[limits]
requests_per_second = 0
[timeouts]
head = 0.3
answer = 0.3
idle = 0.3
[retry]
attempts = 2
backoff = 0.01
[plan.default]
byok_tokens_per_month = 1_000_000_000
[provider.openai]
base_url = "FAKE/openai/v1"
responses_base_url = "FAKE/openai/v1"
[provider.deepseek]
base_url = "FAKE/deepseek/v1"
anthropic_base_url = "FAKE/deepseek/anthropic/v1"
{channel("lab", ["plain"])}
"""
LOOK = """
import gc, os, signal
from tests.holding import held_by

def look(*_):
    # Every text that is held by anything at all: caches, kept connections, books, calls that are over.
    gc.unfreeze()
    gc.collect()
    texts = held_by(*gc.get_objects())
    assert len(texts) > 10_000
    mark = os.environ["FTGATE_TEST_MARK"][::-1]
    with open("held.part", "w") as file:
        file.write("\\n".join(repr(text[:200]) for text in texts if mark in text) or "nothing")
    os.replace("held.part", "held")

signal.signal(signal.SIGRTMIN, look)
from ftgate.__main__ import main
main()
"""


def asked(at: int) -> tuple[str, dict[str, Any], dict[str, str], bool]:
    """The call number `at`: its path, its body, its headers, and whether its upstream does all right. Of all calls each
    route, each key, each fault and each place of the key has its share."""
    fault_names = [name.rpartition("-")[0] for name in SCRIPTS if name.endswith("-0")]
    plain = ["good", "good", "reset", "cut", "slow", "stalled"]
    names = [*plain, *fault_names]
    key_at = at % len(KEYS)
    name = names[at % len(names)]
    model = f"{name}-{key_at}" if name in fault_names else name
    stream = at // 2 % 2 == 0
    path = ("chat/completions", "messages", "responses", "completions", "embeddings")[at % 5]
    provider = "openai" if path == "embeddings" or at // 3 % 3 else "deepseek"
    body: dict[str, Any] = {"model": model}
    if path == "embeddings":
        body |= {"model": "vectors" if name == "good" else model, "input": "Hello"}
    elif path == "responses":
        body |= {"input": "Hello", "stream": stream}
    elif path == "completions":
        body |= {"prompt": "Hello", "stream": stream}
    else:
        body |= {"messages": HELLO, "max_tokens": 99, "stream": stream}
    headers = {}
    if at % 7 % 2:
        headers["X-FindToken-Provider-Key"] = f"{provider}:{KEYS[key_at]}"
    else:
        body["provider_key"] = {"provider": provider, "api_key": KEYS[key_at]}
    return f"/v1/{path}", body, headers, name in ("good", "headers") and path != "embeddings"


def bring(house: House, account: Account, calls: int) -> Counter[int]:
    """Make so many calls, several at once; how often each status was answered. Raises AssertionError for an answer with
    a key in it, and for a good call that was not served."""

    def one(at: int) -> int:
        path, body, headers, good = asked(at)
        answer = house.http.post(path, json=body, headers={**account.headers, **headers})
        whole = f"{answer.headers} {answer.text}"
        assert MARK not in whole, whole
        assert not good or answer.status_code == 200, (path, body["model"], whole)
        if answer.status_code == 200:
            assert answer.headers["x-findtoken-mode"] == "byok"
        return answer.status_code

    def last(at: int) -> int:
        """What an idle connection has served last: a head with a key."""
        brought = {"X-FindToken-Provider-Key": f"openai:{KEYS[at % len(KEYS)]}"}
        return house.chat(account, ("good", "stalled", "slow")[at % 3], headers=brought).status_code

    with ThreadPoolExecutor(8) as pool:
        return Counter([*pool.map(one, range(calls)), *pool.map(last, range(24))])


def leave(house: House, account: Account) -> None:
    """Clients that go away in the middle of a stream."""
    for key in KEYS:
        with house.raw(account, "long", stream=True, provider_key={"provider": "openai", "api_key": key}) as wire:
            wire.until(b"tick")


def held(house: House) -> str:
    """What the process holds of any key, or "nothing"; a moment after the last call, when all is let go."""
    place = house.base / "held"
    for _ in range(20):
        place.unlink(missing_ok=True)
        house.process.signal(signal.SIGRTMIN)
        house.wait_for(place.exists, "the process does not look", within_s=30)
        if (said := place.read_text()) == "nothing":
            break
        time.sleep(0.1)
    return said


def left_behind(house: House) -> Iterator[str]:
    """Files of this house in which a key stands."""
    for path in house.base.rglob("*"):
        if path.is_file() and path.name not in SPARED and MARK.encode() in path.read_bytes():
            yield path.name


@contextmanager
def cores_allowed() -> Iterator[None]:
    """Children may leave core files of any size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def cores(place: Path) -> list[str]:
    return [path.name for path in place.iterdir() if path.name.startswith("core")]


def leaves_cores(place: Path) -> bool:
    """Whether a process that aborts there leaves a core file there at all: systems differ."""
    place.mkdir()
    subprocess.run([sys.executable, "-c", "import os; os.abort()"], cwd=place, check=False)
    found = cores(place)
    for name in found:
        (place / name).unlink()
    return bool(found)


def opened(base: Path, **more: Any) -> House:
    """A house with all of this. Temporary files lie in it too. Its upstream speaks no TLS, whatever way is tried: a
    caller's own key goes by the system's trust alone."""
    (base / "tmp").mkdir(parents=True)
    env = {"FTGATE_TEST_MARK": MARK[::-1], "TMPDIR": str(base / "tmp")}
    house_way = os.environ.get("FTGATE_TEST_WAY", "")
    way = {"way": ",".join(word for word in house_way.split(",") if word != "tls")}
    return House(base, CONFIG, SCRIPTS, serving=False, env=env, **{**way, **more})


def abort(house: House, account: Account) -> list[str]:
    """End the process by SIGABRT while calls are running; the core files that it leaves."""
    wires: list[Raw] = []
    for key in KEYS:
        brought = {"provider": "openai", "api_key": key}
        wires.append(house.raw(account, "long", stream=True, provider_key=brought))
        wires[-1].until(b"tick")
    house.process.signal(signal.SIGABRT)
    assert house.process.wait() == -signal.SIGABRT
    for wire in wires:
        wire.close()
    return cores(house.base)


def search(house: House, calls: int, *, counts: bool) -> bool:
    """Make calls, look everywhere, and say what was found; whether that is nothing. `counts`: core files are left here
    by processes that may."""
    house.start(LOOK)
    account, began = house.account(), time.monotonic()
    answered = bring(house, account, calls)
    leave(house, account)
    print(f"{house.way or 'fast,direct'}: {calls} calls in {time.monotonic() - began:.1f} s")
    print(f"  in answers: nothing; their statuses {dict(sorted(answered.items()))}")
    kept = held(house)
    listed = MARK in str(house.cli("logs", "--json", "--limit", "100"))
    left = abort(house, account)
    files = [*left_behind(house)]
    print(f"  held by the process: {kept}")
    print(f"  core files after SIGABRT: {left or ('none' if counts else 'none, but this system leaves none anyway')}")
    print(f"  in logs: {'found' if listed else 'nothing'}; in files: {files or 'nothing'}")
    house.start()
    print(f"  ledger: {house.verified()}")
    return kept == "nothing" and not (listed or left or files)


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for provider keys that callers have brought.")
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    clean = True
    with tempfile.TemporaryDirectory() as place, cores_allowed():
        counts = leaves_cores(Path(place) / "control")
        for way in ("", "hypercorn,httpx"):
            with opened(Path(place) / f"house{way}", way=way) as house:
                clean &= search(house, calls // 2, counts=counts)
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
