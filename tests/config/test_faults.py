"""Every kind of fault: its line, what is wrong, how to mend it. One row each."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from ftgate import config
from ftgate.config.build import SECTIONS
from ftgate.errors import ConfigFaults
from tests.config.reading import CHANNEL, faults, load, warnings

LAB = '[[channel]]\nname = "lab"\nprovider = "openai-compatible"\nbase_url = "http://h/v1"\nkeys = ["none"]\n'
"""Five lines; a test's own go on in line 6."""
MODEL = '[channel.models."m"]\ninput = 1\noutput = 1\n'

ONE = [
    # syntax
    ("[server]\nport = = 1", "2: this is no TOML: invalid value"),
    ("[server]\nport = 1\nport = 2", "3: this is no TOML: cannot overwrite a value"),
    ('[server]\nhost = "x', "2: this is no TOML"),
    ("a = " + "[" * 9000, "1: this is no TOML"),
    ("a = " + "9" * 9000, "1: this is no TOML"),
    # unknown names
    ("[timeouts]\nconnect = 5\nfirst_tokn = 3", "3: [timeouts] first_tokn is no setting. Did you mean first_token?"),
    ("\n[timeuts]\nidle = 3", "2: [timeuts] is no section. Did you mean timeouts?"),
    ("prot = 3", "1: prot is no section. "),
    (LAB + "wieght = 3\n" + MODEL, '6: [[channel]] "lab": wieght is no setting. Did you mean weight?'),
    (LAB + "timeouts = { totl = 3 }\n" + MODEL, '6: [[channel]] "lab": timeouts.totl is no setting. Did you mean '
    'total?'),
    (LAB + MODEL + "contxt = 3", '9: [[channel]] "lab": models.m.contxt is no setting. Did you mean context?'),
    ("[plan.gold]\nmodel = []", "2: [plan.gold] model is no setting. Did you mean models?"),
    ('[limits.model."a b"]\nconcurent = 1', '2: [limits.model."a b"] concurent is no setting. Did you mean '
    'concurrent?'),
    ("[provider.deepseek]\nurl = 'http://x'", "2: [provider.deepseek] url is no setting."),
    ("[provider.deepsek]\nbase_url = 'http://x'", "1: [provider.deepsek] is not in the catalogue. Did you mean "
    "deepseek?"),
    ("[auto]\nsimpel = []", "2: [auto] simpel is no setting. Did you mean simple?"),
    # types and ranges
    ('[server]\nport = "8400"', "2: [server] port is text, not a whole number. Write it like 10."),
    ("[server]\nport = 65536", "2: [server] port = 65536 is out of range. Write a whole number from 0 to 65535."),
    ("[server]\nport = -1", "2: [server] port = -1 is out of range."),
    ("[server]\nport = 80.5", "2: [server] port is a decimal number, not a whole number."),
    ("[server]\nport = true", "2: [server] port is true or false, not a whole number."),
    ("[server]\nfast_door = 1", "2: [server] fast_door is a whole number, not true or false. Write it like true."),
    ("[server]\nhost = ''", "2: [server] host is empty"),
    ("[server]\nregistration = 'opn'", '2: [server] registration = "opn" is no choice. Write one of "open", '
    '"invite", "closed".'),
    ("[server]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']", '2: [server] trusted_proxies holds "proxy", which is no '
    'address.'),
    ("[server]\npublic_url = 'https://x.example/llm/'", "2: [server] public_url has a path, and all pages stand at "),
    ("[server]\ntrusted_proxies = '10.0.0.1'", "2: [server] trusted_proxies is text, not a list of texts."),
    ("[server]\ndata_dir = '~no-such-user/x'", "2: [server] data_dir begins with ~no-such-user, and there is no"),
    ("[stripe]\nsecret_key = 'file:~no-such-user/x'", "2: [stripe] secret_key begins with ~no-such-user"),
    ("server = 3", "1: server is a whole number, not a table."),
    ("[limits]\naccount = 3", "2: [limits] account is a whole number, not a table."),
    ("[timeouts]\nidle = 0", "2: [timeouts] idle = 0 is out of range. Write seconds, more than 0"),
    ("[timeouts]\nidle = nan", "2: [timeouts] idle is not a finite number."),
    ("[timeouts]\nidle = 1e999999999999999999999", "2: [timeouts] idle is not a finite number."),
    ("[retry]\nattempts = 0", "2: [retry] attempts = 0 is out of range. Write a whole number from 1 to 100."),
    ("[retry]\nbackoff = -0.5", "2: [retry] backoff = -0.5 is out of range."),
    ("[breaker]\ncooldown = 400", "1: [breaker] cooldown_cap is under cooldown. Raise it."),
    ("[database]\ndurability = 'fast'", '2: [database] durability = "fast" is no choice.'),
    ("[billing]\nsignup_credits = -1", "2: [billing] signup_credits is negative."),
    ("[billing]\nsignup_credits = 0.0000000000001", "2: [billing] signup_credits: 1E-13 is finer than 12 decimals"),
    ("[stripe]\nmin_amount = 20\nmax_amount = 10", "2: [stripe] min_amount is more than max_amount."),
    ("[stripe]\ncurrency = 'eur'", '2: [stripe] currency = "eur" is no choice. Write "usd".'),
    ("[stripe]\nreturn_origins = ['https://a.example/path']", "2: [stripe] return_origins holds a path."),
    ("[plan.gold]\nmode = 'free'", '2: [plan.gold] mode = "free" is no choice. Write one of "prepaid", "metered".'),
    ("[plan.gold]\nprice_multiplier = -0.1", "2: [plan.gold] price_multiplier is no factor."),
    ("[plan.gold]\nprice_multiplier = 1e-999999", "2: [plan.gold] price_multiplier is no factor."),
    ("[plan.gold]\nprice_multiplier = nan", "2: [plan.gold] price_multiplier is no factor."),
    ("[plan.gold]\nconcurrent = -1", "2: [plan.gold] concurrent = -1 is out of range."),
    # between settings
    ("[timeouts]\ntotal = 2400", "2: [timeouts] total = 2400 is not under [database] hold_lifetime = 2400. Lower"),
    ("[database]\nhold_lifetime = 60", "1: [timeouts] total = 1800 is not under [database] hold_lifetime = 60."),
    (LAB + "[channel.timeouts]\ntotal = 9000\n" + MODEL, '7: [[channel]] "lab": timeouts.total = 9000 is not under'),
    ("[server]\ntls_cert = '/dev/null'", "2: [server] tls_cert needs tls_key beside it."),
    ("[server]\ntls_key = '/dev/null'", "2: [server] tls_key needs tls_cert beside it."),
    ("[server]\ntls_cert = '/nowhere.pem'\ntls_key = '/dev/null'", "2: [server] tls_cert: the file cannot be read "
    "(No such file"),
    ("[server]\ntls_cert = '/dev/null'\ntls_key = '/dev/null'", "2: [server] tls_cert holds no certificate that can "
    "be read (PEM)."),
    # channels
    ("[channel]\nname = 'x'", "1: [channel] is one table, but there may be several. Write [[channel]]"),
    (LAB.replace('name = "lab"', "") + MODEL, "1: [[channel]] name is missing."),
    (LAB.replace('"openai-compatible"', '"deepsek"') + MODEL, '3: [[channel]] "lab": provider = "deepsek" is not in '
    'the'),
    (LAB.replace("provider", "# provider") + MODEL, '1: [[channel]] "lab": provider is missing.'),
    (LAB.replace('"lab"', '"lab/"') + MODEL, '2: [[channel]] "lab/": name begins or ends with a slash or has two'),
    (LAB.replace('"lab"', '"/lab"') + MODEL, '2: [[channel]] "/lab": name begins or ends with a slash or has two'),
    (LAB.replace('"lab"', '"a//b"') + MODEL, '2: [[channel]] "a//b": name begins or ends with a slash or has two'),
    (LAB + MODEL + LAB + MODEL, '10: [[channel]] "lab": name is taken by the channel of line 2.'),
    (LAB.replace("base_url", "# base") + MODEL, '1: [[channel]] "lab": base_url is missing; openai-compatible has '
    'none of its own.'),
    (LAB.replace("keys", "# keys") + MODEL, '1: [[channel]] "lab": keys is missing. Write keys = ["env:NAME"], or '
    '["none"]'),
    (LAB.replace('["none"]', "[]") + MODEL, '5: [[channel]] "lab": keys is no list of keys.'),
    (LAB.replace('["none"]', '["env:GONE_KEY"]') + MODEL, '5: [[channel]] "lab": keys = "env:GONE_KEY" but GONE_KEY '
    'is not'),
    (LAB.replace('["none"]', '"env:GONE_KEY"') + MODEL, '5: [[channel]] "lab": keys = "env:GONE_KEY" but GONE_KEY is '
    'not set.'),
    (LAB.replace('["none"]', '["file:~no-such-user/key"]') + MODEL, '5: [[channel]] "lab": keys begins with ~no-such'),
    (LAB.replace('["none"]', '["file:/nowhere"]') + MODEL, '5: [[channel]] "lab": keys = "file:/nowhere" but the file'),
    (LAB.replace('["none"]', '["none", "env:LAB_KEY"]') + MODEL, '5: [[channel]] "lab": keys names "none" beside a '
    'key.'),
    (LAB.replace('["none"]', '["env:LAB_KEY", "env:LAB_KEY"]') + MODEL, '5: [[channel]] "lab": keys names one key '
    'twice.'),
    (LAB.replace("http://h/v1", "http://h/v1 ") + MODEL, '4: [[channel]] "lab": base_url holds a space.'),
    (LAB.replace("http://h/v1", "h:9000/v1") + MODEL, '4: [[channel]] "lab": base_url is no http or https address.'),
    (LAB.replace("http://h/v1", "ftp://h/v1") + MODEL, '4: [[channel]] "lab": base_url is no http or https address.'),
    (LAB.replace("http://h/v1", "http://h:99999/v1") + MODEL, '4: [[channel]] "lab": base_url is no address.'),
    (LAB.replace("http://h/v1", "http://u:p@h/v1") + MODEL, '4: [[channel]] "lab": base_url holds a user or a '
    'password.'),
    (LAB.replace("http://h/v1", "http://h/v1?key=1") + MODEL, '4: [[channel]] "lab": base_url holds ? or #.'),
    (LAB.replace("http://h/v1", "http://h/v1/chat/completions") + MODEL, '4: [[channel]] "lab": base_url ends in '
    '/chat/completions'),
    (LAB + "weight = -1\n" + MODEL, '6: [[channel]] "lab": weight = -1 is out of range.'),
    (LAB + "on_client_gone = 'stop'\n" + MODEL, '6: [[channel]] "lab": on_client_gone = "stop" is no choice.'),
    (LAB + "headers = { 'a b' = 'x' }\n" + MODEL, '6: [[channel]] "lab": headers: one of the names is no header'),
    (LAB + "headers = { Host = 'x' }\n" + MODEL, '6: [[channel]] "lab": headers: one of the names is no header'),
    (LAB + 'headers = { X = "a\\r\\nb" }\n' + MODEL, '6: [[channel]] "lab": headers holds something else than plain '
    'text.'),
    (LAB + "proxy = 'ftp://x'\n" + MODEL, '6: [[channel]] "lab": proxy is no proxy address.'),
    (LAB + "ca_file = '/nowhere.pem'\n" + MODEL, '6: [[channel]] "lab": ca_file: the file cannot be read'),
    (LAB + "drop_params = ['messages']\n" + MODEL, '6: [[channel]] "lab": drop_params names "messages", which no '
    'call can do without.'),
    (LAB + "drop_params = ['seed', 'model']\n" + MODEL, '6: [[channel]] "lab": drop_params names "model", which no '
    'call can do without.'),
    (LAB + "drop_params = ['stream']\n" + MODEL, '6: [[channel]] "lab": drop_params names "stream", which no call '
    'can do without.'),
    (LAB + "drop_params = ['max_tokens']\n" + MODEL, '6: [[channel]] "lab": drop_params names "max_tokens", which '
    'caps the output of "m"'),
    (
        LAB + "drop_params = ['max_completion_tokens']\n" + MODEL + "cap_field = 'max_completion_tokens'",
        '6: [[channel]] "lab": drop_params names "max_completion_tokens", which caps the output of "m"',
    ),
    (LAB, '1: [[channel]] "lab": models is empty'),
    # models and prices
    (LAB + "[channel.models.m]\n", '6: [[channel]] "lab": models.m has no price: input and output missing.'),
    (LAB + "[channel.models.m]\ninput = 1", '6: [[channel]] "lab": models.m has no price: output missing.'),
    (LAB + "models = { m = 3 }", '6: [[channel]] "lab": models.m is a whole number, not a table.'),
    (LAB + "[channel.models.m]\ninput = -1\noutput = 1", '7: [[channel]] "lab": models.m.input: a price is zero or '
    'more, not -1.'),
    (LAB + "[channel.models.m]\ninput = 0.1234567\noutput = 1", '7: [[channel]] "lab": models.m.input: 0.1234567 has '
    'more than'),
    (LAB + "[channel.models.m]\ninput = inf\noutput = 1", '7: [[channel]] "lab": models.m.input: a price is zero or '
    'more'),
    (LAB + "[channel.models.m]\ninput = nan\noutput = 1", '7: [[channel]] "lab": models.m.input: '),
    (LAB + "[channel.models.m]\ninput = '1'\noutput = 1", '7: [[channel]] "lab": models.m.input is text, not a '
    'number.'),
    (LAB + MODEL + "context = 10\nmax_output = 20", '10: [[channel]] "lab": models.m: max_output = 20 is more than '
    'context = 10.'),
    (LAB + MODEL + "cap_field = 'tokens'", '9: [[channel]] "lab": models.m.cap_field = "tokens" is no choice.'),
    (LAB + MODEL + "tiers = [{ above = 1, input = 1 }]", '9: [[channel]] "lab": models.m.tiers: each tier has above, '
    'input and output'),
    (
        LAB + MODEL + "tiers = [{ above = 9, input = 1, output = 1 }, { above = 5, input = 1, output = 1 }]",
        '9: [[channel]] "lab": models.m.tiers: tiers must ascend',
    ),
    (LAB + MODEL + "per_request = -1", '9: [[channel]] "lab": models.m.per_request is negative.'),
    # names
    ("[alias]\na = 'b'\nb = 'c'\nc = 'a'", "2: [alias] a leads round in a circle: a -> b -> c -> a. Point it at a "
    "model."),
    ("[alias]\na = 'a'", "2: [alias] a leads round in a circle: a -> a."),
    ("[alias]\na = 'b'\nb = 'c'\nc = 'd'\nd = 'e'\ne = 'f'", "2: [alias] a leads over more than 4 aliases."),
    ("[alias]\na = 3", "2: [alias] a is a whole number, not text."),
    ("[fallback]\na = 'b'", "2: [fallback] a is text, not a list of texts."),
    # names without their quotes
    (LAB + "[channel.models.gpt-4.1-mini]\ninput = 1\noutput = 2", '6: [[channel]] "lab": models.gpt-4.1-mini is no '
    'setting. A name with a dot needs quotes: write "gpt-4.1-mini".'),
    (LAB + MODEL + "[channel.models.qwen2.5.72b]\ninput = 1", '9: [[channel]] "lab": models.qwen2.5.72b is no setting. '
    'A name with a dot needs quotes: write "qwen2.5.72b".'),
    (LAB + "models = { m = { input = 1, output = 1 }, o4.mini = { input = 1, output = 1 } }", '6: [[channel]] "lab": '
    'models.o4.mini is no setting. A name with a dot needs quotes: write "o4.mini".'),
    (LAB + MODEL + "[channel.models.m.new]\ninput = 1", '9: [[channel]] "lab": models.m.new is no setting. A name with '
    'a dot needs quotes: write "m.new".'),
    ('[alias]\ngpt-4.1 = "m"', '2: [alias] gpt-4.1 is a table in a table. A name with a dot needs quotes: write '
    '"gpt-4.1".'),
    ('[fallback]\na.b.c = ["m"]', '2: [fallback] a.b.c is a table in a table. A name with a dot needs quotes: write '
    '"a.b.c".'),
    ("[limits.model.gpt-3.5]\nconcurrent = 1", '1: [limits.model] gpt-3.5 is no setting. A name with a dot needs '
    'quotes: write "gpt-3.5".'),
    ("[plan.team.a]\nconcurrent = 1", '1: [plan] team.a is no setting. A name with a dot needs quotes: '
    'write "team.a".'),
    ('[alias]\nsk-abcdefghijkl.mnop = "m"', "2: [alias] this is a table in a table. A name with a dot needs quotes: "
    "write it so."),
    (LAB + "headers = { x.y = 'z' }\n" + MODEL, '6: [[channel]] "lab": headers holds something else than plain text. '
    'Write it like { name = "value" }. A name with a dot needs quotes.'),
    (LAB + '[channel.models]\ngpt-4 = { input = 1, output = 1 }\ngpt-4.1 = { input = 1, output = 1 }', "8: this is no "
    "TOML: cannot mutate immutable namespace ('channel', 'models', 'gpt-4'). "
    "Texts need quotes, names with a dot, a colon or a slash too,"),
    (LAB + "[channel.models.llama3:8b]\ninput = 1", "6: this is no TOML: expected ']' at the end of a table "
    "declaration. Texts need quotes, names with a dot, a colon or a slash too,"),
    # restrictions that say nothing, and two that say two things of one
    ("[plan.default]\nmodels = []", '2: [plan.default] models is empty. Write ["*"] for all models,'),
    (CHANNEL + '[alias]\nx = "m"\n[limits.model.m]\nconcurrent = 1\n[limits.model.x]\nconcurrent = 2', '14: '
    '[limits.model] "x" counts as the same model as "m", which has limits already. Keep one of them.'),
    # keys that are none
    (LAB.replace('"none"', "'\"sk-abc'") + MODEL, '5: [[channel]] "lab": keys begins or ends with a quote, which no '
    'key does.'),
    (LAB.replace('"none"', '"$LAB_KEY"') + MODEL, '5: [[channel]] "lab": keys is a place to fill in, not a key.'),
    (LAB.replace('"none"', '"${LAB_KEY}"') + MODEL, '5: [[channel]] "lab": keys is a place to fill in, not a key.'),
    (LAB.replace('"none"', '"<your-key>"') + MODEL, '5: [[channel]] "lab": keys is a place to fill in, not a key.'),
    ('[[channel]]\nname = "d"\nprovider = "deepseek"\nkeys = ["sk-ft_abc"]', '4: [[channel]] "d": keys holds a key of '
    'this gateway (sk-ft_…), which deepseek does not take. Write its own.'),
    ('[[channel]]\nname = "d"\nprovider = "deepseek"\nkeys = ["sk-1"]\nheaders = { x = "Bearer sk-ft_abc" }', '5: '
    '[[channel]] "d": headers holds a key of this gateway (sk-ft_…). Leave it out.'),
    ("[stripe]\nsecret_key = 'sk-ft_abc'\nwebhook_secret = 'whsec_1'", "2: [stripe] secret_key is a key of this "
    "gateway, not Stripe's."),
    # from outside
    ("[server]\nport = 'env:LAB_KEY'", "2: [server] port is text, not a whole number."),
    ("[stripe]\nsecret_key = 'env:LAB_KEY'", "1: [stripe] webhook_secret = \"env:STRIPE_WEBHOOK_SECRET\" but"),
    ("[stripe]\nsecret_key = 'file:/nowhere'", '2: [stripe] secret_key = "file:/nowhere" but the file cannot be read'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), ONE, ids=[fault[:70] for _, fault in ONE])
