"""The application of all services: their doors in one FastAPI app, and their lives in its lifespan."""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentspan_approvals.api import DECIDE, decide_route
from agentspan_approvals.api import router as approvals_router
from agentspan_doors import Application, DoorError, PlainDoor, create_app, problem_response
from agentspan_doors.guard import LOOPBACK
from agentspan_orchestrator.api import START, TICKET, start_route, ticket_route
from agentspan_orchestrator.api import router as orchestrator_router
from agentspan_query.api import router as query_router
from agentspan_query.stream_doors import DOORS as stream_doors
from agentspan_query.stream_doors import stream_routes
from agentspan_query.web import web_routes
from agentspan_standalone.composition import Services, now
from agentspan_standalone.health import router as health_router
from agentspan_standalone.metrics import OnItsOwnPort, metrics_router
from agentspan_standalone.metrics.door import PATH as METRICS_PATH
from agentspan_standalone.plumbing import opened
from agentspan_standalone.settings import ROLES, Settings
from agentspan_tool_runner.api import DOORS as gateway_doors
from agentspan_tool_runner.api import routes as gateway_routes

logger = logging.getLogger(__name__)


@asynccontextmanager
async def running(settings: Settings, on_failure: Callable[[], None]) -> AsyncIterator[Services]:
    """The services on an open log, for as long as the context lasts. One that ends by itself ends the process."""
    plumbing = await opened(settings)
    services = Services(settings, plumbing)
    life = asyncio.create_task(services.run())
    life.add_done_callback(lambda done: _ended(done, on_failure))
    try:
        yield services
    finally:
        life.cancel()
        await asyncio.wait([life])
        services.close()
        await plumbing.close()


def _ended(life: "asyncio.Task[None]", on_failure: Callable[[], None]) -> None:
    if not life.cancelled() and (error := life.exception()):
        logger.critical("a service ended: the server stops, so that it can be restarted whole", exc_info=error)
        on_failure()


def make_app(settings: Settings, services: Services) -> Application:
    """The doors of the services that there are. Whoever runs the app runs the services."""
    app = create_app(
        [health_router(services.unready, services.health), metrics_router(services.samples), *_routers(services)],
        plain=_plain_doors(services),
        plain_routes=_plain_routes(services),
        hosts=(*LOOPBACK, *settings.allowed_hosts),
        named=settings.trusted_proxy,
        by_address=(METRICS_PATH,),
        requests=services.measured,
    )
    app.roles = settings.roles if set(settings.roles) < set(ROLES) else ()
    app.add_exception_handler(sqlite3.OperationalError, _without_its_file)
    if settings.metrics_port is not None:
        app.add_middleware(OnItsOwnPort, port=settings.metrics_port)
    if services.history is not None:
        app.router.routes.extend(web_routes(services.history.query, now=now))
    return app


def _without_its_file(request: Request, error: Exception) -> Response:
    logger.warning("%s %s failed: %s", request.method, request.url.path, error)
    detail = f"a file of the server's data folder cannot be used: {error}; make room on its disk, and ask again"
    return problem_response(DoorError(503, "unavailable", detail).problem)


def _plain_doors(services: Services) -> Iterator[PlainDoor]:
    if services.orchestrator is not None:
        yield from (START, TICKET)
    if services.approvals is not None:
        yield DECIDE
    if services.tool_runner is not None:
        yield from gateway_doors
    if services.history is not None:
        yield from stream_doors


def _plain_routes(services: Services) -> Iterator[Route]:
    if services.tool_runner is not None:
        yield from gateway_routes(services.tool_runner.gateway)
    if services.orchestrator is not None:
        yield start_route(services.commands, services.definitions, services.check_model)
        yield ticket_route(services.commands, services.definitions, services.check_model, services.mappings)
    if services.approvals is not None:
        yield decide_route(services.approvals)
    if services.history is not None:
        yield from stream_routes(services.history.query, lambda: uuid.uuid4().hex)


def _routers(services: Services) -> Iterator[APIRouter]:
    if services.orchestrator is not None:
        yield orchestrator_router(services.commands, services.definitions, services.mappings)
    if services.approvals is not None:
        yield approvals_router(services.approvals)
    if services.history is not None:
        yield query_router(services.history.query)
