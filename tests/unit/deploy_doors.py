"""Which service has which door: what stands in front of services apart has to know."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fastapi.routing import APIRoute
from starlette.routing import Route

from agentspan_standalone.app import make_app
from agentspan_standalone.composition import Services
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import ROLES, Role, Settings


@dataclass(frozen=True, slots=True)
class Door:
    """One operation, or page, and the service that has it."""

    method: str
    path: str
    role: Role

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def doors() -> list[Door]:
    """All of them but the health checks, which every process has."""
    return [Door(method, path, role) for role in ROLES for method, path in sorted(_doors_of(role))]


def _doors_of(role: Role) -> set[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_of(role, Path(folder)))


async def _of(role: Role, folder: Path) -> set[tuple[str, str]]:
    settings = Settings(data=folder, log="kafka://nowhere:9092", roles=(role,))
    plumbing = embedded(settings)
    services = Services(settings, plumbing)
    try:
        app = make_app(settings, services)
    finally:
        services.close()
        await plumbing.close()
    described = {
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "health" not in operation["tags"]
    }
    pages = {
        ("GET", route.path)
        for route in app.router.routes
        if isinstance(route, Route) and not isinstance(route, APIRoute) and not route.path.startswith("/api/")
    }
    return described | pages
