"""`ftgate prices import`: what it shows, what it writes, and what it never touches."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftgate import config
from ftgate.cli.group import cli
from ftgate.config import imported
from ftgate.core.money import format_price
from tests.providers.test_lists import FLASH

CHANNEL = """\
# My own words, which stay.
[[channel]]
name = "deep"   # and these
provider = "deepseek"
keys = ["sk-deep-1"]
"""
PRO = {"litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 1.32e-06,
       "output_cost_per_token": 3.96e-06, "cache_read_input_token_cost": 4.4e-08,
       "off_peak_pricing": {**FLASH["off_peak_pricing"], "input_cost_per_token": 6.6e-07,
                            "output_cost_per_token": 1.98e-06, "cache_read_input_token_cost": 2.2e-08}}  # fmt: skip
SAME = {"deepseek/deepseek-flash": FLASH, "deepseek/deepseek-v4-flash": FLASH, "deepseek/deepseek-v4-pro": PRO}
DEARER = {**FLASH, "output_cost_per_token": 1.3e-06}
NEW = {"litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
       "max_input_tokens": 5000, "max_output_tokens": 6000}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    variables = [variable for name in config.provider_names() for variable in config.provider(name).env]
    for variable in ("FTGATE_CONFIG", *variables):
        monkeypatch.delenv(variable, raising=False)
    Path("ftgate.toml").write_text(CHANNEL)
    return CliRunner()


def imports(run: CliRunner, rows: dict[str, Any], *more: str, **env: str) -> Result:
    Path("list.json").write_text(json.dumps(rows))
    return run.invoke(cli, ["prices", "import", "--from", "litellm", "--file", "list.json", *more], env=env)


def priced(model: str = "deepseek-flash") -> str:
    """What a gateway would charge for output now."""
    return format_price(config.load(Path("ftgate.toml"), {}).routes.channels[0].models[model].price.output)


def text() -> str:
    return Path("ftgate.toml").read_text()


def test_nothing_differs(run: CliRunner) -> None:
    found = imports(run, SAME)
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "4 models as listed, 0 differ\n")
    assert imports(run, SAME, "--apply").stderr == "4 models as listed, 0 differ; nothing to write\n"
    assert text() == CHANNEL


def test_a_difference_is_shown_and_not_written(run: CliRunner) -> None:
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER})
    assert (found.exit_code, found.stdout) == (0, "deepseek\tdeepseek-flash\toutput\t1.2\t1.3\t\n")
    assert found.stderr == "3 models as listed, 1 differ; nothing is written: --apply writes 1 to ftgate.toml\n"
    assert text() == CHANNEL and priced() == "1.2"


def test_applied_it_holds_and_all_else_stays(run: CliRunner) -> None:
    Path("ftgate.toml").chmod(0o640)
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    assert (found.exit_code, found.stdout) == (0, "deepseek\tdeepseek-flash\toutput\t1.2\t1.3\twritten\n")
    assert text().startswith(CHANNEL) and text().count(imported.BEGIN) == text().count(imported.END) == 1
    assert stat.S_IMODE(Path("ftgate.toml").stat().st_mode) == 0o640
    assert priced() == "1.3" and priced("deepseek-v4-flash") == "1.2"
    models = config.load(Path("ftgate.toml"), {}).routes.channels[0].models
    shipped = config.provider("deepseek").models["deepseek-flash"]
    assert models["deepseek-flash"].hours == shipped.hours and models["deepseek-flash"].context == shipped.context
    assert sorted(p.name for p in Path().iterdir()) == ["ftgate.toml", "list.json"]
    # Again: nothing to do, and no second block.
    before = text()
    assert "nothing to write" in imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply").stderr
    assert text() == before


def test_what_is_again_as_in_the_catalogue_is_taken_out(run: CliRunner) -> None:
    imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    assert imports(run, SAME, "--apply").exit_code == 0
    assert text().strip() == CHANNEL.strip() and priced() == "1.2"


def test_what_an_earlier_import_wrote_of_others_stays(run: CliRunner) -> None:
    imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    imports(run, {"deepseek/deepseek-v4-flash": DEARER}, "--apply")
    assert priced() == "1.3" and priced("deepseek-v4-flash") == "1.3"
    assert text().count(imported.BEGIN) == 1


@pytest.mark.parametrize(("field", "value", "now", "then"), [
    ("output_cost_per_token", 3.7e-06, "1.2", "3.7"),
    ("output_cost_per_token", 3.9e-07, "1.2", "0.39"),
    ("output_cost_per_token", 0.0, "1.2", "0"),
    ("cache_read_input_token_cost", 0.0, "0.006", "0"),
])  # fmt: skip
def test_a_large_change_needs_force(
    field: str, value: float, now: str, then: str, run: CliRunner
) -> None:  # fmt: skip
    rows = {**SAME, "deepseek/deepseek-flash": {**FLASH, field: value}, "deepseek/deepseek-v4-flash": DEARER}
    found = imports(run, rows, "--apply")
    assert found.exit_code == 1 and f"\t{now}\t{then}\tlarge: only with --force\n" in found.stdout
    assert priced() == "1.2" and priced("deepseek-v4-flash") == "1.3"  # the others are taken
    assert imports(run, rows).exit_code == 0  # nothing was to be written
    assert imports(run, rows, "--apply", "--force").exit_code == 0
    assert then in text()


@pytest.mark.parametrize("times", ["3.6e-06", "4e-07"])
def test_threefold_is_not_large(times: str, run: CliRunner) -> None:
    rows = {**SAME, "deepseek/deepseek-flash": {**FLASH, "output_cost_per_token": float(times)}}
    assert imports(run, rows, "--apply").exit_code == 0


def test_hours_that_are_gone_or_absurd(run: CliRunner) -> None:
    gone = {name: value for name, value in FLASH.items() if name != "off_peak_pricing"}
    found = imports(run, {**SAME, "deepseek/deepseek-flash": gone}, "--apply")
    assert found.exit_code == 0 and "\thours\t[{ utc = " in found.stdout
    assert not config.load(Path("ftgate.toml"), {}).routes.channels[0].models["deepseek-flash"].hours
    absurd = {**FLASH, "off_peak_pricing": {**FLASH["off_peak_pricing"], "input_cost_per_token": 1e-03}}
    assert imports(run, {**SAME, "deepseek/deepseek-flash": absurd}, "--apply").exit_code == 1


def test_a_list_without_hours_does_not_take_them_away(run: CliRunner) -> None:
    Path("list.json").write_text(json.dumps({"deepseek": {"models": {
        "deepseek-flash": {"cost": {"input": 0.15, "output": 0.6}}}}}))  # fmt: skip
    found = run.invoke(cli, ["prices", "import", "--from", "models.dev", "--file", "list.json", "--apply"])
    assert "left out  deepseek/deepseek-flash: its price depends on the hour" in found.stderr and text() == CHANNEL


def test_what_somebody_wrote_himself_is_left_as_it_is(run: CliRunner) -> None:
    own = CHANNEL + '[provider.deepseek.models."deepseek-flash"]\noutput = 9\n'
    Path("ftgate.toml").write_text(own)
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply", "--force")
    assert "\t9\t1.3\tset by hand, left as it is\n" in found.stdout and found.exit_code == 0
    assert text() == own and priced() == "9"


def test_a_channels_own_price_counts_there_and_is_told(run: CliRunner) -> None:
    Path("ftgate.toml").write_text(CHANNEL + '[channel.models."deepseek-flash"]\noutput = 9\n')
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    assert "deepseek/deepseek-flash: deep has a price of its own" in found.stderr and priced() == "9"


def test_new_models(run: CliRunner) -> None:
    free = {**NEW, "input_cost_per_token": 0, "output_cost_per_token": 0}
    unbounded = {name: value for name, value in NEW.items() if not name.startswith("max")}
    rows = {**SAME, "deepseek/new": NEW, "deepseek/free": free, "deepseek/unbounded": unbounded,
            "deepseek/deepseek-coder": NEW}  # fmt: skip
    assert "3 of the list are not in the catalogue (--new)" in imports(run, rows).stderr  # deepseek-coder is an alias
    found = imports(run, rows, "--new", "--apply")
    assert found.exit_code == 1 and "deepseek\tfree\tinput\t-\t0\tlarge: only" in found.stdout
    models = config.load(Path("ftgate.toml"), {}).routes.channels[0].models
    assert (models["new"].context, models["new"].max_output) == (5000, 5000)
    assert priced("new") == "2" and not {"free", "unbounded", "deepseek-coder"} & set(models)


def test_thinking_with_a_price_of_its_own_is_not_undersold(run: CliRunner) -> None:
    """It is taken where the catalogue lets the model not think at all, as it does with qwen-plus."""
    thinks = {**DEARER, "output_cost_per_reasoning_token": 9e-06}
    found = imports(run, {**SAME, "deepseek/deepseek-flash": thinks, "deepseek/new": {**thinks, **NEW}}, "--new")
    assert found.stderr.count("its thinking has a price of its own") == 2 and not found.stdout
    plus = {**NEW, "litellm_provider": "dashscope", "output_cost_per_reasoning_token": 9e-06}
    found = imports(run, {"dashscope/qwen-plus": plus}, "--provider", "dashscope")
    assert "dashscope\tqwen-plus\toutput\t1.2\t2" in found.stdout


def test_one_provider_by_name(run: CliRunner) -> None:
    rows = {**SAME, "zai/glm-5.3": {**NEW, "litellm_provider": "zai"}}
    assert "glm-5.3" not in imports(run, rows).stdout
    assert "zai\tglm-5.3\tinput\t1.4\t1\t" in imports(run, rows, "--provider", "zai").stdout


def test_from_stdin_as_json(run: CliRunner) -> None:
    rows = json.dumps({**SAME, "deepseek/deepseek-flash": DEARER})
    found = run.invoke(cli, ["prices", "import", "--from", "litellm", "--file", "-", "--json"], input=rows)
    assert json.loads(found.stdout) == {
        "applied": False, "config": "ftgate.toml", "same": 3, "unlisted": [], "unread": [], "not_in_catalogue": 0,
        "changes": [{"provider": "deepseek", "model": "deepseek-flash", "field": "output", "now": "1.2", "new": "1.3",
                     "state": ""}],
    }  # fmt: skip


def test_without_a_config_one_is_made(run: CliRunner) -> None:
    Path("ftgate.toml").unlink()
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply", DEEPSEEK_API_KEY="sk-1")
    assert found.exit_code == 0 and stat.S_IMODE(Path("ftgate.toml").stat().st_mode) == 0o600
    settings = config.load(Path("ftgate.toml"), {"DEEPSEEK_API_KEY": "sk-1"})
    assert format_price(settings.routes.channels[0].models["deepseek-flash"].price.output) == "1.3"


@pytest.mark.parametrize(("said", "more", "words"), [
    ("{", (), "list.json: it is no JSON"),
    ("[]", (), "list.json: it is no list of litellm's"),
    ('{"data": []}', (), "it looks like openrouter's: choose that format (--from openrouter)"),
    (None, ("--provider", "nobody"), '"nobody" is no provider'),
    (None, ("--provider", "ollama"), "litellm has no prices of ollama's"),
])  # fmt: skip
def test_odd_input(said: str | None, more: tuple[str, ...], words: str, run: CliRunner) -> None:
    Path("list.json").write_text(json.dumps(SAME) if said is None else said)
    found = run.invoke(cli, ["prices", "import", "--from", "litellm", "--file", "list.json", *more, "--apply"])
    assert found.exit_code == 1 and words in found.stderr and "Traceback" not in found.stderr
    assert text() == CHANNEL


@pytest.mark.parametrize(("more", "code", "words"), [
    (("--from", "litellm", "--file", "absent.json"), 1, "the list cannot be read"),
    (("--from", "litellm", "--file", "."), 1, "the list cannot be read"),
    (("--from", "litellm"), 2, "--file"),
    (("--from", "nobody", "--file", "list.json"), 2, "nobody"),
])  # fmt: skip
def test_wrong_use(more: tuple[str, ...], code: int, words: str, run: CliRunner) -> None:
    found = run.invoke(cli, ["prices", "import", *more])
    assert found.exit_code == code and words in found.stderr


def test_bytes_that_are_no_text(run: CliRunner) -> None:
    Path("list.json").write_bytes(b"\xff\xfe{}")
    found = run.invoke(cli, ["prices", "import", "--from", "litellm", "--file", "list.json"])
    assert found.exit_code == 1 and "list.json: it is no UTF-8." in found.stderr


@pytest.mark.parametrize("text_after", [
    f"{imported.BEGIN}\n",
    f"{imported.END}\n",
    f"{imported.END}\n{imported.BEGIN}\n",
    f"{imported.BEGIN}\n{imported.END}\n{imported.BEGIN}\n{imported.END}\n",
    f"{imported.BEGIN}\n[provider.deepseek]\n{imported.END}\n",
    f'{imported.BEGIN}\n[server]\nport = 1\n[provider.deepseek]\nbase_url = "http://x/v1"\n{imported.END}\n',
])  # fmt: skip
def test_marks_that_were_changed_stop_it(text_after: str, run: CliRunner) -> None:
    Path("ftgate.toml").write_text(CHANNEL + text_after)
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    assert found.exit_code == 1 and "Traceback" not in found.stderr and "mend" in found.stderr
    assert text() == CHANNEL + text_after


def test_a_config_that_would_not_load_is_not_written(run: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "with_prices", lambda *given: CHANNEL + "[server]\nprot = 1\n")
    found = imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    assert found.exit_code == 1 and "it is as it was" in found.stderr and "ftgate.toml:7: [server] prot" in found.stderr
    assert text() == CHANNEL and not Path("ftgate.toml.new").exists()


def test_what_stands_behind_the_marks_stays_there(run: CliRunner) -> None:
    imports(run, {**SAME, "deepseek/deepseek-flash": DEARER}, "--apply")
    Path("ftgate.toml").write_text(text() + "[limits]\nconcurrent = 3\n")
    imports(run, {**SAME, "deepseek/deepseek-flash": {**FLASH, "output_cost_per_token": 1.4e-06}}, "--apply")
    assert text().endswith(f"{imported.END}\n[limits]\nconcurrent = 3\n") and priced() == "1.4"


def test_every_shipped_price_can_be_written_and_read_again(run: CliRunner) -> None:
    """Whatever form it has: the text of a change is that change."""
    blank = {name: config.provider(name) for name in config.provider_names() if config.provider(name).models}
    changes = [
        imported.Change(name, f"{model.name}-2", None, model, (), large=False)
        for name, its in blank.items() if name != "demo" for model in its.models.values()
    ]  # fmt: skip
    Path("ftgate.toml").write_text(imported.with_prices(CHANNEL, changes, "all of them"))
    settings = config.load(Path("ftgate.toml"), {})
    assert len(changes) > 100
    for change in changes:
        provider = config.effective_provider(settings, change.provider)
        assert provider
        read = provider.models[change.model]
        assert (read.price, read.hours) == (change.will.price, change.will.hours), change.model


def test_prices_by_the_hour_and_by_length_are_shown(run: CliRunner) -> None:
    tiers = "tiers = [{ above = 9, input = 2, output = 2, cached = 1 }]"
    Path("ftgate.toml").write_text(CHANNEL + f'[channel.models."long"]\ninput = 1\noutput = 1\n{tiers}\n')
    lines = dict(row.split("\t", 1) for row in run.invoke(cli, ["prices", "list"]).stdout.splitlines())
    assert lines["deepseek-flash"].endswith("\t1.2\tby the hour") and lines["long"].endswith("\t1\tby length")
    rows = {row["id"]: row for row in json.loads(run.invoke(cli, ["prices", "list", "--json"]).stdout)}
    assert rows["long"]["tiers"] == [{"above": 9, "input": "2", "output": "2", "cached": "1"}]
    assert rows["deepseek-flash"]["hours"][1] == {
        "utc": ["00:00-24:00"], "days": "sat,sun", "input": "0.15", "output": "0.6", "cached": "0.003",
    }  # fmt: skip
