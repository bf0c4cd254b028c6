"""An application of any set of services: their routers, the shared errors, the guard, one OpenAPI document."""

from collections.abc import Callable, Collection, Iterable
from importlib.metadata import version
from time import perf_counter

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan_doors import problems
from agentspan_doors.guard import LOOPBACK, Guard
from agentspan_doors.measured import Measured, Requests
from agentspan_doors.openapi import Document, PlainDoor, completed


class _Application(FastAPI):
    """FastAPI, with a document that has the plain routes too."""

    plain: tuple[PlainDoor, ...] = ()

    def openapi(self) -> Document:
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi(), self.plain)
        return self.openapi_schema


def create_app(
    routers: Iterable[APIRouter],
    *,
    plain: Iterable[PlainDoor] = (),
    hosts: Collection[str] = LOOPBACK,
    named: bool = False,
    by_address: Collection[str] = (),
    requests: Requests | None = None,
    clock: Callable[[], float] = perf_counter,
) -> FastAPI:
    """The application. Errors of every kind leave it as problems. `plain` describes the plain routes that join it;
    `named`: a write must say who calls; `by_address`: as the guard says; `requests` counts them."""
    app = _Application(
        title="Agentspan",
        version=version("agentspan"),
        description="Durable AI agents with humans in the loop.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.plain = tuple(plain)
    app.add_middleware(Guard, hosts=hosts, named=named, by_address=by_address)
    if requests is not None:
        app.add_middleware(Measured, requests=requests, clock=clock)
    app.add_exception_handler(problems.DoorError, problems.on_door_error)
    app.add_exception_handler(HTTPException, problems.on_http_exception)
    app.add_exception_handler(RequestValidationError, problems.on_invalid_request)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(OutcomeUnknown, _on_outcome_unknown)
    for router in routers:
        app.include_router(router)
    return app


async def _on_unavailable(request: Request, error: Exception) -> Response:
    return problems.problem_response(problems.DoorError(503, "unavailable", str(error)).problem)


async def _on_outcome_unknown(request: Request, error: Exception) -> Response:
    detail = f"{error} (over HTTP: with the same Idempotency-Key)"
    return problems.problem_response(problems.DoorError(504, "outcome_unknown", detail).problem)
