"""The command line: what it prints, writes and says of success."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "an @ begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "\\t", "\\r"}',
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "a tab begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "@", "\\r"}',
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "a carriage return begins a formula in a spreadsheet",
        "ftgate/cli/ledger.py",
        '{"=", "+", "-", "@", "\\t", "\\r"}',
        '{"=", "+", "-", "@", "\\t"}',
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "escapes from a note reach the terminal",
        "ftgate/cli/output.py",
        "return plain(str(value))",
        "return str(value)",
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "a password may stand on the command line",
        "ftgate/cli/accounts.py",
        'if password is not None and password != "-":',
        'if password == "":',
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "a new config is for everybody to read",
        "ftgate/cli/config.py",
        "os.chmod(file.fileno(), 0o600)",
        "os.chmod(file.fileno(), 0o644)",
        "tests/cli tests/config/test_commands.py",
    ),
    Plant(
        "a ledger that does not verify is a success",
        "ftgate/cli/ledger.py",
        "raise click.exceptions.Exit(1)",
        "return",
        "tests/cli tests/config/test_commands.py tests/store/test_wrong_checkpoint.py",
    ),
    Plant(
        "a repeat of a grant is a second one",
        "ftgate/cli/accounts.py",
        "if ref is None else ref",
        "",
        "tests/cli tests/config/test_commands.py tests/house/test_unanswered.py",
    ),
)
