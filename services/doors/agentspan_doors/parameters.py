"""Parameters in a URL: one that a door does not know is refused, as a filter that is misspelt would filter nothing."""

from collections.abc import Collection

from fastapi.routing import APIRoute
from starlette.requests import Request

from agentspan_doors.problems import DoorError


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raises DoorError for a parameter that is none of the known ones."""
    if unknown := sorted(request.query_params.keys() - set(known)):
        detail = f"unknown parameter {unknown[0]!r}; known are {', '.join(known) or 'none'}"
        raise DoorError(422, "invalid_request", detail, field=unknown[0])


async def known_parameters(request: Request) -> None:
    """A dependency of a router: refuses what its routes do not declare."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    refuse_unknown(request, [field.alias for field in route.dependant.query_params])
