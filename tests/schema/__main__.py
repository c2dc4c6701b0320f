"""Every route of /openapi.json asked by schemathesis, of a real server with a scripted upstream and a Stripe that
remembers: as an operator who is signed in, with an API key, and as nobody.

What is looked for: a server error, and an answer whose status, media type or body the document does not tell. An
answer of 501 (payments that are switched off) does not come, since Stripe is there. Routes by which the asker would
end its own credential are asked last, in a run of their own. The exit code is schemathesis' own.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.blackbox.harness import House, channel
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "unsupported_method",
)  # fmt: skip
RELAY = r"^/v1/(chat|completions|embeddings|responses|messages|models|route)|^/anthropic/v1"
ENDING = r"^/v1/auth/|^/v1/admin/users/\{id\}"
"""Where an asker may end its own token, or its own rights."""
CONFIG = """
[server]
registration = "open"
trusted_proxies = ["127.0.0.1"]
[stripe]
secret_key = "{key}"
webhook_secret = "{secret}"
api_base = "{stripe}"
[limits]
requests_per_second = 0
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/schema", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--examples", type=int, default=30, help="at the most, for each operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, FakeStripe() as stripe:
        config = channel("lab", ["plain"]) + CONFIG.format(secret=WEBHOOK_SECRET, key=SECRET_KEY, stripe=stripe.url)
        with House(Path(place), config, {"plain": {"content": ["Hi"]}}) as house:
            return run(house, asked.examples, asked.seed)


def run(house: House, examples: int, seed: int) -> int:
    """Every part in its turn; the worst of their exit codes."""
    house.cli("users", "create", "boss", "--admin", "--credits", "1000", "--password", "-", stdin="operator-pass\n")
    key = house.another_key("boss").key
    codes, made, failed = [], 0, 0
    for name, credential, chosen in (
        ("an operator", "", ("--exclude-path-regex", f"{RELAY}|{ENDING}")),
        ("an API key", key, ("--exclude-path-regex", r"^/v1/billing/webhook")),
        ("nobody", None, ()),
        ("an operator, who may sign out", "", ("--include-path-regex", ENDING)),
    ):
        shown = signed_in(house) if credential == "" else credential
        code, said = ask(house, shown, chosen, examples, seed)
        codes.append(code)
        if found := re.search(r"(\d+) generated(?:, (\d+) found)?", said):
            made, failed = made + int(found[1]), failed + int(found[2] or 0)
        print(said if code else f"{name}: {found[0] if found else 'nothing was asked'}, nothing wrong", flush=True)
    print(f"{made} requests, {failed} found something; seed {seed}")
    return max(codes)


def signed_in(house: House) -> str:
    """A login token of the operator's."""
    body = {"username": "boss", "password": "operator-pass"}
    answer = house.http.post("/v1/auth/login", json=body, headers={"X-Forwarded-For": "10.0.0.1"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def ask(house: House, credential: str | None, chosen: tuple[str, ...], examples: int, seed: int) -> tuple[int, str]:
    """One run of schemathesis: its exit code, and what it says."""
    shown = ("--header", f"Authorization: Bearer {credential}") if credential else ()
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{house.http.base_url}/openapi.json", *shown,
        *chosen, "--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", str(seed),
        "--continue-on-failure", "--no-color", "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=house.base)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
