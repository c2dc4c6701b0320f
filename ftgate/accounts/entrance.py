"""Signing up, logging in and out, and the change of one's own password (ports.Entrance).

An answer does not tell whether a name exists: an unknown name, a wrong password and an account without one are refused
in the same words and after the same work.
"""

from collections.abc import Callable

from ftgate.accounts.directory import Directory, User
from ftgate.accounts.passwords import Hasher, is_weak
from ftgate.accounts.pending import turn, written
from ftgate.accounts.sessions import REFRESH_S, SignedIn
from ftgate.accounts.throttles import KNOWN_US, Throttles, Try
from ftgate.accounts.users import OWNER, Users, password_fits
from ftgate.core.accounts import CHOSEN_NAME, CHOSEN_NAME_WORDS
from ftgate.core.secret import Secret
from ftgate.core.throttle import neighbourhood
from ftgate.errors import Conflict, Forbidden, InvalidRequest, NotAuthenticated, Overloaded
from ftgate.ports import Clock, SiteSettings
from ftgate.ports.site import Doer, Entered, Session
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes

RESERVED = frozenset((OWNER, "admin", "administrator", "root", "system", "operator", "support", "ftgate", "stripe"))
WRONG = "Wrong username or password"


class Entrance:
    """`site` are the site's settings in force."""

    def __init__(
        self, directory: Directory, users: Users, sessions: SignedIn, throttles: Throttles, hasher: Hasher,
        writer: Changes, clock: Clock, site: Callable[[], SiteSettings],
    ) -> None:  # fmt: skip
        self.directory = directory
        self.users = users
        self.sessions = sessions
        self.throttles = throttles
        self.hasher = hasher
        self.writer = writer
        self.clock = clock
        self.site = site

    def check_open(self) -> None:
        """As ports.Entrance says."""
        if self.site().registration == "closed":
            raise Forbidden("Registration is closed: ask the operator for an account", code="registration_closed")

    async def register(
        self, *, username: str, password: str, email: str, name: str, invite_code: str | None, by: Doer
    ) -> Entered:
        """As ports.Entrance says."""
        self.check_open()
        site, address = self.site(), by.address
        password_fits(password, site.password_min)
        if not CHOSEN_NAME.fullmatch(username):
            raise InvalidRequest(CHOSEN_NAME_WORDS, param="username")
        with self.throttles.sign_up(address):
            inviter = self.users.by_code(invite_code) if invite_code else None
            if inviter is None and (invite_code or site.registration == "invite"):
                raise Forbidden(
                    "The invite code is missing or holds no more", code="invalid_invite_code", param="inviteCode"
                )
            self._check_free(username)
            hashed = await self.hasher.hash(password, username.lower(), neighbourhood(address), known=False)
            await turn(self.writer)
            self._check_free(username)  # another one may have come meanwhile
            user, batch = self.users.open(
                username, by=by, hashed=hashed, name=name, email=email, credits=site.signup_credits,
                invited_by=inviter.id if inviter else None, kind="sign-up credits",
            )  # fmt: skip
        self._seen(user, address, batch)
        await self._written(batch, user)
        return self._entered(user)

    def _check_free(self, username: str) -> None:
        if username.lower() in RESERVED or username.lower() in self.directory.by_name:
            raise Conflict(f"The username {username!r} is taken", code="username_taken", param="username")

    async def login(self, *, username: str, password: str, address: str) -> Entered:
        """As ports.Entrance says."""
        user, batch = await self._proven(username, password, address)
        await self._written(batch, user)
        return self._entered(user)

    async def open_session(
        self, *, username: str, password: str, address: str, replacing: str | None
    ) -> tuple[str, Session]:
        """As ports.Entrance says."""
        user, batch = await self._proven(username, password, address)
        if replacing:
            self.sessions.close_cookie(replacing, batch)
        opened = self.sessions.open(user, batch)
        await self._written(batch, user)
        return opened

    async def _proven(self, username: str, password: str, address: str) -> tuple[User, Batch]:
        """The account whose name and password these are, and a batch to write it down with. Raises NotAuthenticated,
        Forbidden for a disabled one, RateLimited, Overloaded."""
        user = self.directory.by_name.get(username.lower())
        tried = self._try(username, user, address)
        kept = user.password if user else Secret("")
        right = await self._fits(password, kept, tried, known=tried.known)
        stronger = Secret(await self.hasher.hash(password)) if right and is_weak(kept.reveal()) else None
        if user is None or not right or user.password is not kept:  # it may have been changed meanwhile
            raise NotAuthenticated(WRONG, code="invalid_credentials")
        tried.succeeded()
        if user.status != "active":
            raise Forbidden("This account is disabled: ask the operator", code="account_disabled")
        await turn(self.writer)
        if user.password is not kept or user.status != "active":
            raise NotAuthenticated(WRONG, code="invalid_credentials")
        batch = self.writer.changed()
        if stronger is not None:
            user.password = stronger
            batch.statements.append(("UPDATE users SET password = ? WHERE id = ?", (user.password.reveal(), user.id)))
        self._seen(user, address, batch)
        return user, batch

    async def _fits(self, password: str, kept: Secret, tried: Try, *, known: bool) -> bool:
        """Whether it is the password of that hash. Raises Overloaded, and then it was no guess."""
        try:
            return await self.hasher.verify(password, kept.reveal(), tried.name, tried.at, known=known)
        except Overloaded:
            tried.put_off()
            raise

    def _try(self, username: str, user: User | None, address: str) -> Try:
        at = neighbourhood(address)
        seen_at = self.directory.logins.get((user.id, at)) if user else None
        known = seen_at is not None and self.clock.wall_us() - seen_at < KNOWN_US
        return self.throttles.login(username, address, known=known)

    def _seen(self, user: User, address: str, batch: Batch) -> None:
        """It has logged in, from there."""
        now, at = self.clock.wall_us(), neighbourhood(address)
        user.last_login_at_us = self.directory.logins[user.id, at] = now
        batch.statements.append(("UPDATE users SET last_login_at_us = ? WHERE id = ?", (now, user.id)))
        batch.statements.append(
            (
                "INSERT INTO logins (account, address, at_us) VALUES (?, ?, ?)"
                " ON CONFLICT (account, address) DO UPDATE SET at_us = excluded.at_us",
                (user.id, at, now),
            )
        )

    async def refresh(self, token: str) -> Entered:
        """As ports.Entrance says."""
        claims = self.sessions.claims(token)
        if claims.auth_time + REFRESH_S <= self.clock.wall_us() // 1_000_000:
            raise NotAuthenticated("Log in again: the password was given 30 days ago", code="token_expired")
        user = self.directory.users[int(claims.sub)]
        self.throttles.account("refresh", user.id)
        await turn(self.writer)
        batch = self.writer.changed()
        self.sessions.end_token(token, batch)
        await self._written(batch, user)
        return self._entered(user, claims.auth_time)

    async def logout(self, account: int, *, token: str | None, session: Session | None, all: bool) -> None:
        """As ports.Entrance says."""
        await turn(self.writer)
        user, batch = self.directory.users[account], self.writer.changed()
        if all:
            self.sessions.end_all(user, batch)
        elif token is not None:
            self.sessions.end_token(token, batch)
        elif session is not None:
            self.sessions.close(session.id, batch)
        await self._written(batch, user)

    async def end_browser(self, account: int, mark: str) -> None:
        """As ports.Entrance says."""
        await turn(self.writer)
        id = self.sessions.marked(account, mark)
        user, batch = self.directory.users[account], self.writer.changed()
        self.sessions.close(id, batch)
        await self._written(batch, user)

    async def end_others(self, account: int, session: Session) -> None:
        """As ports.Entrance says."""
        await turn(self.writer)
        user, batch = self.directory.users[account], self.writer.changed()
        self.sessions.end_all(user, batch, but=session.id)
        await self._written(batch, user)

    async def change_password(
        self, account: int, *, current: str, new: str, by: Doer, browser: bool
    ) -> Entered | tuple[str, Session]:
        """As ports.Entrance says."""
        password_fits(new, self.site().password_min, "newPassword")
        user = self.directory.users[account]
        tried, kept = self._try(user.username, user, by.address), user.password
        if not await self._fits(current, kept, tried, known=True):
            raise NotAuthenticated("Wrong current password", code="invalid_credentials")
        tried.succeeded()
        await self.users.set_password(user, new, by, instead_of=kept)
        if not browser:
            return self._entered(user)
        await turn(self.writer)
        batch = self.writer.changed()
        opened = self.sessions.open(user, batch)
        await self._written(batch, user)
        return opened

    def _entered(self, user: User, auth_time: int | None = None) -> Entered:
        token, until_us = self.sessions.token(user, auth_time)
        return Entered(user.id, token, until_us)

    async def _written(self, batch: Batch, user: User) -> None:
        await written(self.writer, batch, f"what {user.username} asked for", "repeat it")
