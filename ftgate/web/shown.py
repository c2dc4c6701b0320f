"""What several routes show alike."""

from collections.abc import Mapping, Sequence

from ftgate.web.services import Services


async def self_of(services: Services, account: int) -> dict[str, object]:
    """An account as SELF shows it."""
    made = (await services.journal.requests_of([account]))[account]
    return {**services.people.self_of(account), "requestCount": str(made)}


async def with_requests(services: Services, users: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Accounts with the numbers of their requests, as ACCOUNT shows them."""
    made = await services.journal.requests_of([int(str(user["id"])) for user in users])
    return [{**user, "request_count": made[int(str(user["id"]))]} for user in users]
