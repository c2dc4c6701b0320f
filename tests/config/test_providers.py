"""What is shipped of every provider, as a gateway has it: names, regions, addresses, habits, and where the lists of
them stand."""

import re
from pathlib import Path

import pytest

from ftgate import config, dialects
from ftgate.config.note import Note
from ftgate.config.values import headers
from ftgate.core.moments import parse_time
from ftgate.core.money import parse_price
from ftgate.core.verdicts import Verdict
from ftgate.providers import catalogue
from tests.config.reading import faults, load

MANUAL = Path(__file__).parents[2] / "ftgate/manual/providers.md"
DEMANDED = (
    "deepseek", "moonshot", "moonshot-intl", "zhipu", "zai", "minimax", "minimax-intl", "dashscope", "dashscope-intl",
    "qianfan", "volcengine", "hunyuan", "tokenhub", "baichuan", "stepfun", "stepfun-intl", "siliconflow",
    "siliconflow-intl", "openai", "anthropic", "gemini", "openrouter", "ollama", "openai-compatible",
    "anthropic-compatible", "demo",
)  # fmt: skip
REFERENCES = {
    "DEEPSEEK_API_KEY": (
        "deepseek-chat", "deepseek-reasoner", "deepseek-v3", "deepseek-r1", "deepseek-v4-flash", "deepseek-v4-pro",
    ),
    "ZHIPU_API_KEY": ("glm-4-plus", "glm-4-air", "glm-4-flash"),
    "MOONSHOT_API_KEY": ("kimi-k2",),
    "MOONSHOT_INTL_API_KEY": ("kimi-k2",),
    "DASHSCOPE_API_KEY": ("qwen-turbo", "qwen-plus", "qwen-max", "qwen-long"),
    "DASHSCOPE_INTL_API_KEY": ("qwen-turbo", "qwen-plus", "qwen-max"),
    "OPENAI_API_KEY": ("gpt-4o", "gpt-4.1"),
    "ANTHROPIC_API_KEY": ("claude-sonnet", "claude-sonnet-4-20250514", "claude-opus-4-20250514"),
}  # fmt: skip
"""Every model that a reference page names, by the one variable that is set."""


def test_these_are_the_providers() -> None:
    assert set(config.provider_names()) == set(DEMANDED)


@pytest.mark.parametrize(("variable", "name"), [(v, name) for v, names in REFERENCES.items() for name in names])
def test_a_name_of_the_pages_is_served_with_one_key_alone(variable: str, name: str) -> None:
    routes = config.from_environment({variable: "sk-1"}, None).routes
    (channel,) = routes.channels
    served = routes.resolve(name)
    model = channel.models[served]
    assert routes.serving(served) == (channel,) and model.kind == "chat"
    assert model.price.output or served == "glm-4-flash"


@pytest.mark.parametrize("name", [n for n in DEMANDED if config.provider(n).env])
def test_a_key_in_the_environment_makes_its_channel(name: str) -> None:
    """Every one of its variables; and nobody else's channel is made of it."""
    shipped = config.provider(name)
    made = [config.from_environment({variable: "sk-1"}, None).routes.channels for variable in shipped.env]
    assert [[(c.name, c.provider, set(c.models)) for c in channels] for channels in made] == (
        [[(name, name, set(shipped.models))]] * len(shipped.env))  # fmt: skip


def test_no_variable_is_two_providers() -> None:
    every = [variable for name in config.provider_names() for variable in config.provider(name).env]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", [n for n in DEMANDED if config.provider(n).base])
def test_an_address_is_whole_and_a_key_goes_to_its_own_provider_only(name: str) -> None:
    shipped = config.provider(name)
    local = name in ("ollama", "demo")
    host = re.compile(r"https?://([^/]+)")
    for base in shipped.bases.values():
        assert base.base_url and base.base_url.startswith("http://" if local else "https://")
        assert not base.base_url.endswith("/")
    domains = {host.match(base.base_url or "")[1].split(".")[-2] for base in shipped.bases.values()}  # type: ignore[index]
    assert len(domains) == 1
    if shipped.check.get:
        url = shipped.check.url(shipped.base or "")
        assert url and host.match(url)[1] == host.match(shipped.base or "")[1]  # type: ignore[index]
    assert shipped.check != catalogue.Check() or name == "demo"


REGIONS = {"moonshot-intl": "moonshot", "zai": "zhipu", "minimax-intl": "minimax", "dashscope-intl": "dashscope",
           "stepfun-intl": "stepfun", "siliconflow-intl": "siliconflow"}  # fmt: skip


