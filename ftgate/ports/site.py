"""The seams between the site and what it shows: who has signed in, accounts and their keys."""

import msgspec


class Doer(msgspec.Struct, frozen=True):
    """Who changes something, for the audit: `id` is an account's, None on the command line; `via` api, session or
    cli."""

    id: int | None = None
    name: str = ""
    via: str = "cli"
    address: str = ""
    request_id: str = ""
