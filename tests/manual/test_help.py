"""`ftgate help`: topics on a terminal and in a pipe, and what commands take."""

import io
import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ftgate.cli import help as helping
from ftgate.cli import markdown
from ftgate.cli.group import COMMANDS, cli
from ftgate.manual import ALIASES, GROUPS, NAMES, topic
from scripts.packing import parts


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["help", *words], prog_name="ftgate")


def test_alone_it_lists_every_topic_with_a_line() -> None:
    said = run()
    assert said.exit_code == 0 and said.stdout.startswith(f"{next(iter(GROUPS))}\n")
    for name in NAMES:
        assert f"\n  {name:<16}  {topic(name).about}\n" in said.stdout
    assert [row["topic"] for row in json.loads(run("--json").stdout)] == list(NAMES)


def test_a_topic_in_a_pipe_is_its_text() -> None:
    assert run("billing").stdout == topic("billing").text
    assert json.loads(run("billing", "--json").stdout) == {
        "topic": "billing", "title": "Billing", "about": topic("billing").about, "text": topic("billing").text,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "name"), [("nginx", "reverse-proxies"), ("docker", "service"), ("Stripe", "payments"), ("otel", "metrics")]
)
def test_another_word_leads_to_its_topic(word: str, name: str) -> None:
    assert run(word).stdout == topic(name).text


def test_other_words_are_no_commands_and_stand_in_their_topics() -> None:
    for word, name in ALIASES.items():
        assert name in NAMES and word not in NAMES and word not in COMMANDS, word
        assert word in topic(name).text.lower(), (word, name)


def test_every_topic_is_rendered_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in NAMES:
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        helping.render(topic(name))
        monkeypatch.undo()
        said = screen.getvalue()
        assert topic(name).title in said and "](" not in said and ".md" not in said, name
        assert [row for row in re.findall(r"^\| `(\w+)` \|", topic(name).text, re.M) if row not in said] == [], name


def test_what_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    text = """# A *b*

One `two three` [four](http://x/5).

1. six seven eight nine ten
   - eleven
2. twelve

   ```sh
   a_line_that_is_longer_than_that   # and has  two  spaces
   ```

After **it**.
"""
    markdown.show(text, Console(markup=False, emoji=False, highlight=False), 24)
    shown = """A b

One two three four
(http://x/5).

1. six seven eight nine
   ten
   - eleven
2. twelve

     a_line_that_is_longer_than_that   # and has  two  spaces

After it.
"""
    assert screen.getvalue() == shown


def test_nothing_is_loaded_that_the_one_file_leaves_out() -> None:
    code = f"""import io, sys
sys.modules.update(dict.fromkeys({sorted(parts.LEFT_OUT)!r}))
from ftgate.cli.help import render
from ftgate.manual import topic
render(topic("billing"))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and "Plans" in said.stdout, said.stderr


@pytest.mark.parametrize("words", [("serve",), ("keys", "create"), ("help",), ("ledger",)])
def test_a_command_says_what_it_takes(words: tuple[str, ...]) -> None:
    said = run(*words)
    shown = CliRunner().invoke(cli, [*words, "--help"], prog_name="ftgate").stdout
    assert said.exit_code == 0 and said.stdout == shown and f"Usage: ftgate {' '.join(words)}" in said.stdout
    assert json.loads(run(*words, "--json").stdout)["text"] == shown.rstrip("\n")


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(COMMANDS)))
def test_a_topic_that_is_a_command_too_leads_to_it(name: str) -> None:
    assert f"`ftgate {name} --help`" in run(name).stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("bilings",), "Did you mean billing?"), (("serv",), "Did you mean serv"), (("zzz",), "`ftgate help` lists"),
        (("keys", "crate"), "Did you mean create?"), (("user",), "users"), (("serve", "x"), "lists the topics"),
        (("billing", "x"), "lists the topics"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_answered_with_near_names(words: tuple[str, ...], hint: str) -> None:
    said = run(*words)
    assert said.exit_code == 2 and hint in said.stderr and said.stdout == ""
