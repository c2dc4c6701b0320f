"""What the doctor looks at around the data: each finding, and that it says what to do."""

import os
import resource
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from ftgate import config
from ftgate.config import Settings
from ftgate.config.settings import Backup
from ftgate.house import backups_look, checkup, secrets_look, stripe_look
from ftgate.house.copies import FAILED, HOUR_US
from ftgate.house.findings import Finding
from ftgate.store.database import connect
from tests.config.reading import CHANNEL, load

NOW_US = 1_790_000_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "ftgate.sqlite3"
    with closing(connect(path, durability="process")) as connection:
        connection.execute("INSERT INTO boots VALUES (1, ?, '0.1.0')", (NOW_US,))
    return path


def said(found: Finding | None) -> str:
    assert found is not None
    return f"{found.state} {found.words}"


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/export /srv/my\\040data nfs4 rw 0 0
host /srv/shared 9p rw 0 0
tmpfs /srv/shared/memory tmpfs rw 0 0
overlay /srv/layer overlay rw 0 0
/dev/sdb1 /srv/layer/volume xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/home/me", "ok the file system is ext4"),
        ("/srv/my data/ftgate", "wrong /srv/my data/ftgate lies on nfs4, a network file system"),
        ("/srv/my datas", "ok the file system is ext4"),
        ("/srv/shared/x", "look /srv/shared/x lies on 9p, a shared folder"),
        ("/srv/shared/memory", "look /srv/shared/memory lies on tmpfs, the memory: it is gone"),
        ("/srv/layer/x", "look /srv/layer/x lies on overlay, a container's own layer"),
        ("/srv/layer/volume/x", "ok the file system is xfs"),
    ],
)
def test_the_file_system(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert said(checkup.file_system(Path(place), tmp_path / "mounts")).startswith(words)
    assert checkup.file_system(Path(place), tmp_path / "none") is None


@pytest.mark.parametrize(("free_mb", "words"), [(90_000, "ok"), (900, "look 900 MB free: too little for a backup"),
                                                (90, "look 90 MB free: calls are refused"),
                                                (0, "wrong 0 MB free: a start cannot write")])  # fmt: skip
def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, words: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free_mb * 10**6))
    assert said(checkup.disk(tmp_path, 10**9)).startswith(words)


def test_a_directory_that_is_still_to_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a" / "data"
    assert said(checkup.making(place)).startswith(f"look {place} does not exist yet")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert said(checkup.making(place)).startswith(f"wrong {place} does not exist, and this user cannot make it in ")
    (tmp_path / "a").touch()
    assert checkup.making(place).state == "wrong"


