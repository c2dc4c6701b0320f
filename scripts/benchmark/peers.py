"""Other gateways, installed from the registries at pinned versions into a directory outside the source, and started on
loopback.

They do not bill: they pass the same calls on to the same upstreams. One that cannot be installed or started is named as
missing.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.benchmark import wire
from scripts.benchmark.processes import Trouble, environment, free_port, listens
from scripts.benchmark.subjects import HERE, KEY, Place, Subject, Upstreams

LITELLM = "1.102.4"
PORTKEY = "1.15.2"
HONO_SERVER = "1.14.1"
"""With a newer one Portkey answers streams with a 500 (its issue 1389)."""
START_S = 90.0
INSTALL_S = 900.0


def _run(what: str, argv: Sequence[str], cwd: Path) -> None:
    """Raises Trouble with the end of what it said."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Trouble(f"{what}: not done after {INSTALL_S:g} s") from None
    if done.returncode:
        raise Trouble(f"{what} failed: {(done.stderr or done.stdout).strip()[-400:]}")


def _once(directory: Path, install: Callable[[], None]) -> None:
    """Install once; a half-done one is begun anew."""
    stamp = directory / "installed"
    if stamp.exists():
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    install()
    stamp.touch()


def litellm(place: Place, up: Upstreams, cache: Path) -> Subject:
    """LiteLLM's proxy with a config file, a master key and no database."""
    home = cache / f"litellm-{LITELLM}"

    def install() -> None:
        _run("making a virtual environment", [sys.executable, "-m", "venv", str(home)], cache)
        pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run("pip install 'litellm[proxy]'", [*pip, f"litellm[proxy]=={LITELLM}"], cache)

    _once(home, install)
    directory, port = place.sub("litellm"), free_port()
    lines = ["model_list:"]
    for model, target in ((wire.PLAIN, up.static_port), (wire.STREAM, up.paced_port)):
        params = f'{{model: "openai/{model}", api_base: "http://127.0.0.1:{target}/v1", api_key: "sk-upstream"}}'
        lines += [f"  - model_name: {model}", f"    litellm_params: {params}"]
    lines += ["general_settings:", f"  master_key: {KEY}", "litellm_settings:", "  telemetry: false"]
    (directory / "config.yaml").write_text("\n".join(lines) + "\n")
    argv = [
        str(home / "bin/litellm"),
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    env = environment(
        LITELLM_LOG="ERROR", LITELLM_LOCAL_MODEL_COST_MAP="True", DISABLE_ADMIN_UI="True", HOME=str(directory)
    )
    child = place.children.start("litellm", argv, directory, env=env)
    child.wait_for(lambda: listens(port), START_S)
    return Subject("litellm", f"LiteLLM proxy {LITELLM}", child, port, port)


def portkey(place: Place, up: Upstreams, cache: Path) -> Subject:
    """Portkey's gateway on Node; the upstream is named by a header, as its users do."""
    home = cache / f"portkey-{PORTKEY}"
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Trouble("it needs Node 18 or newer with npm on the PATH (Debian, Ubuntu: apt-get install nodejs npm)")

    def install() -> None:
        more = ["--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error"]
        asked = {
            "private": True,
            "dependencies": {"@portkey-ai/gateway": PORTKEY},
            "overrides": {"@hono/node-server": HONO_SERVER},
        }
        (home / "package.json").write_text(json.dumps(asked))
        _run("npm install @portkey-ai/gateway", [npm, "install", *more], home)

    _once(home, install)
    port = free_port()
    program = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    argv = [node, "--require", str(HERE / "loopback.cjs"), str(program), f"--port={port}", "--headless"]
    child = place.children.start("portkey", argv, place.sub("portkey"), env=environment(NODE_ENV="production"))
    child.wait_for(lambda: listens(port), START_S)

    def headers(target: int) -> dict[str, str]:
        more = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{target}/v1"}
        return {"Authorization": f"Bearer {KEY}", **more}

    return Subject(
        "portkey", f"Portkey gateway {PORTKEY}", child, port, port, headers(up.static_port), headers(up.paced_port)
    )


KNOWN: dict[str, Callable[[Place, Upstreams, Path], Subject]] = {"litellm": litellm, "portkey": portkey}


def wanted(words: str) -> list[str]:
    """`none`, `all` or names with commas. Raises ValueError."""
    if words in ("none", ""):
        return []
    names = list(KNOWN) if words == "all" else words.split(",")
    if unknown := [name for name in names if name not in KNOWN]:
        raise ValueError(f"no peer {unknown[0]!r}; there are {', '.join(KNOWN)}, or all, or none")
    return names
