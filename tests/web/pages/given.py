"""Services that a test puts in the place of those that a site of tests.web.fakes has."""

from typing import Any

from tests.web.fakes import Asking


def given_to(asking: Asking, **services: Any) -> None:
    """The pages of a site are served from these from now on. Its routes hold the one object Services, so its fields are
    changed and it is not replaced."""
    for name, service in services.items():
        assert hasattr(asking.site.pages.desk.services, name), name
        object.__setattr__(asking.site.pages.desk.services, name, service)
