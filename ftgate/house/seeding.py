"""A house filled with a made-up history: users with a key each, and their calls up to now (store/seeding.py)."""

from typing import Any, Protocol

from ftgate.errors import InvalidRequest
from ftgate.house.house import House
from ftgate.store.seeding import calls, seed
from ftgate.store.writer import Writer

PASSWORD = "seedseed"
CREDITS = "100000"
"""USD of each seeded account: more than a history of ten million calls costs it."""
_SAME_PASSWORD = "UPDATE users SET password = (SELECT password FROM users WHERE id = ?) WHERE id = ?"


class Makes(Protocol):
    """Users and keys, as commands make them."""

    @property
    def users(self) -> Any: ...

    @property
    def keys(self) -> Any: ...


async def fill(house: House[Any], makes: Makes, *, requests: int, users: int, days: float, rand: int) -> dict[str, Any]:
    """Users u1, u2, ... and so many settled requests of theirs over these days; the users with their keys. Raises
    InvalidRequest where a name is taken, DatabaseFault."""
    if not isinstance(house.writer, Writer):
        raise InvalidRequest("a made-up history goes into a file only: take a data directory without database.url")
    made: list[dict[str, str]] = []
    owners: list[tuple[int, int]] = []
    for number in range(1, users + 1):
        # One hash of the password serves all: a thousand of them would take minutes.
        first = not made
        user = await makes.users.create(username=f"u{number}", credits=CREDITS, password=PASSWORD if first else None)
        key = await makes.keys.create(username=f"u{number}", name="seed")
        made.append({"username": f"u{number}", "key": str(key["key"])})
        owners.append((int(user["id"]), int(key["id"])))
        if not first:
            house.writer.changed().statements.append((_SAME_PASSWORD, (owners[0][0], owners[-1][0])))
    history = calls(requests, owners, days=days, now_us=house.clock.wall_us(), rand=rand)
    assert isinstance(house.writer, Writer)  # a history is made up in a file alone
    return {"requests": await seed(house.books, house.writer, history), "users": made}
