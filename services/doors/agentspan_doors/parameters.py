"""Parameters in a URL: one that a door does not know is refused, as a filter that is misspelt would filter nothing, and
so is one that stands there twice, of which one would count and nobody knows which."""

from collections.abc import Collection

from fastapi.routing import APIRoute
from starlette.requests import Request

from agentspan_doors.problems import DoorError


def refuse_unknown(request: Request, known: Collection[str], lists: Collection[str] = ()) -> None:
    """Raises DoorError for a parameter that is none of the known ones, and for one that stands there twice and is none
    of `lists`."""
    if unknown := sorted(request.query_params.keys() - set(known)):
        detail = f"unknown parameter {unknown[0]!r}; known are {', '.join(known) or 'none'}"
        raise DoorError(422, "invalid_request", detail, field=unknown[0])
    for name in known:
        if name not in lists and len(request.query_params.getlist(name)) > 1:
            detail = f"{name}: it stands in the URL more than once; leave one"
            raise DoorError(422, "invalid_request", detail, field=name)


async def known_parameters(request: Request) -> None:
    """A dependency of a router: refuses what its routes do not declare."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = {field.alias: field.default for field in route.dependant.query_params}
    refuse_unknown(request, known, [name for name, default in known.items() if isinstance(default, tuple)])