@pytest.mark.parametrize("name", REGIONS)
def test_another_region_has_its_own_addresses_and_keys_and_the_same_habits(name: str) -> None:
    its, home = config.provider(name), config.provider(REGIONS[name])
    assert not {base.base_url for base in its.bases.values()} & {base.base_url for base in home.bases.values()}
    assert its.bases.keys() == home.bases.keys() and not set(its.env) & set(home.env)
    assert (its.errors, its.drop, its.priced, its.cap_field) == (home.errors, home.drop, home.priced, home.cap_field)
    for dialect, base in its.bases.items():
        assert (base.auth, base.habits, base.also) == (
            home.bases[dialect].auth, home.bases[dialect].habits, home.bases[dialect].also)  # fmt: skip
    assert its.models and set(its.models) <= set(home.models)


@pytest.mark.parametrize("name", DEMANDED)
def test_what_is_dropped_can_be_done_without(name: str) -> None:
    """Nothing by which a call is addressed, priced or capped."""
    shipped = config.provider(name)
    needed = {"model", "messages", "input", "prompt", "stream", "n", "tools", "tool_choice"}
    needed |= {field for dialect in dialects.ALL for field in dialects.cap_fields(dialect)}
    for dropped in (shipped.drop, *(model.drop for model in shipped.models.values())):
        assert not needed & set(dropped)
    for base in shipped.bases.values():
        for bound in base.habits.clamp if base.habits else ():
            assert bound.low < bound.high and bound.field not in needed
        assert not needed & (base.habits.fill.keys() if base.habits else set())
    assert headers(dict(shipped.headers), Note("", "")) == shipped.headers


def test_what_some_of_them_want() -> None:
    """Facts that other tests do not show."""

    def clamped(name: str) -> dict[str, tuple[float, float]]:
        habits = config.provider(name).bases["openai_chat"].habits
        return {bound.field: (bound.low, bound.high) for bound in habits.clamp} if habits else {}

    assert clamped("zhipu") == clamped("zai") == {"temperature": (0.01, 0.99), "top_p": (0.01, 0.99)}
    assert clamped("dashscope")["top_p"] == (0.01, 0.99)
    assert clamped("openai") == {}
    assert "frequency_penalty" in config.provider("baichuan").drop
    assert {"temperature", "top_p"} <= set(config.provider("moonshot").drop)
    assert config.provider("zhipu").errors["1113"] is Verdict.out_of_credit
    minimax = config.provider("minimax")
    assert minimax.errors["1008"] is Verdict.out_of_credit
    assert minimax.bases["openai_chat"].habits.fill == {"reasoning_split": True}  # type: ignore[union-attr]
    assert "reasoning_split" not in minimax.bases["anthropic_messages"].habits.fill  # type: ignore[union-attr]
    for name, auth in (("deepseek", "x-api-key"), ("qianfan", "x-api-key"), ("siliconflow", "bearer")):
        assert config.provider(name).bases["anthropic_messages"].auth == auth
    for name in ("gemini", "baichuan", "volcengine", "openai"):
        assert "anthropic_messages" not in config.provider(name).bases
    assert config.provider("deepseek").check.url("https://x.example/v1") == "https://x.example/user/balance"
    assert config.provider("gemini").check.url("https://x.example/v1beta/openai/") == (
        "https://x.example/v1beta/openai/models")  # fmt: skip


def test_deepseek_is_half_as_dear_outside_of_working_hours() -> None:
    for model in config.provider("deepseek").models.values():
        peak, night = (model.price_at(parse_time(at)) for at in ("2026-11-27T01:00", "2026-11-27T00:59"))
        assert peak == model.price and night != peak
        for of in ("input", "output", "cached", "cache_write"):
            assert 2 * getattr(night, of) == getattr(peak, of), of
        assert model.price_at(parse_time("2026-11-28T07:00")) == night  # a Saturday


# ---- a provider like another one ----

HOME = """
name = "home"
title = "Home"
dialect = "openai_chat"
base_url = "https://home.example/v1"
auth = "bearer"
env = ["HOME_KEY"]
clamp = { top_p = [0.1, 0.9] }
check = { get = "../me" }
[address.anthropic_messages]
base_url = "https://home.example/a"
[model."a"]
input = 1
output = 1
[model."b"]
input = 2
output = 2
[alias]
"c" = "a"
"d" = "b"
"""
AWAY = """
like = "home"
name = "away"
title = "Away"
base_url = "https://away.example/v1"
"""


