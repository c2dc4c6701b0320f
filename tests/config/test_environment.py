"""Without a config: channels from what is at hand."""

import pytest

from ftgate import config
from ftgate.config import environment
from ftgate.core.secret import Secret
from ftgate.errors import ConfigFaults
from tests.config.reading import load

SIX = [
    "DEEPSEEK_API_KEY",
    "MOONSHOT_API_KEY",
    "ZHIPU_API_KEY",
    "DASHSCOPE_API_KEY",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
]


@pytest.mark.parametrize("variable", SIX)
def test_a_key_makes_a_channel(variable: str) -> None:
    found = config.from_environment({variable: "sk-1"}, None)
    channel, *demo = found.routes.channels
    assert found.found[channel.name] == variable
    assert [one.name for one in demo] == (["demo"] if variable == "ANTHROPIC_API_KEY" else [])
    assert channel.credentials == (Secret("sk-1"),)
    assert channel.models
    assert found.origin is None
    assert found.warnings == []


def test_where_nothing_can_be_called_yet_there_is_the_demo_too() -> None:
    """A channel whose protocol is not served yet is listed; the first call must succeed all the same."""
    found = config.from_environment({"ANTHROPIC_API_KEY": "sk-1"}, None)
    assert [channel.name for channel in found.routes.channels] == ["anthropic", "demo"]
    assert [row["served"] for row in config.describe(found)["channels"]] == [False, True]
    for environ, models in (
        ({"ANTHROPIC_API_KEY": "sk-1", "OPENAI_API_KEY": "sk-2"}, None),
        ({"ANTHROPIC_API_KEY": "sk-1"}, ["llama"]),
    ):
        assert "demo" not in {channel.name for channel in config.from_environment(environ, models).routes.channels}


def test_several_keys_make_several() -> None:
    found = config.from_environment(dict.fromkeys(SIX, "sk-1"), None)
    assert len(found.routes.channels) == len(SIX)


def test_one_key_makes_one_channel_though_two_providers_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "provider_names", lambda: ("deepseek", "deepseek"))
    rows, _ = environment.discover({"DEEPSEEK_API_KEY": "sk-1"}, None)
    assert len(rows) == 1


def test_an_empty_key_is_none() -> None:
    found = config.from_environment({"DEEPSEEK_API_KEY": " "}, None)
    assert [channel.name for channel in found.routes.channels] == ["demo"]


def test_a_local_ollama_is_free() -> None:
    found = config.from_environment({}, ["llama3:8b", "qwen3"])
    (channel,) = found.routes.channels
    assert channel.url == "http://127.0.0.1:11434/v1/chat/completions"
    assert channel.credentials == (Secret(""),)
    assert set(channel.models) == {"llama3:8b", "qwen3"}
    assert all(model.price.free for model in channel.models.values())


@pytest.mark.parametrize("models", [None, []])
def test_else_the_demo(models: list[str] | None) -> None:
    found = config.from_environment({}, models)
    (channel,) = found.routes.channels
    assert (channel.name, channel.url) == ("demo", "http://demo.invalid/v1/chat/completions")
    assert set(channel.models) == {"demo-chat", "demo-reasoner"}


def test_a_file_without_channels_takes_them_from_the_environment() -> None:
    found = load("[server]\nport = 1", {"DEEPSEEK_API_KEY": "sk-1"}, ollama_models=["llama"])
    assert [channel.name for channel in found.routes.channels] == ["deepseek", "ollama"]
    assert "there is no [[channel]]" in found.warnings[0]


def test_no_file_is_the_environment() -> None:
    assert config.load(None, {}) == config.from_environment({}, None)


def test_a_key_that_is_none_is_a_fault_without_showing_it() -> None:
    with pytest.raises(ConfigFaults) as caught:
        config.from_environment({"DEEPSEEK_API_KEY": "two words"}, None)
    assert "two words" not in str(caught.value)
    assert '[[channel]] "deepseek": keys holds a space' in str(caught.value)
