"""Requests that are for no door: an unknown path, a method that its path has not, a slash too much behind it."""

from collections.abc import Sequence
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from agentspan_doors.measured import METHODS
from agentspan_doors.problems import DoorError, problem_response


async def on_http_exception(request: Request, error: Exception) -> Response:
    """For what the router itself says."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    match error.status_code:
        case 404:
            return _without_slash(request) or _problem(
                404, "unknown_path", f"there is nothing at {path!r}; {_see(request)}"
            )
        case 405:
            methods = ", ".join(_methods(request, request.scope["path"]))
            detail = f"{request.method} is not for {path!r}, which takes {methods}; {_see(request)}"
            answer = _problem(405, "method_not_allowed", detail)
            answer.headers["Allow"] = methods
            return answer
        case _:
            return _problem(error.status_code, "http_error", str(error.detail))


def _see(request: Request) -> str:
    """Where the door may be: in another process, where this one has not all roles."""
    if roles := request.app.roles:
        return (
            f"this process has no other role than {', '.join(roles)}: ask the address that sends each request to the "
            "service that has its door"
        )
    return "/api/v1/openapi.json lists what there is"


def _without_slash(request: Request) -> Response | None:
    """Where the request is for, if that is what it has too much. Without a host: a proxy before this server has another
    one, and may speak https."""
    path = request.scope["path"].rstrip("/")
    if path == request.scope["path"] or not _methods(request, path):
        return None
    query = request.url.query
    return RedirectResponse(quote(path) + (f"?{query}" if query else ""), 307)


def _methods(request: Request, path: str) -> Sequence[str]:
    """Those that this path has."""
    asked = {**request.scope, "path": path}
    routes = request.app.router.routes
    found = {m for m in METHODS for route in routes if route.matches({**asked, "method": m})[0] is Match.FULL}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _problem(status: int, code: str, detail: str) -> Response:
    return problem_response(DoorError(status, code, detail).problem)