def test_one_fault(text: str, fault: str) -> None:
    found = faults(text)
    assert len(found) == 1, found
    assert found[0].startswith(fault)


@pytest.mark.parametrize(("text", "_"), ONE, ids=[fault[:70] for _, fault in ONE])
def test_a_fault_says_how_to_mend_it(text: str, _: str) -> None:
    """`line: what. How to mend it.`: two sentences at least, on one line."""
    for fault in faults(text):
        assert "\n" not in fault
        assert fault.endswith((".", "?"))
        assert ". " in fault


def test_all_faults_at_once_in_the_order_of_the_file() -> None:
    found = faults(
        """\
        [server]
        port = 99999
        [[channel]]
        name = "lab"
        provider = "deepseek"
        keys = ["env:GONE"]
        [timeouts]
        first_tokn = 1
        """
    )
    assert [fault.split(":")[0] for fault in found] == ["2", "6", "8"]


def test_the_transcript_of_a_first_start() -> None:
    text = (
        "\n" * 13
        + '[timeouts]\nfirst_tokn = 3\n[[channel]]\nname = "lab"\nprovider = "deepseek"\nkeys = ["env:GONE_KEY"]\n'
    )
    assert faults(text) == [
        "15: [timeouts] first_tokn is no setting. Did you mean first_token?",
        '19: [[channel]] "lab": keys = "env:GONE_KEY" but GONE_KEY is not set. Export it, or write "file:/path".',
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults, match=r"none\.toml:1: the file cannot be read: No such file"):
        config.load(tmp_path / "none.toml", {})


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "ftgate.toml").write_bytes(b"[server]\nhost = '\xff'")
    with pytest.raises(ConfigFaults, match=r"ftgate\.toml:2: the file is not UTF-8"):
        config.load(tmp_path / "ftgate.toml", {})


