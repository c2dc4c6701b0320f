"""Login tokens and sessions: what holds, and what does not any more."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from ftgate.accounts import Accounts
from ftgate.accounts.sessions import FORGOTTEN, IDLE_US, MOST_SESSIONS, SESSION_US, TOKEN_S, derived
from ftgate.errors import NotAuthenticated, NotFound
from tests.accounts.opened import opened
from tests.swift import swift

SIGNING = derived(b"secret of the tests", "login token")


class Later:
    """ports.Clock of `accounts`, and `later_us` on top."""

    def __init__(self, accounts: Accounts) -> None:
        self.clock, self.later_us = accounts.users.clock, 0
        accounts.sessions.clock = self

    def now(self) -> float:
        return self.clock.now()

    def wall_us(self) -> int:
        return self.clock.wall_us() + self.later_us


async def ann(accounts: Accounts) -> Any:
    await accounts.users.create(username="ann")
    return accounts.directory.user("ann")


def refused(accounts: Accounts, token: str) -> str:
    with pytest.raises(NotAuthenticated) as told:
        accounts.sessions.by_token(token)
    return told.value.code


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_token_is_its_account_s_for_seven_days(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user = Later(accounts), await ann(accounts)
        token, until_us = accounts.sessions.token(user)
        said = jwt.decode(token, SIGNING, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        assert (said["iss"], said["sub"], said["exp"] - said["iat"]) == ("ftgate", "1", TOKEN_S)
        assert until_us == said["exp"] * 1_000_000 and said["auth_time"] == said["iat"] and "role" not in said
        assert accounts.sessions.by_token(token).username == "ann"
        user.role = "admin"
        assert accounts.sessions.by_token(token).role == "admin"  # as it is now
        clock.later_us = (TOKEN_S + 1) * 1_000_000
        assert refused(accounts, token) == "token_expired"


async def test_tokens_that_are_none_of_ours(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        user = await ann(accounts)
        good, _ = accounts.sessions.token(user)
        head, claims, signature = good.split(".")
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))

        def signed(header: Any, claims: Any, key: bytes = SIGNING) -> str:
            body = f"{part(header)}.{part(claims)}"
            mark = hmac.new(key, body.encode(), hashlib.sha256).digest()
            return f"{body}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"

        ours = {"alg": "HS256", "typ": "JWT"}
        assert accounts.sessions.by_token(signed(ours, said)).id == 1
        for token in (
            "", "eyJ", "a.b.c", good + "x", f"{head}.{claims}.", f"{head}.{claims}", f"{good}.{signature}",
            f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
            signed(ours, said, b"another secret"), signed(ours, said, b""),
            signed(ours | {"alg": "HS512"}, said), signed(ours | {"kid": "1"}, said), signed(ours | {"crit": []}, said),
            signed(ours | {"jwk": {}}, said), signed(ours | {"alg": "none"}, said), signed({"alg": "HS256"}, said),
            signed(ours, said | {"iss": "x"}), signed(ours, said | {"sub": "2"}), signed(ours, said | {"sub": 1}),
            signed(ours, said | {"sub": "\u0661"}), signed(ours, said | {"exp": None}), signed(ours, said | {"gen": 1}),
            signed(ours, {k: v for k, v in said.items() if k != "jti"}), signed(ours, []), signed(ours, "x"),
            signed(ours, {k: v for k, v in said.items() if k != "made"}), signed(ours, said | {"made": 0}),
        ):  # fmt: skip
            assert refused(accounts, token) == "invalid_token", token


async def test_a_token_is_not_of_a_later_account_with_the_same_number(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:  # a backup of it from before ann is put back
        token, _ = accounts.sessions.token(await ann(accounts))
        assert accounts.sessions.by_token(token).username == "ann"
    async with opened(tmp_path / "restored") as accounts:
        await accounts.users.create(username="dora")
        dora = accounts.directory.user("dora")
        assert dora.id == 1 and refused(accounts, token) == "invalid_token"
        with pytest.raises(NotAuthenticated, match="sign in again"):
            await accounts.entrance.refresh(token)
        assert accounts.sessions.by_token(accounts.sessions.token(dora)[0]).username == "dora"


async def test_ended_tokens_stay_ended_over_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        user = await ann(accounts)
        first, second, third = (accounts.sessions.token(user)[0] for _ in range(3))
        batch = accounts.users.writer.changed()
        accounts.sessions.end_token(first, batch)
        await accounts.users.writer.durable(batch)
        assert refused(accounts, first) == "invalid_token"
        assert accounts.sessions.by_token(second).id == 1
    async with opened(tmp_path / "db") as accounts:
        assert refused(accounts, first) == "invalid_token"
        assert accounts.sessions.by_token(second).id == 1
        accounts.sessions.end_all(accounts.directory.user("ann"), accounts.users.writer.changed())
        assert refused(accounts, second) == refused(accounts, third) == "invalid_token"
    async with opened(tmp_path / "db") as accounts:
        assert refused(accounts, second) == "invalid_token"
        assert accounts.sessions.by_token(accounts.sessions.token(accounts.directory.user("ann"))[0]).id == 1


async def test_a_disabled_account_s_tokens_and_sessions_hold_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        user = await ann(accounts)
        token, _ = accounts.sessions.token(user)
        value, session = accounts.sessions.open(user, accounts.users.writer.changed())
        assert accounts.sessions.by_cookie(value) == session
        await accounts.users.set_status(username="ann", status="disabled")
        assert refused(accounts, token) == "invalid_token"
        assert accounts.sessions.by_cookie(value) is None


async def test_sessions_end_by_themselves(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user = Later(accounts), await ann(accounts)
        idle, _ = accounts.sessions.open(user, accounts.users.writer.changed())
        used, _ = accounts.sessions.open(user, accounts.users.writer.changed())
        for _ in range(13):
            clock.later_us += IDLE_US // 2 + 1_000_000
            assert (accounts.sessions.by_cookie(used) is not None) is (clock.later_us < SESSION_US)
        assert accounts.sessions.by_cookie(idle) is None
        clock.later_us += IDLE_US
        assert accounts.sessions.by_cookie(used) is None
        accounts.sessions.open(user, accounts.users.writer.changed())
        assert len(accounts.sessions.sessions) == 1  # those that have ended take no room


async def test_sessions_outlive_a_restart_and_the_cookie_is_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        value, session = accounts.sessions.open(await ann(accounts), accounts.users.writer.changed())
        other, _ = accounts.sessions.open(accounts.directory.user("ann"), accounts.users.writer.changed())
        assert session.csrf and other != value
    assert value.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    async with opened(tmp_path / "db") as accounts:
        assert accounts.sessions.by_cookie(value) == session
        batch = accounts.users.writer.changed()
        accounts.sessions.close_cookie(value, batch)
        assert accounts.sessions.by_cookie(value) is None
        assert accounts.sessions.by_cookie(other) is not None
    async with opened(tmp_path / "db") as accounts:
        assert accounts.sessions.by_cookie(value) is None
        assert accounts.sessions.end_all(accounts.directory.user("ann"), accounts.users.writer.changed()) == 1
        assert accounts.sessions.by_cookie(other) is None


async def test_a_token_ends_as_quickly_beside_very_many_that_have_ended(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user, many = Later(accounts), await ann(accounts), accounts.sessions
        now = clock.wall_us() // 1_000_000
        many._until = [(now + 3600 + n // 1000, f"other{n}") for n in range(200_000)]  # a heap, as it is sorted
        many.ended = {id for _, id in many._until}
        tokens = [many.token(user)[0] for _ in range(100)]
        batch = accounts.users.writer.changed()
        with swift(0.4):  # some microseconds each; a tenth of a second where all are looked at
            for token in tokens:
                many.end_token(token, batch)
        assert len(many.ended) == 200_100 and refused(accounts, tokens[0]) == "invalid_token"


async def test_tokens_that_would_have_ended_are_forgotten_a_few_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user = Later(accounts), await ann(accounts)
        batch = accounts.users.writer.changed()
        for _ in range(FORGOTTEN + 50):
            accounts.sessions.end_token(accounts.sessions.token(user)[0], batch)
        clock.later_us = (TOKEN_S + 1) * 1_000_000
        for left in (50 + 1, 2, 3):
            batch = accounts.users.writer.changed()
            accounts.sessions.end_token(accounts.sessions.token(user)[0], batch)
            assert len(accounts.sessions.ended) == left
        await accounts.users.writer.durable(batch)
    async with opened(tmp_path / "db") as accounts:
        assert len(accounts.sessions.ended) == 3


async def test_an_account_has_only_so_many_sessions(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user = Later(accounts), await ann(accounts)
        await accounts.users.create(username="bob")
        other, _ = accounts.sessions.open(accounts.directory.user("bob"), accounts.users.writer.changed())
        values = []
        for _ in range(MOST_SESSIONS):
            clock.later_us += 1000
            values.append(accounts.sessions.open(user, accounts.users.writer.changed())[0])
        clock.later_us += 1000
        assert accounts.sessions.by_cookie(values[0])  # seen now: another one was seen the longest ago
        accounts.sessions.open(user, accounts.users.writer.changed())
        assert accounts.sessions.by_cookie(values[0]) and accounts.sessions.by_cookie(other)
        assert accounts.sessions.by_cookie(values[1]) is None
        batch = accounts.users.writer.changed()
        assert accounts.sessions.end_all(user, batch) == MOST_SESSIONS and accounts.sessions.by_cookie(other)
        await accounts.users.writer.durable(batch)
    async with opened(tmp_path / "db") as accounts:
        assert len(accounts.sessions.sessions) == 1


async def test_an_account_sees_its_browsers_and_ends_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as accounts:
        clock, user = Later(accounts), await ann(accounts)
        await accounts.users.create(username="bob")
        bob = accounts.directory.user("bob")
        sessions, entrance = accounts.sessions, accounts.entrance
        opened_here = [sessions.open(user, sessions.writer.changed()) for _ in range(3)]
        bobs, _ = sessions.open(bob, sessions.writer.changed())
        clock.later_us = 1000
        present = sessions.by_cookie(opened_here[1][0])
        assert present is not None
        clock.later_us = 2000
        assert sessions.by_cookie(opened_here[2][0]) is not None
        found = sessions.browsers(user.id, present)
        assert [browser.present for browser in found] == [True, False, False]
        assert [browser.seen_us for browser in found[1:]] == sorted((one.seen_us for one in found[1:]), reverse=True)
        assert len({browser.mark for browser in found}) == 3
        ids = [session.id.hex() for _, session in opened_here]
        assert not any(browser.mark in id for browser in found for id in ids)  # no part of what is kept
        (other,) = sessions.browsers(bob.id, None)
        for account, mark in ((user.id, other.mark), (user.id, "0" * 16), (bob.id, found[0].mark)):
            with pytest.raises(NotFound):
                await entrance.end_browser(account, mark)
        await entrance.end_browser(user.id, found[1].mark)
        assert sessions.by_cookie(opened_here[2][0]) is None
        token, _ = sessions.token(user)
        await entrance.end_others(user.id, present)
        assert sessions.by_cookie(opened_here[0][0]) is None
        assert refused(accounts, token) == "invalid_token"
        assert [browser.present for browser in sessions.browsers(user.id, present)] == [True]
        assert sessions.by_cookie(bobs) is not None
        clock.later_us = IDLE_US + 3000
        assert sessions.browsers(user.id, present) == []
    async with opened(tmp_path / "db") as accounts:
        assert len(accounts.sessions.sessions_of[user.id]) == 1  # as it was written
