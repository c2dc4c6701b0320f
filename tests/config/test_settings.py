"""What a config becomes: defaults, merging, plans, routes."""

import typing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from ftgate import config
from ftgate.config import settings
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.load import fields
from ftgate.config.values import READERS, kind_of
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.pricing import Multiplier, Price, Tier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Address, Channel, Model, Reach, Timeouts
from ftgate.core.secret import Secret
from tests.config.reading import CHANNEL, ENVIRON, faults, load, warnings

USD = 10**12
DEFAULTS = {
    "server": {
        "host": "127.0.0.1", "port": 8400, "data_dir": Path("./ftgate-data"), "public_url": None, "fast_door": True,
        "direct_transport": True, "tls_cert": None,
        "tls_key": None, "registration": "closed", "password_min": 6, "metrics_token": None,
        "max_body_mb": 20, "connections_per_address": 4000, "trusted_proxies": (), "cors": True,
        "retention_days": 0,
        "shutdown_grace": 30, "shutdown_notice": 0,
        "keepalive": 15,
        "log_format": "text",
    },
    "database": {"url": None, "durability": "power", "hold_lifetime": 2400, "expired_hold": "void"},
    "backup": {"every_hours": 24, "keep": 7, "to": None},
    "billing": {"mode": "prepaid", "signup_credits": 0},
    "stripe": {
        "secret_key": None, "webhook_secret": None, "api_base": "https://api.stripe.com", "currency": "usd",
        "min_amount": 5 * USD,
        "max_amount": 1000 * USD, "return_origins": (),
    },
    "telemetry": {"otlp_endpoint": None, "headers": {}, "service_name": "ftgate"},
    "limits": {"requests_per_second": 100, "requests_per_minute": 0, "tokens_per_minute": 0, "concurrent": 0},
    "limits_account": {"requests_per_second": 0, "requests_per_minute": 0, "tokens_per_minute": 0, "concurrent": 0},
    "timeouts": {"connect": 5, "head": 60, "answer": 600, "first_token": 120, "idle": 60, "total": 1800},
    "retry": {"attempts": 3, "max_retry_after": 10, "backoff": 0.5, "backoff_cap": 8},
    "breaker": {"failures": 3, "window": 60, "cooldown": 5, "cooldown_cap": 300},
}  # fmt: skip


@pytest.mark.parametrize("section", DEFAULTS)
def test_defaults(section: str) -> None:
    found = getattr(load(""), section)
    assert msgspec.structs.asdict(found) == DEFAULTS[section]


def test_defaults_of_the_rest() -> None:
    found = load("")
    assert found.limits_model == {}
    assert found.plans == {"default": config.Plan("default", 1_000_000, Multiplier(1, 1), ("*",), None, None)}
    assert found.providers == {}
    assert found.routes.fallback == {}
    assert found.routes.auto == {}


STRUCTS = [settings.Server, settings.Database, settings.Backup, settings.Billing, settings.Stripe, settings.Telemetry,
           Rates, Timeouts,
           Retry, Breaker,
           settings.PlanSettings, ProviderOverride, ChannelSettings, ModelSettings,
           settings.Auto]  # fmt: skip


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_setting_has_help_reason_and_reader(struct: type[msgspec.Struct]) -> None:
    assert list(fields(struct)) == [field.name for field in msgspec.structs.fields(struct)]
    for name, (annotation, note) in fields(struct).items():
        assert note.help.endswith("."), name
        assert note.reason.endswith("."), name
        assert kind_of(annotation, note) in {*READERS, "keys", "section"}, name


