"""What the commands about accounts do before anybody is asked."""

import pytest
from click.testing import CliRunner

from ftgate.cli import accounts


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the server is asked for, in place of asking it."""
    calls: list[dict[str, object]] = []

    def run(config_path: object, data: object, command: str, **arguments: object) -> dict[str, object]:
        calls.append({"command": command, **arguments})
        return {"username": "ann", "role": "user", "mode": "prepaid", "balance": "0.00", "plan": "default"}

    monkeypatch.setattr(accounts, "run", run)
    return calls


@pytest.mark.parametrize("command", ["create", "password"])
@pytest.mark.parametrize("password", ["secret-1", "", " "])
def test_no_password_on_the_command_line(command: str, password: str, asked: list[dict[str, object]]) -> None:
    """Others can read it there, and shells keep it."""
    found = CliRunner().invoke(accounts.users, [command, "ann", "--password", password])
    assert (found.exit_code, asked) == (2, [])
    assert "--password -" in found.output and "secret-1" not in found.output


@pytest.mark.parametrize(
    ("arguments", "given", "password"),
    [([], "", None), (["--password", "-"], "secret-1\n", "secret-1"), (["--password", "-"], "a b \nc", "a b ")],
)
def test_a_password_comes_from_standard_input(
    arguments: list[str], given: str, password: str | None, asked: list[dict[str, object]]
) -> None:
    found = CliRunner().invoke(accounts.users, ["create", "ann", *arguments], input=given)
    assert found.exit_code == 0 and [call["password"] for call in asked] == [password]
    assert "secret-1" not in found.output


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--role", "admin"], {"role": "admin"}),
        (["--plan", "pro", "--mode", "metered"], {"plan": "pro", "mode": "metered"}),
        (["--mode", "plan"], {"mode": None}),
    ],
)
def test_what_is_not_named_stays(
    arguments: list[str], fields: dict[str, object], asked: list[dict[str, object]]
) -> None:
    found = CliRunner().invoke(accounts.users, ["set", "ann", *arguments])
    assert found.exit_code == 0, found.output
    assert asked == [{"command": "users.change", "username": "ann", **fields}]


def test_nothing_to_change_is_wrong_use(asked: list[dict[str, object]]) -> None:
    found = CliRunner().invoke(accounts.users, ["set", "ann"])
    assert (found.exit_code, asked) == (2, []) and "--role" in found.output


def test_whoever_makes_an_account_without_a_password_is_told(asked: list[dict[str, object]]) -> None:
    found = CliRunner().invoke(accounts.users, ["create", "ann", "--admin"])
    assert "users password ann --password -" in found.output
    assert (
        "users password"
        not in CliRunner().invoke(accounts.users, ["create", "ann", "--password", "-"], input="s").output
    )