def test_an_editors_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "ftgate.toml").write_bytes(b"\xef\xbb\xbf[server]\nport = 1\n")
    assert config.load(tmp_path / "ftgate.toml", {}).server.port == 1


NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).map(lambda name: "zz" + name)
HOMES = ["server", "database", "backup", "billing", "stripe", "telemetry", "limits", "limits.account",
         'limits.model."m"',
         "timeouts", "retry", "breaker",
         "plan.default", "plan.gold", "provider.deepseek", "auto", "channel.timeouts", 'channel.models."m"',
         "channel"]  # fmt: skip
VALUES = st.sampled_from(
    ["1", "-1", "1.5", "nan", "true", '"x"', '"env:GONE"', "[]", "[1]", "{}", "{ a = 1 }", "1979-05-27", "[[]]"]
)


@given(st.sampled_from(HOMES), NAMES, VALUES)
def test_an_unknown_key_is_always_a_fault(home: str, name: str, value: str) -> None:
    text = CHANNEL
    text += "" if home == "channel" or home == 'channel.models."m"' else f"[{home}]\n"
    text = text.replace("keys =", f"{name} = {value}\nkeys =") if home == "channel" else f"{text}{name} = {value}\n"
    assert any(f"{name} is no setting" in fault for fault in faults(text))


