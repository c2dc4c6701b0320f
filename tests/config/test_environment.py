"""Without a config: channels from what is at hand."""

import pytest

from ftgate import config
from ftgate.config import environment
from ftgate.core.secret import Secret
from ftgate.errors import ConfigFaults
from tests.config.reading import CHANNEL, load

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
    (channel,) = found.routes.channels
    assert found.found[channel.name] == variable
    assert channel.credentials == (Secret("sk-1"),)
    assert channel.models
    assert found.origin is None
    assert found.warnings == []


def test_several_keys_make_several() -> None:
    found = config.from_environment(dict.fromkeys(SIX, "sk-1"), None)
    assert len(found.routes.channels) == len(SIX)


def test_one_key_makes_one_channel_though_two_providers_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "provider_names", lambda: ("deepseek", "deepseek"))
    assert len(environment.discover({"DEEPSEEK_API_KEY": "sk-1"}, None).rows) == 1


def test_an_empty_key_is_none() -> None:
    found = config.from_environment({"DEEPSEEK_API_KEY": " "}, None)
    assert [channel.name for channel in found.routes.channels] == ["demo"]


def test_a_local_ollama_is_free() -> None:
    found = config.from_environment({}, ["llama3:8b", "qwen3"])
    (channel,) = found.routes.channels
    assert channel.addresses["openai_chat"].url == "http://127.0.0.1:11434/v1/chat/completions"
    assert channel.credentials == (Secret(""),)
    assert set(channel.models) == {"llama3:8b", "qwen3"}
    assert {model.price.free for model in channel.models.values()} == {True}


@pytest.mark.parametrize("models", [None, []])
def test_else_the_demo(models: list[str] | None) -> None:
    found = config.from_environment({}, models)
    (channel,) = found.routes.channels
    assert (channel.name, channel.addresses["openai_chat"].url) == ("demo", "http://demo.invalid/v1/chat/completions")
    assert set(channel.models) == {"demo-chat", "demo-reasoner", "demo-embed"}


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


@pytest.mark.parametrize("text", ["sk-ft_abc", "'sk-ft_abc'", ' "sk-ft_abc" '])
def test_our_own_key_is_no_providers_key(text: str) -> None:
    """Who calls us has it in OPENAI_API_KEY, as the start prints it: no provider may see it."""
    found = config.from_environment({"OPENAI_API_KEY": text, "DEEPSEEK_API_KEY": "sk-1"}, None)
    assert [channel.name for channel in found.routes.channels] == ["deepseek"]
    words = "OPENAI_API_KEY holds a key of this gateway, which no provider takes. No channel is made of it."
    assert found.warnings == [f"environment:1: {words}"]


def test_a_second_variable_counts_where_the_first_holds_our_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = next(env for name in config.provider_names() if len(env := config.provider(name).env) > 1)
    (channel,) = config.from_environment({first: "sk-ft_abc", second: "sk-1"}, None).routes.channels
    assert channel.credentials == (Secret("sk-1"),)


def test_another_gateway_of_ours_takes_keys_of_ours() -> None:
    """At an address that the config names another ftgate may stand."""
    found = load(CHANNEL.replace("env:LAB_KEY", "sk-ft_abc"))
    assert found.routes.channels[0].credentials == (Secret("sk-ft_abc"),)
    text = '[provider.deepseek]\nbase_url = "http://team:8400/v1"\n'
    text += '[[channel]]\nname = "d"\nprovider = "deepseek"\nkeys = ["sk-ft_abc"]\n'
    assert load(text).routes.channels[0].credentials == (Secret("sk-ft_abc"),)


@pytest.mark.parametrize("text", ['"sk-1"', "'sk-1'", " `sk-1` ", '" sk-1 "', "sk-1"])
def test_quotes_around_a_value_of_the_environment_are_taken_off(text: str) -> None:
    """docker --env-file keeps them."""
    (channel,) = config.from_environment({"DEEPSEEK_API_KEY": text}, None).routes.channels
    assert channel.credentials == (Secret("sk-1"),)
    assert load(CHANNEL, {"LAB_KEY": text}).routes.channels[0].credentials == (Secret("sk-1"),)
    assert load('[server]\nport = "env:PORT"', {"PORT": '"8401"'}).server.port == 8401


@pytest.mark.parametrize("text", ['""', "''", " ", '" "'])
def test_quotes_around_nothing_are_nothing(text: str) -> None:
    assert [c.name for c in config.from_environment({"DEEPSEEK_API_KEY": text}, None).routes.channels] == ["demo"]
    with pytest.raises(ConfigFaults, match="LAB_KEY is empty"):
        load(CHANNEL, {"LAB_KEY": text})


@pytest.mark.parametrize("text", ['"sk-1', "sk-1'", "\"sk-1'", '""sk-1""'])
def test_a_quote_that_is_left_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigFaults, match="begins or ends with a quote") as caught:
        load(CHANNEL, {"LAB_KEY": text})
    assert "sk-1" not in str(caught.value)
