"""How many requests there are, of which kind, and how long each waits for its answer: told to whoever counts.

Apart from the doors, which know nothing of it. A stream is answered when it begins: how long it is open says nothing.
"""

from collections.abc import Callable
from typing import Protocol

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
OTHER = "other"
"""Stands for a method or a path that nobody has: as labels, what anybody may send would grow without end."""


class Requests(Protocol):
    """Whoever counts."""

    in_progress: int
    """Requests that are being answered."""

    def answered(self, method: str, route: str, status: int, took: float) -> None:
        """A request to a route's template was answered, after so many seconds; status 0: never, as its client left."""
        ...


class Measured:
    """ASGI middleware. Outside of the guard, as what is refused counts too."""

    def __init__(self, app: ASGIApp, requests: Requests, clock: Callable[[], float]) -> None:
        self._app = app
        self._requests = requests
        self._clock = clock
        self._plain: dict[object, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, clock, requests, status, took = self._clock(), self._clock, self._requests, 0, 0.0

        async def sending(message: Message) -> None:
            nonlocal status, took
            if status == 0 and message["type"] == "http.response.start":
                status, took = message["status"], clock() - began
            await send(message)

        requests.in_progress += 1
        try:
            await self._app(scope, receive, sending)
        finally:
            requests.in_progress -= 1
            method = scope["method"] if scope["method"] in METHODS else OTHER
            requests.answered(method, self._route_of(scope), status, took if status else clock() - began)

    def _route_of(self, scope: Scope) -> str:
        """The template of the path, as `/api/v1/executions/{execution_id}`."""
        if (route := scope.get("route")) is not None:
            return getattr(route, "path", OTHER)
        # of a plain route among its own, as the pages are, FastAPI says only which function answers
        if (endpoint := scope.get("endpoint")) is None:
            return OTHER
        if endpoint not in self._plain:
            routes = scope["app"].router.routes
            self._plain |= {each.endpoint: each.path for each in routes if isinstance(each, Route)}
        return self._plain.get(endpoint, OTHER)
