"""The metrics at `/metrics`, for who may see everything; they can have a port of their own instead."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gql_app.core.access import Scope
from gql_app.settings import Settings
from gql_app.web.gate import require


async def tell_metrics(request: Request) -> Response:
    """Tell the metrics as Prometheus reads them, or as OpenMetrics if the header Accept says so."""
    await require(request, Scope.ADMIN)
    body, media_type = request.state.application.instruments.metrics.expose(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})


def routes(settings: Settings) -> list[BaseRoute]:
    """Tell the address, if the metrics are told here."""
    return [Route("/metrics", tell_metrics)] if settings.metrics_port is None else []