@given(NAMES, VALUES)
def test_an_unknown_section_is_always_a_fault(name: str, value: str) -> None:
    assert any(
        f" {name} is no section" in fault or f"[{name}] is no section" in fault for fault in faults(f"{name} = {value}")
    )


@given(st.sampled_from(SECTIONS), VALUES)
def test_a_section_of_a_wrong_type_never_crashes(name: str, value: str) -> None:
    faults(f"{name} = {value}")


EVERYWHERE = st.tuples(
    st.sampled_from([*HOMES, "alias", "fallback"]),
    st.sampled_from(["port", "host", "name", "keys", "models", "input", "tiers", "headers", "timeouts", "base_url",
    "total", "a", "model",
                     "secret_key", "price_multiplier", "tls_cert", "tags", "connect", "min_amount", "signup_credits",
                     "trusted_proxies"]),
    VALUES,
)  # fmt: skip


@given(st.lists(EVERYWHERE, max_size=4))
def test_known_names_with_any_value_never_crash(rows: list[tuple[str, str, str]]) -> None:
    faults(CHANNEL + "".join(f"[{home}]\n{name} = {value}\n" for home, name, value in rows))
    faults("".join(f"[{'[channel]' if home == 'channel' else home}]\n{name} = {value}\n" for home, name, value in rows))


