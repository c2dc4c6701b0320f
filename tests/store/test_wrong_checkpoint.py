"""What was tampered with is named, at a start and by `verify`; a wrong checkpoint beside right entries can be
discarded."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftgate.app import open_house
from ftgate.cli.group import cli
from ftgate.house.house import DATABASE
from ftgate.house.lock import Lock, holder
from ftgate.store.verify import verify_ledger
from tests.house.test_house import SETTINGS, opened
from tests.store.faulty import read
from tests.store.houses import NEWEST, lived, refused, tamper

SINCE = {
    "UPDATE entries SET amount = 301 WHERE id = 9": "account 1: balance says",
    "UPDATE entries SET amount = 1001 WHERE id = 9": "entry 9: posts 1001, more than hold 8 of 1000",
    "UPDATE entries SET hold = 12 WHERE id = 9": "entry 9: ends hold 12, which is not open",
    "DELETE FROM entries WHERE id = 8": "entry 8 is missing: after entry 7 comes entry 9",
    "DELETE FROM entries WHERE id = 9": "entry 9 is missing: after entry 8 comes entry 10",
    "DELETE FROM entries WHERE id = 12": "account 1: balance says posted, held, used = (999999998500, 500, 0)",
    "DELETE FROM entries WHERE id > 6": "the checkpoint stands at entry 7, and the last entry is 6",
    "UPDATE balances SET posted = posted + 1": "account 1: balance says posted, held, used = (999999998501, 500, 0)",
    "UPDATE balances SET held = 0": "account 1: balance says",
    "UPDATE balances SET used = 5": "account 1: balance says",
    "DELETE FROM balances": "account 1 has entries and no balance",
    "INSERT INTO balances VALUES (9, 0, 0, 0)": "account 9 has a balance and no user",
    "UPDATE spent SET used = used - 1": "key 1: spent says 1499; entries say 1500",
    "DELETE FROM spent": "key 1: spent says 0; entries say 1500",
    "INSERT INTO spent VALUES (9, 0)": "key 9 has entries and is not in the list of keys",
    "DELETE FROM keys": "key 1 has entries and is not in the list of keys",
    "UPDATE checkpoints SET state = replace(state, '\"posted\":{\"1\":9', "
    "'\"posted\":{\"1\":8')": "account 1: balance says",
    "UPDATE checkpoints SET state = replace(state, '\"spent\":{\"1\":900}', "
    "'\"spent\":{\"1\":901}')": "key 1: spent says 1500",
    "UPDATE checkpoints SET state = substr(state, 1, 40)": "cannot be read",
    "UPDATE checkpoints SET state = 'null'": "cannot be read",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "cannot be read",  # not UTF-8
    "UPDATE checkpoints SET last_id = 5": "says entry 5 and holds the state after entry 7",
}  # fmt: skip


@pytest.mark.parametrize("sql", SINCE)
async def test_a_start_refuses_what_does_not_verify(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    before = path.read_bytes()
    assert SINCE[sql] in refused(tmp_path)
    assert refused(tmp_path) and path.read_bytes() == before


BEFORE = {
    "UPDATE entries SET amount = 1 WHERE id = 3": "checkpoint 1, which stands at entry 7, does not say",
    "DELETE FROM entries WHERE id IN (2, 3)": "entry 2 is missing: after entry 1 comes entry 4",
    "UPDATE checkpoints SET state = replace(state, '\"revenue\":900', '\"revenue\":901')": "checkpoint 1",
    "UPDATE checkpoints SET state = replace(state, '\"entries\":7', '\"entries\":8')": "checkpoint 1",
    "INSERT INTO checkpoints SELECT 0, 5, at_us, state FROM checkpoints": "checkpoint 0, which stands at entry 5, "
    "does not say",
    "INSERT INTO checkpoints SELECT 0, -1, at_us, state FROM checkpoints": "checkpoint 0",
    "INSERT INTO checkpoints SELECT 9, 99, at_us, state FROM checkpoints": "checkpoint 9, which stands at entry 99, "
    "does not say",
    "UPDATE checkpoints SET state = '{'": "checkpoint 1, which stands at entry 7, does not say",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "checkpoint 1, which stands at entry 7, does not say",
}


@pytest.mark.parametrize("sql", BEFORE)
async def test_a_whole_verification_sees_what_lies_before_and_the_checkpoints_themselves(
    tmp_path: Path, sql: str
) -> None:
    path = await lived(tmp_path)
    assert verify_ledger(path)["ok"]
    tamper(path, sql)
    said = verify_ledger(path)
    assert not said["ok"] and BEFORE[sql] in str(said["disagreement"])


async def test_an_entry_before_the_checkpoint_is_not_read_again_at_a_start(tmp_path: Path) -> None:
    """The price of a quick start; `ledger verify` and every backup see it."""
    path = await lived(tmp_path)
    tamper(path, "UPDATE entries SET amount = 1 WHERE id = 3")
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.close()
    tamper(path, "DELETE FROM checkpoints")
    assert "balance says" in refused(tmp_path)


async def test_a_right_state_at_a_wrong_place(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
    tamper(tmp_path / DATABASE, "UPDATE checkpoints SET last_id = 99")
    assert "checkpoint 1, which stands at entry 99" in str(verify_ledger(tmp_path / DATABASE)["disagreement"])


# A wrong checkpoint beside right entries

WRONG = {
    "UPDATE checkpoints SET state = replace(state, '\"posted\":{\"1\":9', '\"posted\":{\"1\":8')": "posted 1 is 8999",
    "UPDATE checkpoints SET state = replace(state, '\"spent\":{\"1\":900}', '\"spent\":{}')": "spent 1 is None, and "
    "900 by the entries",
    "UPDATE checkpoints SET state = substr(state, 1, 40)": "cannot be read",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "cannot be read",
    "UPDATE checkpoints SET last_id = 5": "says entry 5 and holds the state after entry 7",
    "UPDATE checkpoints SET last_id = 99, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":99')": "last_id is 99, and 12 by the",
    "UPDATE checkpoints SET last_id = -1, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":-1')": "last_id is -1, and 0 by the entries",
    "UPDATE checkpoints SET last_id = 8, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":8')": "at entry 8: entries is 7, and 8 by",
}  # fmt: skip


def discard(place: Path, *more: str, code: int = 0) -> str:
    """What `ftgate ledger verify --discard-checkpoint` says."""
    done = CliRunner().invoke(cli, ["ledger", "verify", "--discard-checkpoint", "--data", str(place), *more])
    assert done.exit_code == code, (done.output, done.exception)
    assert holder(place) is None or code
    return done.output


@pytest.mark.parametrize("sql", WRONG)
async def test_a_wrong_checkpoint_is_discarded_and_the_start_works(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    assert refused(tmp_path)
    entries = read(path, "SELECT * FROM entries")
    said = discard(tmp_path)
    assert (
        said.startswith("ok: 12 entries of 1 accounts add up, 1 holds are open\ncheckpoint 1 ") and WRONG[sql] in said
    )
    assert said.endswith("\ncheckpoints removed: 1; the next start reads all entries\n")
    assert read(path, NEWEST) == [] and read(path, "SELECT * FROM entries") == entries and verify_ledger(path)["ok"]
    async with opened(tmp_path, orphans=1) as house:
        assert house.books.accounts[1].available == 10**12 - 5 * 300
    assert read(path, NEWEST)[0][0] == 13


ELSEWHERE = [
    "UPDATE entries SET amount = 1 WHERE id = 3",
    "UPDATE entries SET amount = 301 WHERE id = 9",
    "DELETE FROM entries WHERE id = 1",
    "DELETE FROM entries WHERE id = 12",
    "UPDATE balances SET posted = posted + 1",
    "DELETE FROM balances",
    "UPDATE spent SET used = used - 1",
    "UPDATE requests SET cost = cost + 1 WHERE id = 1",
]


@pytest.mark.parametrize("sql", ELSEWHERE)
async def test_where_something_else_is_wrong_no_checkpoint_goes(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    for also in ("", *list(WRONG)[:1]):
        if also:
            tamper(path, also)
        before = path.read_bytes()
        said = discard(tmp_path, code=1)
        assert said.startswith("the ledger does not verify: ") and "nothing was changed. `ftgate restore FILE`" in said
        assert json.loads(discard(tmp_path, "--json", code=1))["discarded"] == 0
        assert path.read_bytes() == before and len(read(path, NEWEST)) == 1


async def test_a_balance_changed_with_its_entry_is_told_by_the_row_of_the_call(tmp_path: Path) -> None:
    """Entry, balance and the key's spending agree, and the checkpoint alone knew better: the request's row does too."""
    path = await lived(tmp_path)
    tamper(path, "UPDATE entries SET amount = 299 WHERE id = 3")
    tamper(path, "UPDATE balances SET posted = posted + 1")
    tamper(path, "UPDATE spent SET used = used - 1")
    assert "balance says" in refused(tmp_path)
    assert "its row says a cost, lost = (300, 0), its entries say (299, 0)" in discard(tmp_path, code=1)
    assert len(read(path, NEWEST)) == 1


async def test_no_checkpoint_is_discarded_beside_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.cli.remote.WAIT_S", 0.2)
    path = await lived(tmp_path)
    tamper(path, next(iter(WRONG)))
    lock = Lock(tmp_path, serving=False)
    before = path.read_bytes()
    assert "in use by process" in (said := discard(tmp_path, code=1)) and "stop it first. Nothing was changed." in said
    lock.release()
    assert path.read_bytes() == before
    # A plain verification says what would help.
    done = CliRunner().invoke(cli, ["ledger", "verify", "--data", str(tmp_path)])
    assert done.exit_code == 1 and "`ftgate ledger verify --discard-checkpoint` removes it" in done.output


async def test_discarding_two_or_none(tmp_path: Path) -> None:
    path = await lived(tmp_path)
    async with opened(tmp_path, orphans=1):
        pass
    said = json.loads(discard(tmp_path, "--json"))
    assert said == {
        "ok": True, "accounts": 1, "entries": 13, "open_holds": 0, "requests": 6, "recomputed": 5,
        "not_recomputable": {"older": 0, "crashed": 1}, "discarded": 2, "wrong_checkpoints": [],
    }  # fmt: skip
    before = path.read_bytes()
    assert discard(tmp_path).endswith("there is no checkpoint: nothing was changed\n")
    assert path.read_bytes() == before


async def test_a_database_that_takes_no_commit_keeps_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await lived(tmp_path)
    monkeypatch.setattr("ftgate.store.database.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "could not be removed: database is locked. Nothing was changed." in discard(tmp_path, code=1)
    assert len(read(path, NEWEST)) == 1
