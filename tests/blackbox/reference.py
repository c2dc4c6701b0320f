"""What the tests of the reference pages share: a house that serves every model the pages name, with a Stripe beside it;
a reader of the pages' curl commands, which stand in the tests as they are printed; and what it means that an answer
looks like the one on the page.

Where CONTRACT.md says something else than a page, it wins, and the test says so.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.blackbox.harness import Account, House, channel, chunks, error, exact, text
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

CHAT = "/v1/chat/completions"
SAID = "Hello, world"
"""What an upstream says that no test has told anything else."""
UPSTREAM = {"deepseek-chat": "deepseek-v4-flash", "deepseek-v3": "deepseek-v4-flash"}
"""Who serves a name that its maker has retired."""
KEY = re.compile(r"\b(sk|tf|tsk)-\S+")
NODE = {"User-Agent": "OpenAI/JS 6.10.0", "Accept": "application/json", "X-Stainless-Lang": "js"}
FAILING: dict[str, dict[str, Any]] = {
    "refusing": {"status": 422},
    "broken": {"status": 500},
    "flaky": {"fail_first": [1, 500]},
    "overloaded": {"status": 503, "retry_after": 7},
    "silent": {"head_delay_s": 30},
}
"""Models of which the pages show the errors only."""


def catalogue(provider: str) -> str:
    """A channel with every model that the catalogue has of a provider."""
    return channel(provider, [], provider=provider)


def config(stripe: FakeStripe) -> str:
    everything = "".join(map(catalogue, ("deepseek", "dashscope", "zhipu", "moonshot", "openai", "anthropic")))
    failing = channel("failing", [*FAILING], timeouts={"head": 0.3, "answer": 0.3})
    # A dollar for a million tokens of an answer and nothing for a prompt: what a call needs can be read.
    dear = channel(
        "dear", {"dear": {"input": 0, "cached": 0, "output": 1, "context": 1_000_000, "max_output": 500_000}}
    )
    return f"""
[server]
registration = "open"
[billing]
signup_credits = 1000
[retry]
attempts = 2
backoff = 0.01
backoff_cap = 0.02
[limits.model."gpt-4o-mini"]
requests_per_minute = 1
[plan.gold]
selectable = true
[auto]
simple = ["qwen-turbo", "deepseek-chat"]
medium = ["deepseek-chat", "qwen-max"]
complex = ["claude-sonnet", "gpt-4.1"]
[provider.deepseek]
base_url = "FAKE/v1"
[provider.hunyuan]
base_url = "FAKE/v1"
[stripe]
secret_key = "{SECRET_KEY}"
webhook_secret = "{WEBHOOK_SECRET}"
api_base = "{stripe.url}"
{everything}{failing}{dear}
"""


@dataclass
class Service:
    """The house that takes a page's place."""

    house: House
    stripe: FakeStripe

    def curl(self, command: str, account: Account | None = None) -> httpx.Response:
        """The answer to a page's command, with only host and key changed."""
        words = iter(shlex.split(command.replace("\\\n", " "))[1:])
        method, path, body = "", "", None
        headers = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}
        for word in words:
            if word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = KEY.sub(account.key, value) if account else value
            elif word == "-d":
                body = next(words)
            elif word == "-X":
                method = next(words)
            else:
                path = urlsplit(word).path
        return self.house.http.request(
            method or ("GET" if body is None else "POST"), path, content=body, headers=headers
        )

    def node(self, account: Account, body: Mapping[str, Any]) -> Any:
        """What the Node SDK asks for, as it stands on the wire."""
        answer = self.house.http.post(CHAT, json=body, headers={**NODE, **account.headers})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str, account: Account | None = None, body: Any = None) -> httpx.Response:
        return self.house.http.request(method, path, json=body, headers=account.headers if account else {})

    def said(self, method: str, path: str, account: Account | None = None, body: Any = None) -> Any:
        """The JSON of an answer that is 200; numbers with a point are Decimals."""
        answer = self.ask(method, path, account, body)
        assert answer.status_code == 200, answer.text
        return exact(answer)

    def says(self, model: str, content: str, prompt: int, completion: int) -> None:
        """From now on the upstream of a model says this, and that it has counted so many tokens."""
        words = re.findall(r"\S+\s*", content)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        self.house.fake.script(**{UPSTREAM.get(model, model): {"content": words, "usage": usage}})


@contextmanager
def opened(base: Path) -> Iterator[Service]:
    with FakeStripe() as stripe, House(base, config(stripe), FAILING) as house:
        house.canaries += [SECRET_KEY, WEBHOOK_SECRET]
        yield Service(house, stripe)


def like(said: Any, shown: Any, where: str = "answer") -> None:
    """An answer has every field that the page shows, each of the kind shown there; of a list, every item is like the
    first one shown."""
    if isinstance(shown, dict):
        assert isinstance(said, dict) and said.keys() >= shown.keys(), (where, said)
        for name, value in shown.items():
            like(said[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(said, list) and said, (where, said)
        for at, item in enumerate(said):
            like(item, shown[0], f"{where}[{at}]")
    elif isinstance(shown, float):
        assert isinstance(said, (int, float, Decimal)) and not isinstance(said, bool), (where, said)
    else:
        assert type(said) is type(shown), (where, said)


def completes(answer: httpx.Response, shown: str, model: str) -> None:
    """A whole completion is the one that the page shows, but for its id, its time, and the model's name: that is what
    the upstream calls the model which `model` stands for."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    said, page = answer.json(), json.loads(shown)
    like(said, page)
    assert said["id"].startswith("chatcmpl-") and isinstance(said["created"], int)
    assert page["model"] == model and said["model"] == UPSTREAM.get(model, model)
    own = {"id", "created", "model"}
    assert {k: v for k, v in said.items() if k not in own} == {k: v for k, v in page.items() if k not in own}


def streams(answer: httpx.Response, content: str = SAID) -> None:
    """A whole stream in OpenAI's shape."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text(answer.content) == content and answer.content.endswith(b"data: [DONE]\n\n")
    assert {chunk["object"] for chunk in chunks(answer.content)} == {"chat.completion.chunk"}


def serves(service: Service, account: Account, model: str) -> None:
    """A model that a page names is called by that name, and known by it."""
    house = service.house
    answer = house.chat(account, model)
    assert answer.status_code == 200, answer.text
    (choice,) = answer.json()["choices"]
    assert choice["message"]["content"] == SAID and choice["finish_reason"] == "stop"
    assert answer.headers["x-findtoken-mode"] == "standard" and Decimal(answer.headers["x-findtoken-cost"]) >= 0
    assert Decimal(answer.headers["x-findtoken-balance"]) == house.balance(account)
    known = house.get(f"/v1/models/{model}", account)
    assert (known["object"], known["id"]) == ("model", model)


def refuses_keys(service: Service) -> None:
    """401, as every page has it: a key that is missing or wrong."""
    error(service.house.chat(None, "deepseek-chat"), 401, "invalid_api_key")
    error(service.house.chat(Account("nobody", "sk-your-api-key"), "deepseek-chat"), 401, "invalid_api_key")


def limits(service: Service, account: Account) -> httpx.Response:
    """A call beyond a limit: one a minute is this model's."""
    assert service.house.chat(account, "gpt-4o-mini").status_code == 200
    refused = service.house.chat(account, "gpt-4o-mini")
    message = error(refused, 429, "rate_limit_exceeded")
    assert re.fullmatch(r"Rate limit exceeded\. Try again in \d+(\.\d)?s", message), message
    assert int(refused.headers["retry-after"]) >= 1
    return refused