WARNED = [
    ('[alias]\nx = "nothing"', '[alias] x names "nothing", which no channel serves.'),
    ('[fallback]\nm = ["n"]', '[fallback] m names "n", which no channel serves.'),
    ('[fallback]\nn = ["m"]', '[fallback] n names "n", which no channel serves.'),
    ('[auto]\nsimple = ["n"]', '[auto] simple names "n", which no channel serves.'),
    ('[limits.model."n"]\nconcurrent = 1', '[limits.model] names "n", which no channel serves.'),
    ('[plan.default]\nmodels = ["n"]', '[plan.default] models names "n", which no channel serves.'),
    ('[alias]\nm = "m"', "[alias] m is a model that a channel serves; the model wins over the alias."),
]


@pytest.mark.parametrize(("text", "warning"), WARNED[:-1])
def test_a_name_nobody_serves_is_a_warning(text: str, warning: str) -> None:
    found = warnings(CHANNEL + text)
    line = (CHANNEL + text).count("\n") + 1 - (1 if "limits" in text else 0)
    assert found == [f"{line}: {warning}"]


def test_an_alias_of_a_served_name_is_a_warning() -> None:
    assert [w for w in warnings(CHANNEL + '[alias]\nm = "deepseek-chat"') if "the model wins" in w]


