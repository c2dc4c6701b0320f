"""What the process counts, for Prometheus."""

from quart import Blueprint, Response

from ftgate.web.asking import Guard
from ftgate.web.services import Services

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    metrics = services.metrics

    @routes.get("/metrics")
    async def counted() -> Response:
        await guard.metrics()
        return Response(metrics.text(), content_type=TEXT)
