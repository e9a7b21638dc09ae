"""`/metrics` in the Prometheus text format, from memory."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rotator.telemetry.exposition import CONTENT_TYPE


def route(render: Callable[[], bytes]) -> Route:
    """`render` is called in the thread of the web server, one scrape at a time."""

    async def metrics(request: Request) -> Response:
        return Response(render(), media_type=CONTENT_TYPE)

    return Route("/metrics", metrics, methods=["GET"])