def test_an_alias_over_a_shipped_circle_wins() -> None:
    """deepseek-chat leads to deepseek-v4-flash as shipped; the other way round is the file's right."""
    found = load(CHANNEL + '[alias]\n"deepseek-v4-flash" = "deepseek-chat"\n"deepseek-chat" = "m"')
    assert found.routes.resolve("deepseek-v4-flash") == "m"
    found = load(CHANNEL + '[alias]\n"deepseek-v4-flash" = "deepseek-chat"')
    assert found.routes.aliases["deepseek-v4-flash"] == "deepseek-chat"
    assert "deepseek-chat" not in found.routes.aliases


RESTING = LAB.replace("lab", "rest") + "weight = 0\n"


def test_a_model_that_nothing_is_sent_to_is_a_warning() -> None:
    (found,) = warnings(
        CHANNEL + RESTING + MODEL.replace('"m"', '"other"') + '[channel.models."m"]\ninput = 1\noutput = 1\n'
    )
    assert (
        '[[channel]] "rest": weight = 0, and no other channel takes calls for "other"' in found and '"m"' not in found
    )
    assert warnings(CHANNEL + RESTING + MODEL) == []
    found, fallback = warnings(CHANNEL + RESTING + MODEL.replace('"m"', '"other"') + '[fallback]\nm = ["other"]')
    assert "weight = 0" in found and '[fallback] m names "other", which no channel serves.' in fallback