def test_every_channel_setting_reaches_the_channel(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    certificate = trustme.CA().cert_pem.bytes().decode().strip()
    authority.write_text(f"# our own\n{certificate}\n# ✓\n", "utf-8")
    found = load(f"""
        [timeouts]
        idle = 7
        [[channel]]
        name = "lab"
        provider = "anthropic-compatible"
        base_url = "https://lab.example/v1/"
        keys = ["env:LAB_KEY", "env:OTHER_KEY"]
        priority = 2
        weight = 5
        on_client_gone = "drain"
        timeouts = {{ first_token = 20, total = 100.5 }}
        charge_left_before_content = false
        headers = {{ X-Team = "blue", X-Key = "env:LAB_KEY" }}
        query = {{ version = "3" }}
        ca_file = "{authority}"
        drop_params = ["seed"]
        monthly_cap = 50.0
        proxy = "socks5://u:p@127.0.0.1:1080"
        http2 = true
        [channel.models."my/model"]
        upstream = "my-model-2026"
        input = 0.28
        output = 0.42
        cached = 0.028
        cache_write_1h = 1
        per_request = 0.001
        tiers = [{{ above = 200000, input = 0.5, output = 0.9, cached = 0.1 }}]
        context = 131072
        max_output = 8192
        cap_field = "none"
        thinking_in_cap = false
        image_tokens = 1500
        tags = ["cheap", "coding"]
        best_for = "tests"
        """)
    price = Price(
        input=280_000, output=420_000, cached=28_000, cache_write=280_000, cache_write_1h=1_000_000,
        per_request=USD // 1000,
        tiers=(Tier(200_000, input=500_000, output=900_000, cached=100_000, cache_write=500_000,
        cache_write_1h=500_000),),
    )  # fmt: skip
    model = Model(
        name="my/model", upstream="my-model-2026", price=price, context=131072, max_output=8192, cap_field=None,
        thinking_in_cap=False,
        image_tokens=1500, drain=True, tags=("cheap", "coding"), best_for="tests",
    )  # fmt: skip
    assert found.routes.channels == (
        Channel(
            name="lab", provider="anthropic-compatible",
            addresses={
                "anthropic_messages": Address(
                    "anthropic_messages", "https://lab.example/v1/messages", "x-api-key", ("max_tokens",)
                ),
            },
            credentials=(Secret("sk-lab-secret-1"), Secret("sk-other-secret-3")),
            models={"my/model": model}, priority=2,
            weight=5, timeouts=Timeouts(idle=7.0, first_token=20.0, total=100.5), stream_usage=False, drain=True,
            charge_left_before_content=False, headers={"X-Team": "blue", "X-Key": "sk-lab-secret-1"},
            query={"version": "3"},
            drop_params=("seed",), reach=Reach(certificate, "socks5://u:p@127.0.0.1:1080", http2=True),
            monthly_cap=50 * USD,
        ),
    )  # fmt: skip


def test_no_key_is_an_empty_secret() -> None:
    (lab,) = load(CHANNEL.replace("env:LAB_KEY", "none")).routes.channels
    assert lab.credentials == (Secret(""),)
    (demo,) = load('[[channel]]\nname = "d"\nprovider = "demo"').routes.channels
    assert (demo.addresses["openai_chat"].auth, demo.credentials) == ("none", (Secret(""),))


def test_a_key_for_a_provider_that_needs_none_is_sent() -> None:
    text = (
        '[[channel]]\nname = "o"\nprovider = "ollama"\nbase_url = "https://ollama.com/v1"\nkeys = '
        '["env:LAB_KEY"]\n[channel.models.m]\n'
    )
    (cloud,) = load(text).routes.channels
    assert (cloud.addresses["openai_chat"].auth, cloud.credentials) == ("bearer", (Secret("sk-lab-secret-1"),))
    assert cloud.models["m"].price.free


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    (lab,) = load(CHANNEL.replace("env:LAB_KEY", f"file:{tmp_path / 'key'}")).routes.channels
    assert lab.credentials[0].reveal() == "sk-from-file"


def test_a_key_that_systemd_hands_over(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("sk-handed-over\n")
    text = CHANNEL.replace("env:LAB_KEY", "file:${CREDENTIALS_DIRECTORY}/lab")
    (lab,) = load(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).routes.channels
    assert lab.credentials[0].reveal() == "sk-handed-over"
    (unset,), (gone,) = faults(text, {}), faults(text, {"CREDENTIALS_DIRECTORY": "/nowhere"})
    assert "but CREDENTIALS_DIRECTORY is not set. A systemd unit with LoadCredential= sets it" in unset
    assert '"file:${CREDENTIALS_DIRECTORY}/lab" but the file cannot be read: No such file' in gone


def test_any_value_may_come_from_the_environment() -> None:
    environ = {"PORT": "99", "DOOR": "false", "CREDITS": "0.000001", "WHO": "open"}
    found = load(
        '[server]\nport = "env:PORT"\nfast_door = "env:DOOR"\nregistration = "env:WHO"\n[billing]\nsignup_credits = '
        '"env:CREDITS"',
        environ,
    )
    assert (found.server.port, found.server.fast_door, found.server.registration) == (99, False, "open")
    assert found.billing.signup_credits == 1_000_000


DEEP = '[[channel]]\nname = "deep"\nprovider = "deepseek"\nkeys = ["env:DEEPSEEK_API_KEY"]\n'


def test_the_catalogue_stands_behind_a_channel() -> None:
    (deep,) = load(DEEP).routes.channels
    shipped = config.provider("deepseek")
    assert deep.addresses["openai_chat"].url == "https://api.deepseek.com/v1/chat/completions"
    assert deep.addresses["anthropic_messages"].auth == "x-api-key"  # its other side wants the key so
    assert deep.models == shipped.models
    assert deep.timeouts == Timeouts()


def test_models_of_a_channel_extend_the_catalogues() -> None:
    name, shipped = next(iter(config.provider("deepseek").models.items()))
    (deep,) = load(
        DEEP + f'[channel.models."{name}"]\noutput = 9\n[channel.models.new]\ninput = 1\noutput = 2\n'
    ).routes.channels
    assert set(deep.models) == {*config.provider("deepseek").models, "new"}
    price = msgspec.structs.replace(shipped.price, output=9_000_000)
    assert shipped.hours  # a price that is given holds at every hour
    assert shipped.priced_from.endswith(")")
    assert deep.models[name] == msgspec.structs.replace(shipped, price=price, hours=(), priced_from="")
    assert deep.models["new"].cap_field == config.provider("deepseek").cap_field


def test_models_only_replaces_them() -> None:
    name, shipped = next(iter(config.provider("deepseek").models.items()))
    (deep,) = load(DEEP + f'models_only = true\n[channel.models."{name}"]\n').routes.channels
    assert deep.models == {name: shipped}


def test_a_class_at_the_input_price_follows_the_input_price() -> None:
    text = DEEP + '[channel.models."deepseek-v4-flash"]\ninput = 7\n'
    model = load(text).routes.channels[0].models["deepseek-v4-flash"]
    shipped = config.provider("deepseek").models["deepseek-v4-flash"]
    assert (model.price.input, model.price.cache_write, model.price.cached) == (
        7_000_000,
        7_000_000,
        shipped.price.cached,
    )


def test_a_new_price_under_old_tiers_is_a_warning() -> None:
    name = next(name for name, model in config.provider("dashscope").models.items() if model.price.tiers)
    text = (
        f'[[channel]]\nname = "q"\nprovider = "dashscope"\nkeys = ["none"]\n[channel.models."{name}"]\ninput = '
        "1\noutput = 1\n"
    )
    assert ["keeps the catalogue's tiers" in warning for warning in warnings(text)] == [True]
    assert warnings(text + "tiers = []\n") == []


def test_a_providers_address_may_be_overridden() -> None:
    found = load(
        DEEP + '[provider.deepseek]\nbase_url = "http://127.0.0.1:1/v1/"\nanthropic_base_url = "http://127.0.0.1:2"\n'
    )
    urls = {name: address.url for name, address in found.routes.channels[0].addresses.items()}
    assert urls == {
        "openai_chat": "http://127.0.0.1:1/v1/chat/completions",
        "anthropic_messages": "http://127.0.0.1:2/messages",
    }
    byok = config.effective_provider(found, "deepseek")
    assert byok is not None
    prefixes = [byok.bases[dialect].base_url for dialect in ("openai_chat", "anthropic_messages")]
    assert prefixes == ["http://127.0.0.1:1/v1", "http://127.0.0.1:2"]
    assert config.effective_provider(found, "nobody") is None
    found = load(
        '[provider.anthropic]\nbase_url = "http://127.0.0.1:1/v1"\n[[channel]]\nname = "a"\nprovider = '
        '"anthropic"\nkeys = ["none"]'
    )
    assert found.routes.channels[0].addresses["anthropic_messages"].url == "http://127.0.0.1:1/v1/messages"


OWN = 'base_url = "http://127.0.0.1:1/v1"\n'
SIDE = "anthropic_base_url"


@pytest.mark.parametrize(
    ("channel", "provider", "side"),
    [
        (OWN, "", None),
        ("", OWN, None),
        (OWN, OWN, None),
        (OWN + f'{SIDE} = "http://127.0.0.1:2"\n', "", "http://127.0.0.1:2/messages"),
        (OWN, f'{SIDE} = "http://127.0.0.1:3"\n', "http://127.0.0.1:3/messages"),
        (OWN + f'{SIDE} = "http://127.0.0.1:2"\n', OWN + f'{SIDE} = "http://x"\n', "http://127.0.0.1:2/messages"),
        ('base_url = "https://api.deepseek.com/v1"\n', "", "https://api.deepseek.com/anthropic/v1/messages"),
        ("", "", "https://api.deepseek.com/anthropic/v1/messages"),
    ],
)
def test_who_has_an_address_of_its_own_is_asked_nowhere_else(channel: str, provider: str, side: str | None) -> None:
    found = load(DEEP + channel + (f"[provider.deepseek]\n{provider}" if provider else ""))
    address = found.routes.channels[0].addresses.get("anthropic_messages")
    assert (address and address.url) == side
    assert address is None or address.auth == "x-api-key"
    assert next(iter(found.routes.channels[0].addresses)) == "openai_chat"  # its own comes first


def test_who_drains() -> None:
    text = '[[channel]]\nname = "o"\nprovider = "openai"\nkeys = ["none"]\n'
    drains = {name for name, model in config.provider("openai").models.items() if model.drain}
    assert drains
    (channel,) = load(text).routes.channels
    assert {name for name, model in channel.models.items() if model.drain} == drains
    (channel,) = load(text + 'on_client_gone = "abort"').routes.channels
    assert not any(model.drain for model in channel.models.values())
    (channel,) = load(text + 'on_client_gone = "drain"').routes.channels
    assert channel.drain
    assert {model.drain for model in channel.models.values()} == {True}


def test_plans() -> None:
    found = load("""
        [limits]
        requests_per_second = 50
        tokens_per_minute = 9
        [limits.account]
        concurrent = 4
        [plan.default]
        byok_tokens_per_month = 0
        [plan.gold]
        price_multiplier = 1.15
        models = ["a", "b"]
        requests_per_second = 0
        mode = "metered"
        """)
    assert found.limits_account == Rates(concurrent=4)
    assert found.plans["default"] == config.Plan("default", byok_tokens_per_month=0)
    rates = Rates(requests_per_second=0, tokens_per_minute=9)
    assert found.plans["gold"] == config.Plan("gold", 1_000_000, Multiplier(23, 20), ("a", "b"), rates, "metered")


def test_routes() -> None:
    found = load(
        DEEP
        + CHANNEL
        + """
        [alias]
        "gpt-4o-mini" = "deepseek-chat"
        "deepseek-v3" = "m"
        [fallback]
        "deepseek-chat" = ["m"]
        [auto]
        simple = ["m"]
        [limits.model."m"]
        concurrent = 3
        """
    )
    routes = found.routes
    assert routes.aliases["gpt-4o-mini"] == "deepseek-chat"
    assert routes.resolve("deepseek-chat") in config.provider("deepseek").models
    assert routes.resolve("gpt-4o-mini") == routes.resolve("deepseek-chat")
    assert routes.resolve("deepseek-v3") == "m", "a configured name beats a shipped one"
    assert routes.fallback["deepseek-chat"] == ("m",)
    assert routes.fallback[routes.resolve("deepseek-chat")] == ("m",), "it holds for every name of that model"
    assert routes.auto == {"simple": ("m",)}
    assert found.limits_model == {"m": Rates(concurrent=3)}
    assert found.warnings == []


STRIPE = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_2"}


def test_stripe_is_on_when_both_secrets_are_there() -> None:
    assert not load("[stripe]").stripe.enabled
    assert load("", ENVIRON | STRIPE).stripe.enabled
    found = load("[stripe]\nsecret_key = 'env:A'\nwebhook_secret = 'env:B'", {"A": "sk_1", "B": "whsec_2"}).stripe
    assert found.webhook_secret == Secret("whsec_2")
    assert not load("[stripe]\nsecret_key = 'env:A'\nwebhook_secret = 'env:B'", {}).stripe.enabled


def test_half_of_stripe_in_the_environment_is_a_warning() -> None:
    environ = {"STRIPE_SECRET_KEY": "sk_test_1"}
    found = load(CHANNEL.replace("env:LAB_KEY", "none") + "[stripe]", environ)
    assert not found.stripe.enabled
    assert ["Payments stay off" in warning for warning in found.warnings] == [True]


def test_the_file_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.default_path({}) is None
    assert config.default_path({"FTGATE_CONFIG": "/etc/x.toml"}) == Path("/etc/x.toml")
    Path("ftgate.toml").write_text("[server]\nport = 7")
    path = config.default_path({})
    assert path == Path("ftgate.toml")
    found = config.load(path, {})
    assert (found.origin, found.server.port) == (path, 7)


@given(st.decimals(min_value=0, max_value=1000, places=6), st.decimals(min_value=0, max_value=1000, places=6))
def test_prices_are_exact(entry: Decimal, output: Decimal) -> None:
    text = CHANNEL.replace("input = 1\n", f"input = {entry:f}\n").replace("output = 2\n", f"output = {output:f}\n")
    price = load(text).routes.channels[0].models["m"].price
    assert (Decimal(price.input), Decimal(price.output)) == (entry * 10**6, output * 10**6)
    assert price.cached == price.cache_write == price.cache_write_1h == price.input


SECRET = "sk-very-secret-value-77"
PLACES = [
    CHANNEL.replace("env:LAB_KEY", SECRET),
    CHANNEL.replace('"env:LAB_KEY"', f'"{SECRET}", "{SECRET}"'),
    CHANNEL.replace('"env:LAB_KEY"', f'"{SECRET} x"'),
    CHANNEL.replace("env:LAB_KEY", f"env:{SECRET}"),
    CHANNEL.replace("env:LAB_KEY", f"file:{SECRET}"),
    CHANNEL.replace("keys", f'headers = {{ Authorization = "Bearer {SECRET}" }}\nquery = {{ key = "{SECRET}" }}\nkeys'),
    CHANNEL.replace("keys", f'proxy = "http://u:{SECRET}@127.0.0.1:1"\nkeys'),
    CHANNEL.replace("keys", f'proxy = "nothing://u:{SECRET}@127.0.0.1:1"\nkeys'),
    CHANNEL.replace("http://127.0.0.1:9000/v1", f"http://u:{SECRET}@127.0.0.1/v1"),
    CHANNEL.replace("openai-compatible", SECRET),
    CHANNEL.replace('["env:LAB_KEY"]', f'{{ key = "{SECRET}" }}'),
    CHANNEL.replace("keys", f"{SECRET} = 1\nkeys"),
    f"{SECRET} = 1",
    f"[server]\nregistration = '{SECRET}'",
    f"[stripe]\nsecret_key = '{SECRET}'\nwebhook_secret = 'whsec'",
    f"[stripe]\nsecret_key = '{SECRET}'",
    f"[stripe]\nsecret_key = '{SECRET} '\nwebhook_secret = 3",
    f"[server]\nport = '{SECRET}'",
    f"[server]\nhost = '{SECRET}\n",
    f"[alias]\nx = '{SECRET}'",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_is_never_shown(text: str) -> None:
    found = faults(text)
    assert SECRET not in "".join(found)
    if not found:
        good = load(text)
        assert SECRET not in repr(good.routes.channels) + repr(good.stripe) + repr(good.server) + "".join(good.warnings)
        assert SECRET not in repr(config.describe(good))


def test_keys_are_never_in_the_repr() -> None:
    found = load(DEEP + CHANNEL, ENVIRON | STRIPE)
    assert not [secret for secret in (ENVIRON | STRIPE).values() if secret in repr(found)]


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        typing.cast(typing.Any, load("")).server = None
