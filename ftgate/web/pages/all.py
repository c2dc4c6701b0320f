"""All pages, and how what goes wrong in one is shown."""

from quart import Blueprint, Response, request

from ftgate.errors import GateError
from ftgate.web.asking import Guard
from ftgate.web.pages import (
    billing,
    byok,
    calls,
    connect,
    docs,
    entering,
    keys,
    operate,
    overview,
    playground,
    prices,
    profile,
    setup,
    statics,
)
from ftgate.web.pages.desk import Desk
from ftgate.web.services import Services

NAME = "pages"
"""The blueprint's; an error on one of its routes is answered with a page."""
PAGES = (
    billing,
    byok,
    calls,
    connect,
    docs,
    entering,
    keys,
    playground,
    prices,
    profile,
    setup,
    *operate.PAGES,
)


class Pages:
    """The dashboard."""

    def __init__(self, guard: Guard, services: Services) -> None:
        self.desk = desk = Desk(guard, services)
        self.routes = routes = Blueprint(NAME, __name__)
        statics.add(routes, desk.statics)
        for page in PAGES:
            name = page.__name__.removeprefix("ftgate.web.pages.").replace(".", "_")
            own = Blueprint(name, page.__name__)  # so that pages may name routes alike
            page.add(own, desk)
            routes.register_blueprint(own)

    async def start(self) -> Response:
        """The page at the root."""
        return await overview.start(self.desk)

    def is_page(self) -> bool:
        """Whether the request came to a page of ours, or to nowhere from somebody who wants a page."""
        if NAME in request.blueprints:
            return True
        return (request.url_rule is None or request.path == "/") and wants_page()

    def refused(self, error: GateError) -> Response:
        """Why there is no page."""
        return self.desk.refused(error, self.desk.visitor())


def wants_page() -> bool:
    """Whether this is a browser that opens an address."""
    return (
        request.method in ("GET", "HEAD")
        and request.accept_mimetypes.best_match(["application/json", "text/html"], default="application/json")
        == "text/html"
    )
