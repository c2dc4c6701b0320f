"""The command lines: how each is set up beside ftgate, and two tasks that each must finish.

One task is a question. The other has the upstream call the client's own tool, which writes a file, and say that it is
done when the tool's result has come back. A channel that chats seals that call, as Google's models do, and must get its
seal back at it. Each run has a home and a working directory of its own, both empty.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.blackbox.harness import Account, House
from tests.clients import running
from tests.clients.house import CODERS

PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+hello\n*** End Patch\n"
SHELL = "echo hello > hello.txt"
SEALED = {"google": {"thought_signature": "CvcB+/=="}}
ANSWER, WRITTEN = "The answer is 42.", "The file is written."
TASKS = {"asks": "What is the answer? Use no tool.", "writes": "Write the word hello into hello.txt."}


@dataclass(frozen=True)
class Place:
    """Where one run happens, and what it talks to."""

    programs: Path
    home: Path
    work: Path
    url: str
    key: str


@dataclass(frozen=True)
class Command:
    """A client with its model: `prepared` writes its settings and gives its arguments and environment for a prompt.
    `chats`: it speaks chat itself, and what comes back of a seal is its own business."""

    name: str
    model: str
    prepared: Callable[[Place, str, str], tuple[list[str | Path], dict[str, str]]]
    chats: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of a run; `wrong` is empty where all was well."""

    name: str
    wrong: str
    said: str
    took_s: float


def claude(place: Place, model: str, prompt: str) -> tuple[list[str | Path], dict[str, str]]:
    arguments: list[str | Path] = [place.programs / "claude", "-p", prompt, "--output-format", "text"]
    return [*arguments, "--permission-mode", "bypassPermissions"], {
        "ANTHROPIC_BASE_URL": f"{place.url}/anthropic",
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",  # else it does not let root pass the questions about permissions
    }


CODEX = """
model = "{model}"
model_provider = "gate"
check_for_update_on_startup = false
sandbox_mode = "danger-full-access"
approval_policy = "never"
[analytics]
enabled = false
[model_providers.gate]
name = "ftgate"
base_url = "{url}/v1"
env_key = "GATE_KEY"
wire_api = "responses"
"""


def codex(place: Place, model: str, prompt: str) -> tuple[list[str | Path], dict[str, str]]:
    settings = place.home / ".codex" / "config.toml"
    settings.parent.mkdir()
    settings.write_text(CODEX.format(model=model, url=place.url))
    return [place.programs / "codex", "exec", "--skip-git-repo-check", prompt], {"GATE_KEY": place.key}


def opencode(package: str, base: str) -> Callable[[Place, str, str], tuple[list[str | Path], dict[str, str]]]:
    def prepared(place: Place, model: str, prompt: str) -> tuple[list[str | Path], dict[str, str]]:
        known = {model: {"name": model, "limit": {"context": 100_000, "output": 8_000}}}
        options = {"baseURL": place.url + base, "apiKey": place.key}
        settings = {
            "$schema": "https://opencode.ai/config.json", "autoupdate": False, "share": "disabled",
            "model": f"gate/{model}", "small_model": f"gate/{model}",
            "provider": {"gate": {"npm": package, "name": "ftgate", "options": options, "models": known}},
        }  # fmt: skip
        (place.work / "opencode.json").write_text(json.dumps(settings))
        quiet = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}
        return [place.programs / "opencode", "run", prompt], quiet

    return prepared


COMMANDS = [
    Command("claude", "claude-sonnet-5-5", claude),
    # Codex has a set of tools for a model that it does not know, and two more for those that it knows.
    *(Command(f"codex, {model}", model, codex) for model in ("coder", "gpt-5.5", "gpt-5.6-sol")),
    Command("opencode, @ai-sdk/openai-compatible", "coder", opencode("@ai-sdk/openai-compatible", "/v1"), chats=True),
    Command("opencode, @ai-sdk/anthropic", "coder", opencode("@ai-sdk/anthropic", "/anthropic/v1")),
]


def tool_calls(work: Path) -> list[dict[str, Any]]:
    """How a file is written with each tool that a client may offer; the first that it offers is called."""
    file = str(work / "hello.txt")
    ways: list[tuple[str, Mapping[str, Any]]] = [
        ("exec", {"input": f"const r = await tools.exec_command({{cmd: {json.dumps(SHELL)}}}); text(r)"}),
        ("Write", {"file_path": file, "content": "hello\n"}),
        ("write", {"filePath": file, "content": "hello\n"}),
        ("apply_patch", {"input": PATCH}),
        ("exec_command", {"cmd": SHELL}),
        ("shell", {"command": ["bash", "-lc", SHELL]}),
    ]
    call = {"id": "call_1", "extra_content": SEALED}
    return [{**call, "name": name, "arguments": json.dumps(given)} for name, given in ways]


def verdicts(house: House, kind: str, programs: Path, words: list[str]) -> Iterator[Verdict]:
    """One for each command and task whose name holds all `words`, as it ends."""
    for command in COMMANDS:
        for task, prompt in TASKS.items():
            name = f"{command.name}, {kind}, {task}"
            if all(word in name for word in words):
                yield _verdict(house, command, programs, task, prompt, name)


def _verdict(house: House, command: Command, programs: Path, task: str, prompt: str, name: str) -> Verdict:
    account = house.account("10")
    base = house.base / account.name
    place = Place(programs, base / "home", base / "work", house.url, account.key)
    place.home.mkdir(parents=True)
    place.work.mkdir()
    writes = task == "writes"
    script = {"content": [WRITTEN if writes else ANSWER], "offered": True}
    script["tool_calls"] = tool_calls(place.work) if writes else []
    house.fake.script(**dict.fromkeys(CODERS, script))
    arguments, env = command.prepared(place, command.model, prompt)
    since, began = len(house.fake.requests(command.model)), time.monotonic()
    ended = running.run(arguments, cwd=place.work, env={"HOME": str(place.home), **env})
    took_s = time.monotonic() - began
    wrong = _wrong(house, account, ended, place, command, since, writes=writes)
    return Verdict(name, "; ".join(wrong), ended.said, took_s)


def _lost(house: House, command: Command, since: int) -> bool:
    """Whether a seal did not come back at its call, in what went to a channel that chats."""
    if command.chats:
        return False
    chats = [seen["json"] for seen in house.fake.requests(command.model)[since:]
             if seen["path"].endswith("/chat/completions")]  # fmt: skip
    calls = [call for body in chats for message in body["messages"] for call in message.get("tool_calls") or ()]
    return bool(chats) and (not calls or any(call.get("extra_content") != SEALED for call in calls))


def _wrong(
    house: House, account: Account, ended: running.Ended, place: Place, command: Command, since: int, *, writes: bool
) -> Iterator[str]:
    if ended.code != 0:
        yield "it took too long" if ended.code is None else f"exit code {ended.code}"
    if (WRITTEN if writes else ANSWER) not in ended.said:
        yield "its last words did not arrive"
    file = place.work / "hello.txt"
    if writes and (not file.exists() or file.read_text() != "hello\n"):
        yield "hello.txt is not written" if not file.exists() else f"hello.txt holds {file.read_text()!r}"
    if writes and _lost(house, command, since):
        yield "the call's seal did not come back"
    rows = house.rows(account)
    failed = [f"{row['model']} {row['status']}" for row in rows if row["status"] != "ok"]
    if failed or len(rows) < 1 + writes:
        yield f"{len(rows)} calls, of which {len(failed)} failed: {', '.join(failed)}"
