"""The first run (ports.site.FirstRun): who may make the first operator, by a link that a start prints.

The link holds 256 random bits, of which only the hash is kept. It is good for SETUP_S from the start, for one account,
and for as long as there is no operator who can sign in: however one comes to be, the link ends with it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable

import trio

from ftgate.accounts.directory import Directory
from ftgate.accounts.users import Users, password_fits
from ftgate.errors import NotFound
from ftgate.ports import Clock, SiteSettings
from ftgate.ports.site import Doer

SETUP_S = 1800.0
"""How long the link is good, from the start."""


class FirstRun:
    """One of each start. `site` are the site's settings in force."""

    def __init__(self, directory: Directory, users: Users, clock: Clock, site: Callable[[], SiteSettings]) -> None:
        self.directory = directory
        self.users = users
        self.clock = clock
        self.site = site
        self._hash: bytes | None = None
        self._until = 0.0
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<FirstRun {'needed' if self.needed() else 'over'}>"

    def needed(self) -> bool:
        """As ports.site.FirstRun says."""
        users = self.directory.users.values()
        return not any(u.role == "admin" and u.status == "active" and u.password.reveal() for u in users)

    def issue(self) -> str | None:
        """The token of a new link, whose time begins now; None where there is an operator."""
        if not self.needed():
            return None
        token = secrets.token_urlsafe(32)
        self._hash, self._until = _hash(token), self.clock.now() + SETUP_S
        return token

    def check(self, token: str) -> None:
        """As ports.site.FirstRun says."""
        if not self.needed():
            raise NotFound("This gateway has an operator already: sign in")
        late = self._hash is not None and self.clock.now() >= self._until
        if self._hash is None or late or not hmac.compare_digest(_hash(token), self._hash):
            raise NotFound(
                "This link is not the one that the last start printed, or its 30 minutes are over. Start ftgate again "
                "for another one, or run `ftgate users create NAME --admin --password -`"
            )

    async def make(self, token: str, username: str, password: str, *, metered: bool, by: Doer) -> None:
        """As ports.site.FirstRun says."""
        async with self._turn:  # of two who come with the link one makes an account
            self.check(token)
            password_fits(password, max(self.site().password_min, 1))
            await self.users.make(
                username, by=by, password=password, role="admin", mode="metered" if metered else "",
                unless=lambda: self.check(token),
            )  # fmt: skip
            self._hash = None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
