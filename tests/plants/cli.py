"""The command line: what it prints, writes and says of success."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "an @ begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "\\t", "\\r"}',
        "tests/cli/test_ledger.py",
    ),
    Plant(
        "a tab begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "@", "\\r"}',
        "tests/cli/test_ledger.py",
    ),
    Plant(
        "a carriage return begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "@", "\\t"}',
        "tests/cli/test_ledger.py",
    ),
    Plant(
        "escapes in a list reach the terminal",
        "ftgate/cli/output.py",
        'return plain(", ".join(map(str, value)))',
        'return ", ".join(map(str, value))',
        "tests/cli/test_output.py",
    ),
    Plant(
        "escapes from a note reach the terminal",
        "ftgate/cli/output.py",
        "return plain(str(value))",
        "return str(value)",
        "tests/cli/test_output.py",
    ),
    Plant(
        "a password may stand on the command line",
        "ftgate/cli/accounts.py",
        'if password != "-":',
        'if password == "":',
        "tests/cli/test_accounts.py",
    ),
    Plant(
        "a new config is for everybody to read",
        "ftgate/cli/config.py",
        "os.chmod(file.fileno(), 0o600)",
        "os.chmod(file.fileno(), 0o644)",
        "tests/config/test_commands.py",
    ),
    Plant(
        "a ledger that does not verify is a success",
        "ftgate/cli/ledger.py",
        "raise click.exceptions.Exit(1)",
        "return",
        "tests/store/test_wrong_checkpoint.py::test_where_something_else_is_wrong_no_checkpoint_goes",
    ),
    Plant(
        "a repeat of a grant is a second one",
        "ftgate/cli/accounts.py",
        "if ref is None else ref",
        "",
        "tests/house/test_unanswered.py",
    ),
    Plant(
        "an import without --apply writes",
        "ftgate/cli/prices.py",
        "    if applied and taken:",
        "    if taken:",
        "tests/cli/test_prices.py",
    ),
)
