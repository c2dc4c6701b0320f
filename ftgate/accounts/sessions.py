"""Who has signed in: login tokens (JWT) for programs and sessions with a cookie for browsers.

A token says whose it is and until when, nothing else that counts: role and status are looked up each time. Whose: the
account's number and when the account was made, since after a restore another one may come by the number. It ends with
its time, when it is logged out (its `jti` is remembered until it would have ended), or with all others of its account
(`gen` counts those turns). A session is 256 random bits in a cookie, of which only the hash is kept.
"""

import hashlib
import heapq
import hmac
import re
import secrets
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from ftgate.accounts.directory import Directory, User
from ftgate.errors import NotAuthenticated, NotFound
from ftgate.ports import Clock
from ftgate.ports.site import Browser, Person, Session
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes
from ftgate.store.source import Connection

ISSUER = "ftgate"
HEADER = {"alg": "HS256", "typ": "JWT"}
"""The only head of a token that is taken: one that names another algorithm, a key or an extension is none of ours."""
TOKEN_S = 7 * 86_400
REFRESH_S = 30 * 86_400
"""How long a token can be renewed after the password was given."""
SESSION_US = 7 * 86_400 * 1_000_000
IDLE_US = 86_400 * 1_000_000
SEEN_EVERY_US = 600 * 1_000_000
"""How often a session that is in use is written down as that."""
MOST_SESSIONS = 100
"""Sessions that one account may have: past that the one which was seen the longest ago ends."""
FORGOTTEN = 100
"""How many that have ended by themselves are forgotten whenever one is added: more than one, so that they become
fewer, and few, so that nobody waits for it."""
_ID = re.compile(r"[1-9][0-9]{0,17}")
ENDED = "This login token has ended or is none of ours: sign in again"


class Kept(msgspec.Struct):
    """A session as it is kept. Times in microseconds since 1970."""

    account: int
    created_at_us: int
    seen_at_us: int
    written_at_us: int


class Claims(msgspec.Struct, frozen=True):
    """What a token that holds says. Times in seconds since 1970, but `made`, when its account was, in microseconds;
    `auth_time` is when the password was given."""

    sub: str
    exp: int
    jti: str
    gen: int
    made: int
    auth_time: int


SESSIONS = "SELECT id, account, created_at_us, seen_at_us FROM sessions"
ENDED_TOKENS = "SELECT until_s, id FROM ended_tokens"


