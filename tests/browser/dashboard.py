"""A gateway with a history, for whoever looks at its pages: the tests beside this file, and scripts/pictures.

    with dashboard(tmp) as site:
        site.url                              # http://127.0.0.1:PORT, a real `ftgate serve`
        site.session("olive")                 # a browser's session, opened over the API: cookie and CSRF token
        site.call("u1", FLASH)                # one more call by the first key of u1
        site.api("u1", "GET", "/v1/tokens")   # what the API says to that session

    with dashboard(tmp, hostile=True)         # texts that would run if a page let them: HOSTILE, by where they stand

Who is there (ROLES names them; all passwords are in PEOPLE):

    olive   the operator
    u1      a user with a month of made-up history, live calls of every kind, keys of every kind, payments, a provider
            key
    u2      another user with a little of each: nothing of it may be seen by u1
    eve     a user who has done nothing yet: every list is empty

Prices are the harness's: "Hello" to FLASH costs HELLO_COST. Every call is answered by the fake upstream by its model.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.blackbox.harness import Account, House, Raw, channel, chunks
from tests.blackbox.paying import Shop, settings
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

OPERATOR, USER, OTHER, NEWCOMER = "olive", "u1", "u2", "eve"
PROVIDER_KEY = "sk-a-provider-s-own-0b2d44"
"""What u1 has had checked; it stands nowhere."""
PEOPLE = {OPERATOR: "olive-pass", USER: "seedseed", OTHER: "seedseed", NEWCOMER: "eve-pass"}
ROLES: Mapping[str, str | None] = {"nobody": None, "user": USER, "operator": OPERATOR}
"""Who looks at a page, and whose session they show."""
FLASH, THINKER, SLOW, BROKEN, LONG = (
    "deepseek-v4-flash", "kimi-k3-thinking", "glm-5-air", "qwen-4-max", "acme/a-model-with-a-very-long-name-2026-11-29",
)  # fmt: skip
SCRIPTS: dict[str, dict[str, Any]] = {
    FLASH: {"content": ["Hello", ", ", "world"]},
    THINKER: {"reasoning": ["Let me ", "think."], "content": ["An ", "answer."]},
    SLOW: {"content": ["word "], "repeat": 600, "piece_delay_s": 0.05},
    BROKEN: {"status": 503, "error_body": {"error": {"message": "The engine is overloaded, try again later"}}},
    LONG: {"content": ["Yes"]},
}
HOSTILE = {
    "model": '"><img src=x onerror=alert("model")>',
    "error": "<script>alert('error')</script>",
    "key": "</title></textarea></script><svg onload=alert('key')>",
    "link": "javascript:alert('link')",
    "person": "' autofocus onfocus=alert('person') x='",
    "nomodel": '<iframe srcdoc="<script>alert(`nomodel`)</script>">{{ 7 * 191 }}',
    "note": '"><details open ontoggle=alert("note")>',
    "theirs": "<script>alert('theirs')</script>",
}
"""What a page must show as text. Each calls alert(), which no page may (watch.py)."""
CHECKOUT = "https://checkout.example"
"""Where the fake Stripe sends who wants to pay."""


def config(stripe: FakeStripe, hostile: bool) -> str:
    odd = channel("odd", {HOSTILE["model"]: {}}) if hostile else ""
    return (
        '[server]\nregistration = "open"\n[billing]\nsignup_credits = 5\n[retry]\nbackoff = 0.01\nbackoff_cap = 0.01\n'
        "[plan.default]\nselectable = true\n[plan.gold]\nselectable = true\nprice_multiplier = 0.9\n"
        + settings(stripe)
        + channel("deepseek", [FLASH, THINKER, SLOW])
        + channel("backup", {FLASH: {"input": 2}}, priority=2)
        + channel("flaky", [BROKEN, LONG])
        + '[provider.openai]\nbase_url = "FAKE/openai/v1"\n'
        + odd
    )


@dataclass(frozen=True)
class Session:
    """What a browser holds of somebody who has signed in, and what its pages' forms carry."""

    cookie: str
    value: str
    csrf: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"{self.cookie}={self.value}", "X-CSRF-Token": self.csrf}


