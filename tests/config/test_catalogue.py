"""The shipped catalogue and the rules of its reader."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from ftgate import config
from ftgate.core.pricing import Price, Tier
from ftgate.dialects.asked import SELDOM_TAKEN
from ftgate.providers import catalogue

PAGES = ["deepseek-chat", "deepseek-reasoner", "deepseek-v3", "deepseek-r1", "deepseek-v4-flash", "deepseek-v4-pro",
         "glm-4-plus",
         "glm-4-air", "glm-4-flash", "kimi-k2", "qwen-max", "qwen-plus", "qwen-turbo", "qwen-long", "gpt-4o", "gpt-4.1",
         "claude-sonnet",
         "claude-sonnet-4-20250514", "claude-opus-4-20250514"]  # fmt: skip
"""Every model id of the five reference pages."""


@pytest.mark.parametrize("name", config.provider_names())
def test_a_shipped_file_loads(name: str) -> None:
    found = config.provider(name)
    assert found.name == name
    assert found.prices_date
    assert found.prices_source
    assert set(found.aliases.values()) <= set(found.models)
    assert found.base or name.endswith("-compatible")
    for model in found.models.values():
        assert model.context, model.name
        if model.kind == "chat":
            assert model.max_output, model.name
            assert model.price.free or model.price.output, model.name
        else:
            assert not model.price.output and not model.max_output, model.name


def test_what_few_upstreams_take() -> None:
    assert get_args(catalogue.Taken) == SELDOM_TAKEN
    taking = {name: config.provider(name).takes for name in config.provider_names() if config.provider(name).takes}
    assert taking == {"openai": SELDOM_TAKEN}
    routes = config.from_environment({"OPENAI_API_KEY": "sk-1", "DEEPSEEK_API_KEY": "sk-2"}, None).routes
    assert {channel.provider: channel.takes for channel in routes.channels} == {
        "openai": SELDOM_TAKEN, "deepseek": ()}  # fmt: skip


def test_no_model_of_one_name_and_no_alias_hides_a_model() -> None:
    """An alias that is another provider's model would lead away from it when both are configured."""
    models = {model for name in config.provider_names() for model in config.provider(name).models}
    aliases = {alias for name in config.provider_names() for alias in config.provider(name).aliases}
    assert models and aliases and not models & aliases


@pytest.mark.parametrize("name", PAGES)
def test_every_name_of_the_pages_resolves(name: str) -> None:
    environ = {variable: "sk-1" for provider in config.provider_names() for variable in config.provider(provider).env}
    routes = config.from_environment(environ, None).routes
    assert routes.serving(routes.resolve(name))


def test_which_models_can_be_told_how_much_to_think() -> None:
    """It is known of every shipped one; of others where they are said to reason."""
    shipped = {name: model for one in config.provider_names() for name, model in config.provider(one).models.items()}
    assert {model.thinks for model in shipped.values()} == {True, False}
    for name in ("gpt-5.4-mini", "deepseek-v4-pro", "qwen3-max"):
        assert shipped[name].thinks is True, name
    for name in ("gpt-4o", "qwen-turbo", "glm-4-plus"):
        assert shipped[name].thinks is False, name
    blank = catalogue.read(HEAD + '[model."a"]\ninput = 1\noutput = 1\n').models["a"]
    own = msgspec.structs.replace(blank, thinks=None)
    assert blank.thinks is False
    assert [catalogue.merge(base, "b", {"tags": tags}).thinks for base in (blank, own) for tags in (
        ("quick",), ("quick", "reasoning"))] == [False, True, None, True]  # fmt: skip


HEAD = 'name = "x"\ntitle = "X"\ndialect = "openai_chat"\nbase_url = "http://x/v1"\nauth = "bearer"\n'
FULL = """
[model."a"]
input = 1
output = 2.5
cached = 0.1
cache_write_1h = 3
per_request = 0.01
tiers = [{ above = 10, input = 2, output = 4, cached = 1 }, { above = 20, input = 3, output = 5 }]
context = 100
max_output = 50
cap_field = "none"
on_client_gone = "drain"
[model."b"]
upstream = "b-1"
input = 0
output = 0
context = 9
max_output = 9
[alias]
"c" = "a"
"""


def test_read() -> None:
    found = catalogue.read(HEAD + 'cap_field = "max_completion_tokens"\nthinking_in_cap = false\n' + FULL)
    assert found.models["a"].price == Price(
        input=1_000_000, output=2_500_000, cached=100_000, cache_write=1_000_000, cache_write_1h=3_000_000,
        per_request=10**10,
        tiers=(Tier(10, 2_000_000, 4_000_000, 1_000_000, 2_000_000, 2_000_000), Tier(20, 3_000_000, 5_000_000,
        *[3_000_000] * 3)),
    )  # fmt: skip
    assert (found.models["a"].cap_field, found.models["a"].drain, found.models["a"].upstream) == (None, True, "a")
    assert (found.models["b"].cap_field, found.models["b"].thinking_in_cap) == ("max_completion_tokens", False)
    assert found.models["b"].upstream == "b-1"
    assert found.aliases == {"c": "a"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("input = 1\n", "", "missing required field `input`"),
        ("input = 1\n", "input = -1\n", "zero or more"),
        ("input = 1\n", "input = 0.0000001\n", "six decimals"),
        ("input = 1\n", "input = 0.1234560000000000000001\n", "six decimals"),  # a float would round it away
        ("input = 1\n", "input = nan\n", "zero or more"),
        ("output = 2.5", "outputs = 2.5", "unknown field"),
        ("above = 20", "above = 10", "ascend"),
        ("max_output = 50", "max_output = 500", "more than context"),
        ("per_request = 0.01", "per_request = -1", "zero or more"),
        ('cap_field = "none"', 'cap_field = "tokens"', "Invalid enum value"),
        ('"c" = "a"', '"c" = "d"', "lead to one"),
        ('"c" = "a"', '"b" = "a"', "no model of its own"),
        ('auth = "bearer"', 'auth = "basic"', "Invalid enum value"),
        ('title = "X"', "title = ", "Invalid value"),
    ],
)
def test_read_refuses(old: str, new: str, words: str) -> None:
    text = HEAD + FULL
    assert old in text
    with pytest.raises(ValueError, match=words):
        catalogue.read(text.replace(old, new, 1))


def test_an_unknown_provider_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        config.provider("../config")


def test_importing_config_brings_no_server_in() -> None:
    """`ftgate keys list` must start at once."""
    heavy = "{'trio', 'quart', 'httpx', 'click', 'hypercorn', 'sqlite3', 'difflib', 'importlib.resources'}"
    code = f"import sys, ftgate.config; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_catalogue_opens_inside_a_zip(tmp_path: Path) -> None:
    """ftgate is one file: nothing may be opened by its place on the disk."""
    package = Path(config.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as one:
        for path in [
            *package.glob("*.py"),
            *package.glob("core/*.py"),
            *package.glob("config/*.py"),
            *package.glob("dialects/**/*.py"),
            *package.glob("providers/*"),
        ]:
            if path.is_file():
                one.write(path, Path("ftgate") / path.relative_to(package))
    code = (
        "from ftgate import config; print(config.__file__, config.from_environment({'OPENAI_API_KEY': 'sk'}, "
        "None).routes.channels[0].name)"
    )
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "one.zip")}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environ
    )
    assert found.stdout.split() == [str(tmp_path / "one.zip/ftgate/config/__init__.py"), "openai"]
