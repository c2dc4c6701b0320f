"""Channels without a config: provider keys found in the environment, a local Ollama, else the built-in demo."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftgate.config.shipped import provider, provider_names
from ftgate.config.values import unquoted
from ftgate.core.secret import OWN_KEY


class Discovered(NamedTuple):
    """`rows` as [[channel]] would hold them; `found`: for each channel's name where it came from; `own`: the variables
    that hold one of our own keys, which is what a shell of somebody who calls us looks like."""

    rows: list[dict[str, Any]]
    found: dict[str, str]
    own: list[str]


def discover(environ: Mapping[str, str], ollama_models: list[str] | None) -> Discovered:
    """What channels the environment makes.

    The keys stay "env:NAME" in the rows. `ollama_models` are what a local Ollama serves, None when there is none
    (asking it is not done here). A provider whose key stands under two names gets one channel.
    """
    rows: list[dict[str, Any]] = []
    found: dict[str, str] = {}
    taken: set[str] = set()
    values = {name: unquoted(text) for name, text in environ.items()}
    own = {name for name, text in values.items() if text.startswith(OWN_KEY)}
    passed: dict[str, None] = {}
    for name in provider_names():
        shipped = provider(name)
        if not shipped.base or not shipped.models:
            continue
        passed |= dict.fromkeys(env for env in shipped.env if env in own)
        variable = next((env for env in shipped.env if values.get(env) and env not in own), None)
        if variable and variable not in taken:
            taken.add(variable)
            rows.append({"name": name, "provider": name, "keys": [f"env:{variable}"]})
            found[name] = variable
    if ollama_models:
        rows.append({"name": "ollama", "provider": "ollama", "models": {model: {} for model in ollama_models}})
        found["ollama"] = "local"
    if not rows:  # the first call must succeed
        rows.append({"name": "demo", "provider": "demo"})
        found["demo"] = "built in"
    return Discovered(rows, found, list(passed))