@dataclass
class Dashboard:
    """One gateway and who uses it (see the head of this file)."""

    house: House
    stripe: FakeStripe
    keys: dict[str, str] = field(default_factory=dict)
    """The secret of each one's first key."""
    ids: dict[str, str] = field(default_factory=dict)
    """What belongs to u2, by what it is: key, call, payment, account."""
    sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.house.url

    @property
    def shop(self) -> Shop:
        return Shop(self.house, self.stripe)

    def signed_in(self, name: str, password: str = "") -> Session:
        """A new session, over the API. One that a test ends is never a shared one."""
        body = {"username": name, "password": password or PEOPLE[name]}
        answer = httpx.post(f"{self.url}/v1/auth/session", json=body, trust_env=False, timeout=20)
        assert answer.status_code == 200, answer.text
        ((cookie, value),) = answer.cookies.items()
        return Session(cookie, value, answer.json()["csrfToken"])

    def session(self, name: str) -> Session:
        """The one that all who look as this person share."""
        if name not in self.sessions:
            self.sessions[name] = self.signed_in(name)
        return self.sessions[name]

    def api(self, name: str, method: str, path: str, body: object = None) -> Any:
        """What the API says to somebody's session."""
        said = httpx.request(
            method, self.url + path, json=body, headers=self.session(name).headers, trust_env=False, timeout=20
        )
        assert said.status_code == 200, (method, path, said.text)
        return said.json()

    def key(self, whose: str, **fields: Any) -> dict[str, Any]:
        """A new key of somebody's: `apiKey` and its secret `key`."""
        made: dict[str, Any] = self.api(whose, "POST", "/v1/tokens", fields)
        self.house.canaries.append(made["key"])
        self.keys.setdefault(whose, made["key"])
        return made

    def call(self, name: str, model: str = FLASH, *, key: str = "", **fields: Any) -> httpx.Response:
        return self.house.chat(Account(name, key or self.keys[name]), model, **fields)

    def running(self, name: str, model: str = SLOW) -> Raw:
        """A call that goes on until it is closed."""
        wire = self.house.raw(Account(name, self.keys[name]), model, stream=True)
        wire.until(b"data: ", 3)
        return wire

    def pay(self, name: str, amount: object = 25, *, paid: bool = True) -> str:
        """The id of a payment session; paid, and told to the gateway, or left open."""
        account = Account(name, self.keys[name])
        id = self.shop.session(account, amount)
        if paid:
            self.shop.told(self.stripe.pay(id))
        return id


@contextmanager
def dashboard(base: Path, *, requests: int = 300, hostile: bool = False) -> Iterator[Dashboard]:
    """A gateway with a history of `requests` made-up requests and a handful of real ones, with nothing under way."""
    with FakeStripe() as stripe, House(base, config(stripe, hostile), SCRIPTS, serving=False) as house:
        house.canaries += [SECRET_KEY, WEBHOOK_SECRET]
        site = Dashboard(house, stripe)
        seeded = house.cli("bench", "seed", "--requests", str(requests), "--users", "2", "--days", "30", "--json")
        site.keys = {user["username"]: user["key"] for user in seeded["users"]}
        house.canaries += site.keys.values()
        house.cli("users", "create", OPERATOR, "--admin", "--password", "-", stdin=f"{PEOPLE[OPERATOR]}\n")
        house.cli("users", "create", NEWCOMER, "--password", "-", stdin=f"{PEOPLE[NEWCOMER]}\n")
        for name in (USER, OTHER):
            house.cli("credit", "grant", name, "20")
        _begun_to_pay(site)
        house.start()
        _lived_in(site)
        if hostile:
            _attacked(site)
        yield site


def _begun_to_pay(site: Dashboard) -> None:
    """A payment that u1 has left open, a minute ago: while it is new, its page goes on to Stripe by itself."""
    site.house.start()
    site.pay(USER, 10, paid=False)
    assert site.house.process.terminate() == 0
    with closing(sqlite3.connect(site.house.data / "ftgate.sqlite3")) as database, database:
        database.execute("UPDATE payments SET created_at_us = created_at_us - 60000000")


def _lived_in(site: Dashboard) -> None:
    """What people have done there: calls that went well and badly, keys, payments, a provider key."""
    site.key(OPERATOR, name="operator's own")
    site.key(USER, name="laptop", quota=1000, quota_reset="month")
    site.key(USER, name="night jobs", models=[FLASH, "kimi-*"], allowed_ips=["10.0.0.0/8"], quota=50)
    off = site.key(USER, name="old phone", expires_at="2030-01-01T00:00:00Z")["apiKey"]
    site.api(USER, "PATCH", f"/v1/tokens/{off['id']}", {"status": "disabled"})
    for model in (FLASH, THINKER, LONG, "auto"):
        assert site.call(USER, model).status_code == 200
    assert chunks(site.call(USER, FLASH, stream=True).content)
    for _ in range(4):  # the last finds the circuit open
        assert site.call(USER, BROKEN).status_code >= 500
    site.pay(USER, 25)
    site.house.canaries.append(PROVIDER_KEY)
    checked = {"provider": "openai", "api_key": PROVIDER_KEY, "name": "work account"}
    site.api(USER, "POST", "/v1/user/byok/register", checked)
    theirs = site.key(OTHER, name="twomarker")["apiKey"]
    call = site.call(OTHER, FLASH)
    site.ids = {
        "key": str(theirs["id"]),
        "call": call.headers["x-request-id"],
        "payment": site.pay(OTHER, 33),
        "account": str(site.api(OTHER, "GET", "/v1/user/self")["id"]),
    }


def _attacked(site: Dashboard) -> None:
    """What people who mean harm have left there, wherever they may choose a text."""
    error = {"error": {"message": HOSTILE["error"], "code": HOSTILE["error"], "type": HOSTILE["error"]}}
    site.house.fake.script(**{HOSTILE["model"]: {"status": 400, "error_body": error}})
    for model in (HOSTILE["model"], HOSTILE["nomodel"]):
        assert site.call(USER, model).status_code == 400
    for name in ("key", "link"):
        made = site.key(USER, name=HOSTILE[name], models=[HOSTILE["model"]])
    assert site.call(USER, HOSTILE["model"], key=made["key"]).status_code == 400
    site.api(USER, "PATCH", "/v1/user/self", {"name": HOSTILE["person"]})
    site.api(OTHER, "PATCH", "/v1/user/self", {"name": HOSTILE["theirs"]})
    site.house.cli("credit", "grant", USER, "1", "--note", HOSTILE["note"])