class SignedIn:
    """ports.Sessions over the directory. `secret` is the server's (house.server_key)."""

    def __init__(self, directory: Directory, writer: Changes, clock: Clock, secret: bytes) -> None:
        self.directory = directory
        self.writer = writer
        self.clock = clock
        self.sessions: dict[bytes, Kept] = {}  # the oldest first
        self.sessions_of: dict[int, dict[bytes, Kept]] = {}  # the same, of each account
        self.ended: set[str] = set()  # jti of each token that was ended
        self._until: list[tuple[int, str]] = []  # a heap of their exp and jti
        self._signing = derived(secret, "login token")
        self._csrf = derived(secret, "csrf")

    def __repr__(self) -> str:
        return f"<SignedIn {len(self.sessions)} sessions, {len(self.ended)} tokens ended>"

    def load(self, connection: Connection) -> None:
        """Read what holds still, also once more."""
        self.sessions.clear()
        self.sessions_of.clear()
        for row in connection.execute(f"{SESSIONS} ORDER BY created_at_us"):
            self.renew(row)
        self._until = connection.execute(ENDED_TOKENS).fetchall()
        heapq.heapify(self._until)
        self.ended = {id for _, id in self._until}

    def renew(self, row: Sequence[Any]) -> None:
        """A session as it is kept: a row of SESSIONS."""
        id, account, created, seen = row
        self._keep(bytes(id), Kept(account, created, seen, seen))

    def gone(self, id: bytes) -> None:
        """A session has ended at another gateway."""
        self.close(id, Batch())

    def ended_elsewhere(self, until_s: int, id: str) -> None:
        """A token was ended at another gateway: a row of ENDED_TOKENS."""
        if id not in self.ended:
            self.ended.add(id)
            heapq.heappush(self._until, (until_s, id))

    # Tokens

    def token(self, user: User, auth_time: int | None = None) -> tuple[str, int]:
        """A new token, and when it ends (microseconds since 1970). `auth_time`: of the one that it renews."""
        import jwt

        now = self.clock.wall_us() // 1_000_000
        claims = {
            "iss": ISSUER, "sub": str(user.id), "iat": now, "exp": now + TOKEN_S, "jti": secrets.token_urlsafe(16),
            "auth_time": now if auth_time is None else auth_time, "gen": user.generation, "made": user.created_at_us,
        }  # fmt: skip
        return jwt.encode(claims, self._signing, algorithm="HS256"), (now + TOKEN_S) * 1_000_000

    def claims(self, token: str) -> Claims:
        """What a token says that holds now. Raises NotAuthenticated."""
        import jwt

        try:
            if jwt.get_unverified_header(token) != HEADER:
                raise NotAuthenticated(ENDED, code="invalid_token")
            said: dict[str, Any] = jwt.decode(
                token, self._signing, algorithms=["HS256"], issuer=ISSUER,
                options={"require": ["iss", "sub", "iat", "exp", "jti"], "verify_exp": False, "verify_iat": False},
            )  # fmt: skip
            found = msgspec.convert(said, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            raise NotAuthenticated(ENDED, code="invalid_token") from None
        user = self.directory.users.get(int(found.sub)) if _ID.fullmatch(found.sub) else None
        if (
            user is None or user.status != "active" or found.gen != user.generation or found.jti in self.ended
            or found.made != user.created_at_us
        ):  # fmt: skip
            raise NotAuthenticated(ENDED, code="invalid_token")
        if found.exp <= self.clock.wall_us() // 1_000_000:
            raise NotAuthenticated("This login token has expired: sign in again", code="token_expired")
        return found

    def by_token(self, token: str) -> Person:
        """As ports.Sessions says."""
        return self.person(int(self.claims(token).sub))

    def end_token(self, token: str, batch: Batch) -> None:
        """It holds no more, from now on and after a restart. Raises NotAuthenticated."""
        found = self.claims(token)
        now = self.clock.wall_us() // 1_000_000
        for _ in range(FORGOTTEN):
            if not self._until or self._until[0][0] > now:
                break
            _, old = heapq.heappop(self._until)
            self.ended.discard(old)
            batch.statements.append(("DELETE FROM ended_tokens WHERE id = ?", (old,)))
        self.ended.add(found.jti)
        heapq.heappush(self._until, (found.exp, found.jti))
        batch.statements.append(
            ("INSERT INTO ended_tokens (id, until_s) VALUES (?, ?) ON CONFLICT DO NOTHING", (found.jti, found.exp))
        )

    # Sessions

    def open(self, user: User, batch: Batch) -> tuple[str, Session]:
        """A new session: the cookie's value, which is shown this once, and what it is."""
        value = secrets.token_urlsafe(32)
        id, now = _hash(value), self.clock.wall_us()
        self._make_room(user.id, batch)
        self._keep(id, Kept(user.id, now, now, now))
        batch.statements.append(
            ("INSERT INTO sessions (id, account, created_at_us, seen_at_us) VALUES (?,?,?,?)", (id, user.id, now, now))
        )
        return value, Session(id, self.person(user.id), self._csrf_of(id))

    def by_cookie(self, value: str) -> Session | None:
        """As ports.Sessions says."""
        id, now = _hash(value), self.clock.wall_us()
        kept = self.sessions.get(id)
        if kept is None or not self._holds(kept, now):
            return None
        kept.seen_at_us = now
        if now - kept.written_at_us > SEEN_EVERY_US:
            kept.written_at_us = now
            self.writer.changed().statements.append(("UPDATE sessions SET seen_at_us = ? WHERE id = ?", (now, id)))
        return Session(id, self.person(kept.account), self._csrf_of(id))

    def _holds(self, kept: Kept, now: int) -> bool:
        user = self.directory.users.get(kept.account)
        recent = now - kept.created_at_us < SESSION_US and now - kept.seen_at_us < IDLE_US
        return recent and user is not None and user.status == "active"

    def close(self, id: bytes, batch: Batch) -> None:
        """End one session."""
        if (kept := self.sessions.pop(id, None)) is not None:
            mine = self.sessions_of[kept.account]
            del mine[id]
            if not mine:
                del self.sessions_of[kept.account]
            batch.statements.append(("DELETE FROM sessions WHERE id = ?", (id,)))

    def close_cookie(self, value: str, batch: Batch) -> None:
        """End the session of a cookie, if it is one of ours."""
        self.close(_hash(value), batch)

    def browsers(self, account: int, present: Session | None) -> list[Browser]:
        """As ports.Sessions says."""
        now, own = self.clock.wall_us(), present.id if present is not None else b""
        found = [
            Browser(_mark(id), kept.created_at_us, kept.seen_at_us, id == own)
            for id, kept in self.sessions_of.get(account, {}).items()
            if self._holds(kept, now)
        ]
        return sorted(found, key=lambda browser: (not browser.present, -browser.seen_us))

    def marked(self, account: int, mark: str) -> bytes:
        """The session of an account that a mark names. Raises NotFound."""
        found = next((id for id in self.sessions_of.get(account, {}) if _mark(id) == mark), None)
        if found is None:
            raise NotFound("No such browser is signed in any more")
        return found

    def end_all(self, user: User, batch: Batch, *, but: bytes = b"") -> int:
        """End every token of an account, and every session `but` one; how many sessions that were which held."""
        user.generation += 1
        now = self.clock.wall_us()
        mine = self.sessions_of.get(user.id, {}).items()
        gone = {id: self._holds(kept, now) for id, kept in mine if id != but}
        for id in gone:
            self.close(id, batch)
        batch.statements.append(("UPDATE users SET generation = ? WHERE id = ?", (user.generation, user.id)))
        return sum(gone.values())

    def _keep(self, id: bytes, kept: Kept) -> None:
        self.sessions[id] = self.sessions_of.setdefault(kept.account, {})[id] = kept

    def _make_room(self, account: int, batch: Batch) -> None:
        """For one more of this account. Those that have ended by themselves take none: of its own, and of all others
        the oldest."""
        now = self.clock.wall_us()
        mine = self.sessions_of.get(account, {})
        gone = [id for id, kept in mine.items() if not self._holds(kept, now)]
        for id, kept in islice(self.sessions.items(), FORGOTTEN):
            if now - kept.created_at_us < SESSION_US:
                break
            gone.append(id)
        for id in gone:
            self.close(id, batch)
        if len(mine) >= MOST_SESSIONS:
            self.close(min(mine, key=lambda id: mine[id].seen_at_us), batch)

    def _csrf_of(self, id: bytes) -> str:
        """A session's proof, made of it: it need not be kept."""
        return hmac.new(self._csrf, id, "sha256").hexdigest()[:43]

    def person(self, account: int) -> Person:
        """As ports.Sessions says."""
        user = self.directory.users[account]
        return Person(user.id, user.username, user.role, user.plan)


def derived(secret: bytes, use: str) -> bytes:
    """A key for one use alone."""
    return hmac.new(secret, use.encode(), "sha256").digest()


def _mark(id: bytes) -> str:
    """What names a session to its account: nothing can be done with it but ending that one."""
    return hashlib.sha256(b"mark" + id).hexdigest()[:16]


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()