def test_files_of_another_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    files = [lock, tmp_path / "none"]
    assert list(checkup.writable(files)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = checkup.writable(files)
    assert said(found).startswith(f"wrong {lock} may not be written by this user")


def test_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets to a file through a directory that is closed, where pytest keeps these."""
    secret = tmp_path / "server.key"
    secret.write_text("x")
    secret.chmod(0o640)
    files = [secret, tmp_path / "none"]
    (found,) = checkup.modes("data", files)
    assert found == ("look", "data", f"{secret}, mode 0640, may be read by others: chmod 600 it")
    whole = Path.stat
    opened = lambda at: SimpleNamespace(st_mode=0o40755) if at != secret else whole(at)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", opened)
        assert [finding.state for finding in checkup.modes("data", [secret])] == ["wrong"]
    secret.chmod(0o600)
    assert list(checkup.modes("data", files)) == []


def test_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkup.owner(tmp_path) is None
    monkeypatch.setattr(checkup.os, "geteuid", lambda: 4242)
    assert "this is user 4242: start ftgate as its owner" in said(checkup.owner(tmp_path))


def test_the_clock(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, at_us)"
            " VALUES (1, 'grant', 1, 0, 'grants', 'credits', 1, 'g', ?)",
            (NOW_US,),
        )
    for at_s, words in (
        (NOW_US / 1e6 + 9, "ok 2026-"), (NOW_US / 1e6 - 59, "ok"), (86_400, "wrong it says 1970-01-02"),
        (NOW_US / 1e6 - 7200, "look it says 2026-"),
    ):  # fmt: skip
        monkeypatch.setattr(checkup.time, "time", lambda at_s=at_s: at_s)
        assert said(checkup.clock(database)).startswith(words), at_s
    assert "7200 s before the ledger's last entry" in said(checkup.clock(database))
    assert said(checkup.clock(None)).startswith("ok")


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ([], None),
        ([1000.0], "ok within 0 s"),
        ([940.0, 955.0, 3.0], "look 60 s ahead of"),
        ([2000.0], "wrong 1000 s behind"),
    ],
)
def test_the_clock_against_others(dates: list[float], words: str | None) -> None:
    """One server whose own clock is wrong decides nothing among three."""
    found = checkup.apart(dates, 1000.0)
    assert (found is None) if words is None else said(found).startswith(words)


@pytest.mark.parametrize(("hard", "state"), [(1024, "look"), (65_536, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_open_files(monkeypatch: pytest.MonkeyPatch, hard: int, state: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, hard))
    found = checkup.open_files()
    assert found.state == state and ("LimitNOFILE=65536" in found.words) is (state == "look")


@pytest.mark.parametrize(("root", "state"), [("/opt/shiv", "ok"), (f"/tmp/ftgate-{os.geteuid()}", "look")])
def test_where_a_pyz_unpacks(root: str, state: str) -> None:
    """Whether it could be written now is nobody's question: what runs has been unpacked."""
    folder = f"{root}/ftgate-0123456789abcdef-cpython-311-x86_64-linux-gnu"
    module = Path(folder, "site-packages/ftgate/__init__.py")
    assert checkup.extracted(Path("/usr/bin/ftgate"), module) is None
    found = checkup.extracted(Path("/opt/ftgate.pyz"), module)
    assert found is not None and found.state == state
    assert found.words.startswith(f"ftgate.pyz is unpacked in {folder}")
    assert ("let SHIV_ROOT name another" in found.words) is (state == "look")


# Secrets


def test_a_config_that_others_may_read(tmp_path: Path) -> None:
    file, apart = tmp_path / "ftgate.toml", tmp_path / "key"
    apart.write_text("sk-secret-1")
    apart.chmod(0o644)

    def found(key: str, more: str = "") -> list[str]:
        file.write_text(CHANNEL.replace("env:LAB_KEY", key) + more)
        file.chmod(0o644)
        settings = config.load(file, {"LAB_KEY": "sk-secret-1"})
        return [finding.words.split(",")[0] for finding in secrets_look.of_config(settings)]

    assert found("env:LAB_KEY") == found("none") == []
    assert found("sk-secret-1") == [str(file)]
    assert found(f"file:{apart}") == [str(apart)]
    assert found("env:LAB_KEY", "[server]\nmetrics_token = 'abc'\n") == [str(file)]
    assert list(secrets_look.of_config(load(CHANNEL))) == []


@pytest.mark.parametrize(("gid", "mode", "told"), [(1234, 0o640, 0), (0, 0o640, 1), (1234, 0o660, 1), (1234, 0o644, 1)])
def test_a_secret_that_a_service_reads_by_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gid: int, mode: int, told: int
) -> None:
    apart, file, stat = tmp_path / "key", tmp_path / "ftgate.toml", Path.stat
    apart.write_text("sk-secret-1")
    file.write_text(CHANNEL.replace("env:LAB_KEY", f"file:{apart}"))
    settings = config.load(file, {})
    seen = SimpleNamespace(st_mode=0o100000 | mode, st_gid=gid)
    monkeypatch.setattr(Path, "stat", lambda at, **more: seen if at == apart else stat(at, **more))
    assert len(list(secrets_look.of_config(settings))) == told


def test_the_certificate(tmp_path: Path) -> None:
    authority, now = trustme.CA(), datetime(2026, 11, 29, tzinfo=UTC)
    cert, key, other = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    made = authority.issue_cert("127.0.0.1", not_before=now - timedelta(days=30), not_after=now + timedelta(days=60))
    made.private_key_pem.write_to_path(key)
    authority.issue_cert("127.0.0.2").private_key_pem.write_to_path(other)
    made.cert_chain_pems[0].write_to_path(cert)
    authority.cert_pem.write_to_path(cert, append=True)

    def found(days: int, with_key: Path = key) -> str:
        (finding,) = secrets_look.certificate(cert, with_key, now + timedelta(days=days))
        return said(finding)

    assert found(0) == "ok the certificate holds until 2027-01-28, 60 days"
    assert found(50).startswith(f"look {cert} ends on 2027-01-28, in 10 days: renew it")
    assert found(60).startswith(f"wrong {cert} ended on 2027-01-28: renew it")
    assert found(-31).startswith(f"wrong {cert} holds from 2026-10-30 on: look at the clock")
    assert "the key is not that of the certificate" in found(0, other)
    assert found(0, tmp_path / "none").startswith("wrong")
    cert.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    assert found(0).startswith("wrong")
    assert list(secrets_look.certificate(None, None)) == []


