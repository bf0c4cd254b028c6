"""An application of any set of services: their routers, the shared errors, the guard, one OpenAPI document."""

from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from importlib.metadata import version
from inspect import isawaitable
from time import perf_counter

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan_doors import problems
from agentspan_doors.astray import on_http_exception
from agentspan_doors.guard import LOOPBACK, Guard
from agentspan_doors.head import without_body
from agentspan_doors.measured import Measured, Requests
from agentspan_doors.openapi import Document, PlainDoor, completed
from agentspan_doors.table import RouteTable
from agentspan_doors.unforeseen import Unforeseen
from agentspan_schemas import TooLarge


class Application(FastAPI):
    """FastAPI, with plain routes beside its own, and a document that has both.

    Every execution passes the plain routes. They come first and past FastAPI's own layers, which took as long as the
    routes themselves; what was added with `add_middleware` stands before them as before all others.
    """

    plain: tuple[PlainDoor, ...] = ()
    plain_routes: tuple[Route, ...] = ()
    roles: tuple[str, ...] = ()
    """Of its process, where those are not all: what is not here has its door in another."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        found = self._table.find(scope["method"], scope["path"]) if is_http else None
        if is_http and scope["method"] == "HEAD":
            send = without_body(scope, send)
            if found is None:
                scope["method"] = "GET"
        if found is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"], (scope["route"], scope["path_params"]) = self, found
        await self._plain_stack(scope, receive, send)

    @cached_property
    def _table(self) -> RouteTable:
        return RouteTable(self.plain_routes)

    @cached_property
    def _plain_stack(self) -> ASGIApp:
        stack: ASGIApp = self._to_route
        for middleware in reversed(self.user_middleware):
            stack = middleware.cls(stack, *middleware.args, **middleware.kwargs)
        return stack

    async def _to_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await scope["route"].app(scope, receive, send)
        except Exception as error:
            found = (self.exception_handlers.get(kind) for kind in type(error).__mro__)
            handler = next(filter(None, found), None)
            if handler is None:
                raise
            said = handler(Request(scope, receive), error)
            response = await said if isawaitable(said) else said
            await response(scope, receive, send)

    def openapi(self) -> Document:
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi(), self.plain)
        return self.openapi_schema


def create_app(
    routers: Iterable[APIRouter],
    *,
    plain: Iterable[PlainDoor] = (),
    plain_routes: Iterable[Route] = (),
    hosts: Collection[str] = LOOPBACK,
    named: bool = False,
    by_address: Collection[str] = (),
    requests: Requests | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Application:
    """The application. Errors of every kind leave it as problems.

    `plain` describes the `plain_routes`; `named`: a write must say who calls; `by_address`: as the guard says;
    `requests` counts them.
    """
    app = Application(
        title="Agentspan",
        version=version("agentspan"),
        description="Durable AI agents with humans in the loop.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.plain, app.plain_routes = tuple(plain), tuple(plain_routes)
    app.add_middleware(Unforeseen)
    app.add_middleware(Guard, hosts=hosts, named=named, by_address=by_address)
    if requests is not None:
        app.add_middleware(Measured, requests=requests, clock=clock)
    app.add_exception_handler(problems.DoorError, problems.on_door_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(OutcomeUnknown, _on_outcome_unknown)
    app.add_exception_handler(TooLarge, _on_too_large)
    for router in routers:
        app.include_router(router)
    app.router.routes.extend(app.plain_routes)  # for what it says to a wrong method
    return app


async def _on_unavailable(request: Request, error: Exception) -> Response:
    return problems.problem_response(problems.DoorError(503, "unavailable", str(error)).problem)


async def _on_outcome_unknown(request: Request, error: Exception) -> Response:
    detail = f"{error} (over HTTP: with the same Idempotency-Key)"
    return problems.problem_response(problems.DoorError(504, "outcome_unknown", detail).problem)


async def _on_too_large(request: Request, error: Exception) -> Response:
    return problems.problem_response(problems.DoorError(413, "too_large", f"{error}; send less at a time").problem)
