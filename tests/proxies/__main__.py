"""`python -m tests.proxies`, which scripts/proxies calls: a line for each thing tried, exit code 1 if one failed, 2
where there is no proxy at all."""

import re
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import trustme

from tests import postgres as servers
from tests.blackbox.harness import HELLO, Account, House, channel, with_server
from tests.browser.crawl import place
from tests.browser.visitor import CSRF
from tests.proxies import fronts, upgrading

CALLER = "127.0.0.2"
"""Where callers come from: an address of this machine that is no proxy's."""
ORIGIN = f"https://{fronts.NAME}"
PASSWORD = "behind-the-proxy"
SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"content": ["Hi"]},
    "free": {"content": ["Hi"]},
    "pauses": {"content": ["one ", "two ", "three "], "hang_after": 2},
    "thinks": {"content": ["42"], "head_delay_s": 3},
}
"""`pauses` never ends by itself, `thinks` is silent for longer than `server.keepalive` of the house."""
LONG = "x" * 18_000_000
"""Characters of a prompt that the longest body allowed holds, and more than any buffer."""


@dataclass
class Behind:
    """A house, and a caller who sees nothing of it but the proxy."""

    house: House
    account: Account
    http: httpx.Client

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        return self.http.request(method, path, headers=dict(headers or {}), extensions=SNI, **more)

    def chat(self, model: str, **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": HELLO, **fields}
        return self.ask("POST", "/v1/chat/completions", self.account.headers, json=body)

    def stream(self, model: str) -> Any:
        body = {"model": model, "messages": HELLO, "stream": True}
        where, headers = "/v1/chat/completions", self.account.headers
        return self.http.stream("POST", where, headers=headers, json=body, extensions=SNI)


SNI = {"sni_hostname": fronts.NAME}


def a_call_is_answered_and_charged(behind: Behind) -> None:
    answer = behind.chat("plain")
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "Hi"
    assert Decimal(answer.headers["x-findtoken-cost"]) > 0
    assert behind.house.row(behind.account, answer.headers["x-request-id"])["http_status"] == 200


def a_stream_comes_piece_by_piece(behind: Behind) -> None:
    """The upstream says two pieces and no more: whoever collects an answer would show none. Leaving stops it."""
    house = behind.house
    with behind.stream("pauses") as answer:
        assert answer.status_code == 200, answer.read()
        seen = b""
        for data in answer.iter_bytes():
            seen += data
            if b"two " in seen:
                break
    behind.http.close()
    house.wait_for(
        lambda: house.fake.requests("pauses")[-1]["connection"]["closed_by_peer_at"], "the upstream was not stopped"
    )


def a_silent_stream_is_kept_alive(behind: Behind) -> None:
    """A comment comes before the answer does, not with it."""
    with behind.stream("thinks") as answer:
        first, *others = answer.iter_bytes()
        assert first.startswith(b":") and b"42" not in first, first
        assert b"42" in b"".join(others)


def a_long_prompt_passes(behind: Behind) -> None:
    answer = behind.chat("plain", messages=[{"role": "user", "content": LONG}])
    assert answer.status_code == 200, answer.text[:500]
    [seen] = behind.house.fake.requests("plain")[-1:]
    assert seen["json"]["messages"][0]["content"] == LONG


def one_that_is_too_long_is_refused(behind: Behind) -> None:
    answer = behind.chat("plain", messages=[{"role": "user", "content": LONG + "x" * 4_000_000}])
    assert answer.status_code == 413, answer.text[:500]


def the_dashboard_works(behind: Behind) -> None:
    """As a browser would: the cookie of https, forms with their origin; and the address that stands in the audit."""
    own = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "203.0.113.9"}
    assert f"<strong>{ORIGIN}</strong>" in behind.ask("GET", "/login").text
    answer = behind.ask("POST", "/login", own, data={"username": "root", "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-") and "; Secure" in cookie, cookie
    assert place(answer.headers["location"]).startswith("/"), answer.headers["location"]
    page = behind.ask("GET", "/keys/new")
    assert page.status_code == 200
    found = re.search(rf'name="{CSRF}" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    form = {CSRF: found[1], "name": "made behind it"}
    strange = behind.ask("POST", "/keys/new", {**own, "Origin": "https://elsewhere.example"}, data=form)
    assert strange.status_code == 403, strange.status_code
    made = behind.ask("POST", "/keys/new", own, data=form)
    assert made.status_code in (200, 303), made.text[:500]
    listed = behind.ask("GET", "/v1/admin/audit").json()["data"]
    assert {one["address"] for one in listed if one["via"] == "session"} == {CALLER}, listed


def a_key_for_some_addresses_knows_them(behind: Behind) -> None:
    """What a caller writes into X-Forwarded-For by himself counts for nothing."""
    forged = {"X-Forwarded-For": "203.0.113.9"}
    root = behind.ask("POST", "/v1/auth/login", json={"username": "root", "password": PASSWORD}).json()["token"]
    for allowed, status in ((CALLER, 200), ("203.0.113.9", 403), ("127.0.0.1", 403)):
        wanted = {"name": "for some", "allowed_ips": [allowed]}
        made = behind.ask("POST", "/v1/tokens", {"Authorization": f"Bearer {root}"}, json=wanted).json()
        bearer = {"Authorization": f"Bearer {made['key']}"}
        body = {"model": "free", "messages": HELLO}
        answer = behind.ask("POST", "/v1/chat/completions", {**bearer, **forged}, json=body)
        assert answer.status_code == status, (allowed, answer.text)


CHECKS: tuple[Callable[[Behind], None], ...] = (
    a_call_is_answered_and_charged, a_stream_comes_piece_by_piece, a_silent_stream_is_kept_alive, a_long_prompt_passes,
    one_that_is_too_long_is_refused, the_dashboard_works, a_key_for_some_addresses_knows_them,
)  # fmt: skip


OVER_1_1 = (one_that_is_too_long_is_refused,)
"""httpx over HTTP/2 waits to send the rest, whatever it has been answered."""


def tried(name: str, path: str) -> int:
    """How many checks failed with this proxy, over HTTP/1.1 and HTTP/2."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ftgate-proxies-") as made:
        base = Path(made)
        authority = trustme.CA()
        issued = authority.issue_cert(fronts.NAME)
        issued.private_key_pem.write_to_path(base / "key.pem")
        for part in issued.cert_chain_pems:
            part.write_to_path(base / "cert.pem", append=True)
        settings = tomllib.loads(fronts.block("toml", "[server]"))["server"]
        models: dict[str, dict[str, object]] = {model: {"context": 10_000_000} for model in SCRIPTS}
        models["free"] = {"input": 0, "output": 0, "cached": 0}
        config = with_server(channel("lab", models), {**settings, "keepalive": 1})
        with House(base / "house", config, SCRIPTS) as house:
            authority.configure_trust(house.trust)
            house.cli("users", "create", "root", "--admin", "--password", "-", stdin=f"{PASSWORD}\n")
            account = house.account(metered=True)
            with fronts.serving(name, path, base, "{}:{}".format(*house.address)) as front:
                for check in CHECKS:
                    for http2 in (False,) if check in OVER_1_1 else (False, True):
                        wire = httpx.HTTPTransport(http2=http2, verify=house.trust, local_address=CALLER)
                        head = {"Host": fronts.NAME}
                        with httpx.Client(
                            base_url=f"https://127.0.0.1:{front.port}", headers=head, transport=wire, timeout=20
                        ) as http:
                            failed += _show(name, check, http2, Behind(house, account, http))
            house.settle_down()
    return failed


def _show(name: str, check: Callable[[Behind], None], http2: bool, behind: Behind) -> int:
    what = f"{name}, HTTP/{2 if http2 else 1.1}: {check.__name__.replace('_', ' ')}"
    try:
        check(behind)
    except Exception:
        print(f"FAILED {what}\n{traceback.format_exc()}", flush=True)
        return 1
    print(f"ok     {what}", flush=True)
    return 0


def upgraded(name: str, path: str) -> int:
    """As tried(), of two gateways of which one is stopped and started again."""
    what = f"{name}: two gateways are upgraded one at a time"
    if servers.binaries() is None:
        print(f"       {what}: there is no PostgreSQL, and it was not tried")
        return 0
    with tempfile.TemporaryDirectory(prefix="ftgate-proxies-") as made:
        Path(made).chmod(0o755)
        right, said = upgrading.tried(name, path, Path(made))
    print(f"{'ok    ' if right else 'FAILED'} {what}: {said}", flush=True)
    return not right


def main() -> int:
    found = {name: path for name in fronts.PROGRAMS if (path := fronts.program(name)) is not None}
    for name in fronts.PROGRAMS:
        if name not in found:
            print(f"       {name} is not installed, and was not tried")
    failed = sum(tried(name, path) + upgraded(name, path) for name, path in found.items())
    print(f"\n{len(found)} proxies, {failed} checks failed")
    return 1 if failed else 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
