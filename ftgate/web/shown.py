"""What several routes show alike."""

from ftgate.web.services import Services


async def self_of(services: Services, account: int) -> dict[str, object]:
    """An account as SELF shows it."""
    made = (await services.journal.requests_of([account]))[account]
    return {**services.people.self_of(account), "requestCount": str(made)}
