"""`scripts/ledger`: the ledger's figures on this machine: full-speed agreement, and what a million entries cost."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from ftgate import config
from ftgate.app import open_house
from ftgate.core.books import Books
from ftgate.core.pricing import Price
from ftgate.core.receipt import price_text
from ftgate.house.house import DATABASE, PAUSE_S
from ftgate.house.lock import make_data_dir
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from ftgate.store.verify import verify_ledger
from tests.store.hammer import ROW, Hammer, hammer


def open_books(accounts: int, next_id: int = 1) -> Books:
    books = Books(next_id=next_id)
    for account in range(1, accounts + 1):
        books.open_account(account)
        books.open_key(account, limit=None)
    return books


SEVEN_HUNDRED = price_text(Price(0, 0, 0, 0, 0, per_request=700))


def fill(path: Path, books: Books, entries: int) -> None:
    """Trade until there are so many entries, in large commits."""
    connection = connect(path, durability="process")
    accounts = list(books.accounts)
    write_batch(connection, people(accounts))
    while books.next_id <= entries:
        batch = Batch()
        for _ in range(2000):
            account = accounts[books.next_id % len(accounts)]
            balance = books.accounts[account]
            if balance.available < 1000:
                grant = books.grant(account, 10**6, ref=f"f-g{books.next_id}", at_us=0)
                batch.remember((grant,), balance)  # type: ignore[arg-type]
            held, entry = books.hold(account, account, 1000, ref=f"f-{books.next_id}", estimate=1, at_us=0)  # type: ignore[misc]
            ended = books.post(held.id, 700, at_us=0)
            batch.remember((entry, *ended.entries), balance, books.quotas[account])  # type: ignore[union-attr]
            batch.rows.append(
                msgspec.structs.replace(
                    ROW, request_id=held.ref, account=account, key=account, cost=700, hold=held.id, price=SEVEN_HUNDRED
                )
            )
        write_batch(connection, batch)
    connection.close()


def people(accounts: list[int]) -> Batch:
    """A user and a key with the same number for each account."""
    batch = Batch()
    user = (
        "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (?, ?, 'user', 'active', "
        "'default', 0)"
    )
    key = (
        "INSERT INTO keys (id, account, name, prefix, hash, status, created_at_us) VALUES (?, ?, '', 'sk-ft_', ?, "
        "'active', 0)"
    )
    for account in accounts:
        batch.statements += [(user, (account, f"u{account}")), (key, (account, account, account.to_bytes(32, "big")))]
        batch.balances[account] = (account, 0, 0, 0)
    return batch


def start(place: Path) -> float:
    """Seconds from nothing to an open house that has begun. It is closed again, which leaves a checkpoint."""

    async def main() -> float:
        began = time.perf_counter()
        house = open_house(config.from_environment({}, None), place, serving=False)
        await house.begin()
        took = time.perf_counter() - began
        await house.close()
        return took

    return trio.run(main)


def ready(place: Path) -> float:
    """Seconds from starting the process to its ready line."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "ftgate", "demo", "--port", "0", "--data", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None and server.stdout.readline().startswith(b"ready ")
        took = time.perf_counter() - began
        server.terminate()
    assert server.returncode == 0
    return took


def forget_checkpoints(path: Path) -> None:
    connection = connect(path, durability="process")
    connection.execute("DELETE FROM checkpoints")
    connection.close()


def lag(place: Path) -> str:
    """How long the loop is held up while a checkpoint of the whole database is computed beside it."""
    forget_checkpoints(place / DATABASE)

    async def main() -> str:
        house = open_house(config.from_environment({}, None), place, serving=False)
        await house.begin()
        house.audit, house.checked = type(house.audit)(), 0  # type: ignore[misc]
        late: list[float] = []

        async def tick() -> None:
            while True:
                due = time.perf_counter() + 0.001
                await trio.sleep(0.001)
                late.append((time.perf_counter() - due) * 1000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            await trio.sleep(1)
            idle = sorted(late)
            late.clear()
            began = time.perf_counter()
            await house.maybe_checkpoint(every=0, pause_s=PAUSE_S)
            took = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        await house.close()
        late.sort()
        return (
            f"{took:.1f} s beside the loop, which woke late by {late[len(late) // 2]:.1f} ms (99 %: "
            f"{late[len(late) * 99 // 100]:.1f},"
            f" most: {late[-1]:.1f} ms); with nothing beside it {idle[len(idle) // 2]:.1f} (most: {idle[-1]:.1f}) ms"
        )

    return trio.run(main)


def rate(path: Path, books: Books, seconds: float, name: str) -> float:
    connection = connect(path, durability="power")
    run: Hammer = trio.run(lambda: hammer(path, books, connection, seconds=seconds, tasks=64, name=name))
    print(
        f"  {name}: {run.settled} settled, {run.metered} of them metered; {run.refusals['credits']} refused for "
        "credits,"
        f" {run.refusals['quota']} for a key's quota; {seconds:g} s: {run.settled / seconds:.0f}/s, all sums agree"
    )
    return run.settled / seconds


def verify_apart(path: Path) -> None:
    """Verify in a process of its own, for its memory."""
    code = (
        "import sys, time, resource; from pathlib import Path; from ftgate.store.verify import verify_ledger; began = "
        "time.perf_counter();"
        " said = verify_ledger(Path(sys.argv[1])); print(said, f'{time.perf_counter() - began:.2f} s,',"
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MB'); sys.exit(not said['ok'])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/ledger")
    parser.add_argument("--seconds", type=float, default=30, help="of hammering")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=10_000, help="and as many keys, in the large database")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        empty, place = Path(base, "empty.sqlite3"), Path(base, "large")
        make_data_dir(place)
        large = place / DATABASE
        print("64 tasks on one account, 64 on 64 accounts, 64 on keys with a quota and on metered accounts:")
        rate(empty, open_books(64), chosen.seconds, "hammer")
        print(f"a database of {chosen.entries} entries and {chosen.accounts} keys:")
        books = open_books(chosen.accounts)
        began = time.perf_counter()
        fill(large, books, chosen.entries)
        print(f"  filled in {time.perf_counter() - began:.0f} s, {large.stat().st_size // 1_000_000} MB")
        print("  verify:", end=" ", flush=True)
        verify_apart(large)
        print(f"  open and begin: {start(place):.2f} s without a checkpoint, {start(place):.2f} s with one")
        print(
            f"  serve to its ready line: {ready(place):.2f} s with a checkpoint, {ready(Path(base, 'new')):.2f} s on "
            "an empty directory"
        )
        forget_checkpoints(large)
        print(f"  serve to its ready line without a checkpoint: {ready(place):.2f} s")
        print(f"  a checkpoint of all entries: {lag(place)}")
        for number in range(2):  # one after the other, twice: the machine is shared
            fresh = Path(base, f"fresh{number}.sqlite3")
            small = rate(fresh, open_books(64), 8, f"empty{number}")
            big = rate(large, books, 8, f"large{number}")
            print(f"  throughput with {chosen.entries} entries against an empty database: {big / small:.2f}")
        assert verify_ledger(large)["ok"]
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
