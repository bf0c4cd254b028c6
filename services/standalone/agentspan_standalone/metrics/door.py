"""/metrics: for Prometheus, and for nothing that a web page can be.

It asks nobody who they are, as no door here does; who may reach it is a matter of ports and of the network in front.
"""

from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agentspan_doors import DoorError, problem_response
from agentspan_standalone.metrics.exposition import TEXT, Sample, exposed

PATH = "/metrics"


def router(samples: Callable[[], Awaitable[Iterable[Sample]]]) -> APIRouter:
    """The door."""
    api = APIRouter(tags=["health"])

    @api.get(PATH, summary="What Prometheus scrapes", response_class=Response)
    async def metrics() -> Response:
        """In Prometheus's text format; docs/metrics.md says what each metric means."""
        return Response(exposed(await samples()), media_type=TEXT)

    return api


class OnItsOwnPort:
    """ASGI middleware: this port has /metrics and nothing else, and no other port has it.

    Who may scrape need not be let in where one may approve.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] == PATH) != (_port(scope) == self._port):
            what = f"{scope['path']!r} is not on this port; {PATH} is on {self._port}, and nothing else"
            await problem_response(DoorError(404, "unknown_path", what).problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _port(scope: Scope) -> int | None:
    server = scope.get("server")
    return server[1] if server else None
