"""What an export of the ledger holds: text alone, for whatever reads it."""

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftgate.cli import ledger

ENTRY = {
    "id": 1, "at": "2026-01-01T00:00:00Z", "kind": "grant", "user": "ann", "debit": "grants", "credit": "credits",
    "amount": "-0.5", "hold": None, "ref": "r1", "note": "", "key": None,
}  # fmt: skip


def exported(monkeypatch: pytest.MonkeyPatch, **entry: object) -> dict[str, str]:
    """One entry as a CSV file's reader finds it, by the heads of its columns."""
    monkeypatch.setattr(ledger, "source", lambda config_path, data: Path("nowhere"))
    monkeypatch.setattr(ledger, "all_entries", lambda path, username: iter([{**ENTRY, **entry}]))
    found = CliRunner().invoke(ledger.ledger, ["export"])
    assert found.exit_code == 0, found.output
    head, row = csv.reader(io.StringIO(found.stdout, newline=""))
    return dict(zip(head, row, strict=True))


@pytest.mark.parametrize("column", ["note", "ref", "user"])
@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\\t=1+1"),  # some spreadsheets pass over these two, and what stands behind is a formula
        ("\r=1+1", "'\\r=1+1"),
        ("", ""),
        ('a=1, "b" @c', 'a=1, "b" @c'),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_no_cell_is_a_formula(column: str, text: str, cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exported(monkeypatch, **{column: text})[column] == cell
