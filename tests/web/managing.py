"""Accounts, credits and records (ports.managing), and keys (ports.site.KeyRing), that remember what the site asked of
them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ftgate.errors import NotFound
from ftgate.ports.site import Rows

THERE = 5
"""The one id that is there."""


def there(id: int) -> int:
    if id != THERE:
        raise NotFound(f"nothing with the id {str(id)!r}")
    return id


class Managed:
    """ports.managing.Users, Credits and Records. `asked` is what came, without who asks; `by`
    is who did last."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.by: Any = None
        self.more: dict[str, object] | None = None
        """What else an account says; None: its id alone."""

    def _note(self, what: str, *values: Any, by: Any = None) -> None:
        self.asked.append((what, *values))
        self.by = by or self.by

    # Users, and what keys have like them

    async def page(self, **wanted: Any) -> Rows:
        self._note("page", None, wanted)
        return [{"id": "5"}], 9, 5

    def shown(self, id: int, account: int | None = None) -> dict[str, object]:
        return (
            {"id": str(there(id)), "username": f"user{id}", **self.more}
            if self.more is not None
            else {"id": str(there(id))}
        )

    async def make(self, username: str, fields: Mapping[str, object], by: Any) -> dict[str, object]:
        self._note("make", username, dict(fields), by=by)
        return {"id": "5"}

    async def change(self, id: int, *said: Any) -> dict[str, object]:
        *_, fields, by = said
        self._note("change", there(id), dict(fields), by=by)
        return {"id": "5"}

    async def delete(self, id: int, account: int | None, by: Any) -> None:
        self._note("delete", there(id), account, by=by)

    async def set_password(self, id: int, password: str | None, by: Any) -> str | None:
        self._note("password", there(id), password, by=by)
        return "made" if password is None else None

    async def logout(self, id: int, by: Any) -> int:
        self._note("logout", there(id), by=by)
        return 2

    # Credits

    def account(self, username: str) -> int:
        if username != "ann":
            raise NotFound(f"no user named {username!r}")
        return THERE

    async def granted(self, account: int, units: int, *, note: str, ref: str | None, by: Any) -> dict[str, object]:
        self._note("granted", there(account), units, note, ref, by=by)
        return {"ref": ref}

    async def corrected(self, account: int, units: int, *, note: str, ref: str | None, by: Any) -> dict[str, object]:
        self._note("corrected", there(account), units, note, ref, by=by)
        return {"ref": ref}

    # Records

    async def acts(self, wanted: Any, *, after: int | None, skipped: int, size: int) -> Rows:
        self._note("acts", wanted, after, skipped, size)
        return [{"id": "5"}], 9, 5

    async def entries(self, wanted: Any, *, after: int | None, skipped: int, size: int) -> Rows:
        self._note("entries", wanted, after, skipped, size)
        return [], 0, None

    async def export(self, account: int | None, form: str) -> AsyncIterator[bytes]:
        self._note("export", account, form)
        for piece in (b"one\n", b"two\n"):
            yield piece

    async def verify(self) -> Mapping[str, object]:
        self._note("verify")
        return {"ok": True}


class Ring(Managed):
    """ports.site.KeyRing that remembers with these."""

    def __init__(self, managed: Managed) -> None:
        self.asked = managed.asked

    async def page(self, account: int | None, **wanted: Any) -> Any:  # type: ignore[override]
        self._note("page", account, wanted)
        return [{"id": "5"}], 9, 5

    def _note(self, what: str, *values: Any, by: Any = None) -> None:
        self.asked.append((what, *values))