def away(more: str = "") -> catalogue.Provider:
    return catalogue.read(AWAY + more, {"home": HOME}.__getitem__)


def test_like_another_one() -> None:
    its = away()
    assert (its.name, its.title, its.base) == ("away", "Away", "https://away.example/v1")
    assert set(its.models) == {"a", "b"} and its.aliases == {"c": "a", "d": "b"}
    assert its.bases["openai_chat"].habits == catalogue.read(HOME).bases["openai_chat"].habits


def test_what_leads_elsewhere_is_never_like_another_ones() -> None:
    """Addresses, keys, how a key is checked."""
    its = away()
    assert its.bases.keys() == {"openai_chat"} and its.env == () and its.check == catalogue.Check()


def test_without_some_models_and_with_others() -> None:
    its = away('without = ["a"]\n[model."b"]\ninput = 9\noutput = 9\n[model."e"]\ninput = 3\noutput = 3\n')
    assert set(its.models) == {"b", "e"} and its.aliases == {"d": "b"}
    assert its.models["b"].price.input == parse_price("9")


@pytest.mark.parametrize(("more", "words"), [
    ('check = { get = "https://evil.example/me" }\n', "check.get is a path"),
    ('check = { get = "//evil.example/me" }\n', "check.get is a path"),
    ('check = { get = "" }\n', "check.get is a path"),
    ('check = { model = "z" }\n', "none of its models"),
    ('quirks = ["magic"]\n', "not in providers/quirks.py"),
    ('errors = { "1" = "bad" }\n', "Invalid enum value"),
    ("clamp = { top_p = [0.1] }\n", "length"),
    ('[model."x"]\ninput = 1\n', "output has no price"),
    ('[model."x"]\ninput = 1\noutput = 1\nhours = [{ utc = ["9-10"], input = 1, output = 1 }]\n', "no span"),
    ('[model."x"]\ninput = 1\noutput = 1\nhours = [{ utc = ["09:00-10:00"], input = 1, output = 1 }]\n'
     "tiers = [{ above = 9, input = 2, output = 2 }]\n", "side by side"),
])  # fmt: skip
def test_read_refuses(more: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        away(more)


def test_nobody_to_be_like() -> None:
    with pytest.raises(ValueError, match="no other provider"):
        catalogue.read(AWAY)


def test_an_embeddings_model_has_no_price_of_output() -> None:
    its = away('[model."v"]\nkind = "embeddings"\ninput = 0.5\n').models["v"]
    assert (its.price.input, its.price.output, its.kind) == (parse_price("0.5"), 0, "embeddings")


# ---- in a config ----

ARK = '[[channel]]\nname = "ark"\nprovider = "volcengine"\nkeys = ["sk-ark-1"]\n'


def test_an_endpoints_id_is_a_model_with_its_price() -> None:
    (channel,) = load(ARK + '[channel.models."ep-20260101-abc"]\nlike = "doubao-seed-2-1-pro-260628"\n').routes.channels
    its, like = channel.models["ep-20260101-abc"], channel.models["doubao-seed-2-1-pro-260628"]
    assert (its.name, its.upstream) == ("ep-20260101-abc", "ep-20260101-abc")
    assert (its.price, its.context, its.max_output) == (like.price, like.context, like.max_output)


def test_like_no_model() -> None:
    (fault,) = faults(ARK + '[channel.models."ep-1"]\nlike = "doubao-seed-2-1-pro"\n')
    assert fault.startswith('6: [[channel]] "ark": models.ep-1.like = "doubao-seed-2-1-pro" is no model of volcengine.')
    assert "Did you mean doubao-seed-2-1-pro-260" in fault


def test_a_channels_headers_stand_over_its_providers() -> None:
    text = '[[channel]]\nname = "o"\nprovider = "openrouter"\nkeys = ["sk-or-1"]\n'
    assert load(text).routes.channels[0].headers == {"X-OpenRouter-Title": "ftgate"}
    (channel,) = load(text + 'headers = { x-openrouter-title = "mine", x-a = "b" }\n').routes.channels
    assert channel.headers == {"x-openrouter-title": "mine", "x-a": "b"}


def test_a_channel_drops_what_its_provider_would_fill_in() -> None:
    text = '[[channel]]\nname = "m"\nprovider = "minimax"\nkeys = ["sk-m-1"]\n'
    address = load(text).routes.channels[0].addresses["openai_chat"]
    assert address.habits and address.habits.fill == {"reasoning_split": True}
    (channel,) = load(text + 'drop_params = ["reasoning_split", "seed"]\n').routes.channels
    own = channel.addresses["openai_chat"].habits
    assert own and own.fill == {} and own.clamp == address.habits.clamp
    assert channel.drop_params == ("reasoning_split", "seed")
    kimi = load('[[channel]]\nname = "k"\nprovider = "moonshot"\nkeys = ["k"]\ndrop_params = ["seed"]\n')
    assert kimi.routes.channels[0].drop_params == (*config.provider("moonshot").drop, "seed")


def test_models_of_a_provider_hold_for_all_its_channels_and_for_byok() -> None:
    text = """
        [provider.deepseek.models."deepseek-flash"]
        input = 7
        [provider.deepseek.models."new"]
        input = 1
        output = 2
        [[channel]]
        name = "one"
        provider = "deepseek"
        keys = ["k1"]
        [[channel]]
        name = "two"
        provider = "deepseek"
        keys = ["k2"]
        [channel.models."deepseek-flash"]
        input = 8
    """
    settings = load(text)
    one, two = settings.routes.channels
    assert [c.models["deepseek-flash"].price.input for c in (one, two)] == [parse_price("7"), parse_price("8")]
    assert one.models["new"] == two.models["new"]
    shipped = config.provider("deepseek")
    assert one.models["deepseek-flash"].price.output == shipped.models["deepseek-flash"].price.output
    byok = config.effective_provider(settings, "deepseek")
    assert byok and byok.models["deepseek-flash"].price.input == parse_price("7") and "new" in byok.models
    assert config.provider("deepseek") is shipped and "new" not in shipped.models


@pytest.mark.parametrize(("text", "fault"), [
    ('[provider.deepseek.models.x]\ninput = 1\n', "1: [provider.deepseek.models] x has no price: output missing."),
    ('[provider.deepseek.models."deepseek-flash"]\ninput = -1\n', "2: [provider.deepseek.models.deepseek-flash] input"),
    ('[provider.deepseek]\nmodels = 3\n', "2: [provider.deepseek] models is a whole number, not a table."),
    (ARK + '[channel.models.x]\ninput = 1\noutput = 1\nhours = 3\n', '8: [[channel]] "ark": models.x.hours is a whole'),
    (ARK + '[channel.models.x]\ninput = 1\noutput = 1\nhours = [{ utc = ["9-10"], input = 1, output = 1 }]\n',
     '8: [[channel]] "ark": models.x.hours: \'9-10\' is no span of hours; write it like 16:30-00:30.'),
    (ARK + '[channel.models.x]\ninput = 1\noutput = 1\nhours = [{ utc = ["09:00-10:00"], input = 1 }]\n',
     '8: [[channel]] "ark": models.x.hours: each row has utc, input and output'),
    (ARK + '[channel.models.x]\ninput = 1\noutput = 1\nhours = [{ utc = ["09:00-10:00"], days = 5, input = 1, '
     "output = 1 }]\n", '8: [[channel]] "ark": models.x.hours: days is text.'),
])  # fmt: skip
def test_faults(text: str, fault: str) -> None:
    found = faults(text)
    assert any(words.startswith(fault) for words in found), found


def test_hours_in_a_config() -> None:
    hours = 'hours = [{ utc = ["22:00-06:00"], days = "mon-fri", input = 0.5, output = 1, cached = 0.1 }]\n'
    (channel,) = load(ARK + f'[channel.models."x"]\ninput = 1\noutput = 2\nper_request = 0.01\n{hours}').routes.channels
    day, night = (channel.models["x"].price_at(parse_time(at)) for at in ("2026-11-27T21:59", "2026-11-28T05:59"))
    assert (day.input, day.cached) == (parse_price("1"), parse_price("1"))
    assert (night.input, night.output, night.cached) == tuple(map(parse_price, ("0.5", "1", "0.1")))
    assert night.per_request == day.per_request > 0 and night.cache_write == night.input


# ---- where the lists stand ----


def test_the_manual_has_every_provider() -> None:
    """Mend it with: scripts/manual"""
    assert config.provider_table() in MANUAL.read_text("utf-8")


def test_the_example_names_every_provider_and_variable() -> None:
    text = config.write_example()
    listed = re.search(r"# Providers: (.*?)\.\n# Their keys: (.*?)\.\n", text, re.DOTALL)
    assert listed
    names, variables = (re.sub(r"\s*\n#\s*", " ", part).split(", ") for part in listed.groups())
    assert tuple(names) == config.provider_names()
    assert variables == [config.provider(n).env[0] for n in config.provider_names() if config.provider(n).env]
