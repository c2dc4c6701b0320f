"""Loading a config from its text, as the tests write it."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from ftgate import config
from ftgate.errors import ConfigFaults

ENVIRON = {"LAB_KEY": "sk-lab-secret-1", "DEEPSEEK_API_KEY": "sk-deep-secret-2", "OTHER_KEY": "sk-other-secret-3"}
CHANNEL = """
[[channel]]
name = "lab"
provider = "openai-compatible"
base_url = "http://127.0.0.1:9000/v1"
keys = ["env:LAB_KEY"]
[channel.models."m"]
input = 1
output = 2
"""


def load(text: str, environ: Mapping[str, str] = ENVIRON, *, ollama_models: list[str] | None = None) -> config.Settings:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ftgate.toml"
        path.write_text(dedent(text), "utf-8")
        return config.load(path, environ, ollama_models)


def faults(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """Every fault of a text as "line: words", none for a good one."""
    try:
        load(text, environ)
    except ConfigFaults as faulty:
        return [fault.split("ftgate.toml:", 1)[1] for fault in faulty.faults]
    return []


def warnings(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    return [warning.split("ftgate.toml:", 1)[1] for warning in load(text, environ).warnings]