@pytest.mark.parametrize("cap_field", ["none", "max_completion_tokens"])
def test_a_field_that_caps_nothing_may_be_dropped(cap_field: str) -> None:
    found = load(LAB + 'drop_params = ["max_tokens", "seed"]\n' + MODEL + f'cap_field = "{cap_field}"')
    assert found.routes.channels[0].drop_params == ("max_tokens", "seed")


def test_a_certificate_and_its_key_are_read(tmp_path: Path) -> None:
    """What serve would stumble over is a fault of the config; an encrypted key is one too, and nobody is asked for a
    password."""
    first, second = (trustme.CA().issue_cert("localhost") for _ in range(2))
    cert, key, other, locked = (tmp_path / name for name in ("cert.pem", "key.pem", "other.pem", "locked.pem"))
    first.private_key_and_cert_chain_pem.write_to_path(cert)
    first.private_key_pem.write_to_path(key)
    second.private_key_pem.write_to_path(other)
    plain = serialization.load_pem_private_key(first.private_key_pem.bytes(), None)
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    section = "[server]\ntls_cert = '{}'\ntls_key = '{}'"
    assert faults(section.format(cert, key)) == []
    for wrong in (other, locked, "/dev/null"):
        (found,) = faults(section.format(cert, wrong))
        assert found.startswith("3: [server] tls_key is no private key that fits tls_cert"), found


def test_a_row_that_is_no_table_beside_a_resting_channel() -> None:
    found = faults('channel = [3, { name = "a", provider = "deepseek", keys = ["none"], weight = 0 }]')
    assert "is a whole number, not a table." in found[0]