# Stripe


def paying(secret: str, hook: str, more: str = "") -> Settings:
    return load(CHANNEL + f"[stripe]\nsecret_key = '{secret}'\nwebhook_secret = '{hook}'\n{more}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (load(CHANNEL), ["ok card payments are off"]),
        (paying("sk_test_1", "whsec_1"), ["ok card payments are on, in test mode"]),
        (paying("rk_live_1", "whsec_1"), ["ok card payments are on, in live mode"]),
        (paying("pk_live_1", "whsec_1"), ["wrong secret_key begins neither"]),
        (paying("sk_live_1", "we_1"), ["wrong webhook_secret does not begin", "ok card payments are on"]),
        (
            paying("sk_live_1", "whsec_1", "api_base = 'http://127.0.0.1:1'\n"),
            ["ok", "look a live key goes to http://127"],
        ),
        (paying("sk_live_1", "whsec_1", "[server]\npublic_url = 'http://x.org'\n"), ["ok", "wrong Stripe sends live"]),
        (
            paying("sk_test_1", "whsec_1", "[server]\npublic_url = 'https://x.org'\n"),
            ["ok", "look nobody can pay really"],
        ),
    ],
)
def test_stripe(settings: Settings, words: list[str]) -> None:
    found = list(map(said, stripe_look.of_settings(settings)))
    assert len(found) == len(words)
    assert all(one.startswith(start) for one, start in zip(found, words, strict=True)), found
    assert not any(secret in one for one in found for secret in ("sk_live_1", "whsec_1", "sk_test_1"))


@pytest.mark.parametrize(("status", "state"), [((200, ""), "ok"), ((403, ""), "ok"), ((401, ""), "wrong"),
                                               ((0, "timed out"), "wrong"), ((503, ""), "wrong")])  # fmt: skip
def test_stripe_asked(status: tuple[int, str], state: str) -> None:
    seen: list[Any] = []

    def ask(url: str, key: str) -> tuple[int, str]:
        seen.append((url, key))
        return status

    assert said(stripe_look.asked(paying("sk_test_1", "whsec_1").stripe, ask)).startswith(state)
    assert seen == [("https://api.stripe.com/v1/balance", "sk_test_1")]
    assert stripe_look.asked(load(CHANNEL).stripe, ask) is None and len(seen) == 1


# Backups


def test_backups(database: Path) -> None:
    folder = database.parent / "backups"

    def found(hours: float, backup: Backup = Backup()) -> str:  # noqa: B008 - frozen
        return "; ".join(map(said, backups_look.of_data(backup, database, NOW_US + int(hours * HOUR_US))))

    assert found(47) == "ok none was ever made"
    assert found(49) == (
        "look none was ever made; a running server makes one every 24 hours: let it run, or run "
        "`ftgate backup DIRECTORY/`"
    )
    never = Backup(every_hours=0)
    assert found(24 * 29, never).startswith("ok") and found(24 * 31, never).startswith("look none was ever made: run")
    folder.mkdir()
    (folder / "ftgate-auto-20260921-133320.sqlite3").write_text("")  # NOW_US
    assert found(47) == f"ok the last one was made 47 hours ago, 1 in {folder}"
    assert found(49).startswith("look the last one was made 2 days ago; a running server")
    away = Backup(to=database.parent / "away")
    assert found(1, away).startswith(f"wrong {away.to} is not there: mount the disk")
    database.with_name(FAILED).write_text('{"at_us": %d, "why": "no room"}' % NOW_US)  # noqa: UP031
    assert found(1).startswith("wrong the last one could not be made, 1 hours ago: no room; ok the last one was made")
