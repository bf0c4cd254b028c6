"""How FastAPI's routes read a body: as the plain doors do, by pydantic's parser, and with each name once.

Apart because Python's own takes for a text what no message can carry: half of a character, as `"\\ud800"`.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from agentspan_doors.problems import name_repeated
from agentspan_schemas import NameRepeated
from agentspan_schemas.names import refuse_repeated


class JsonRoute(APIRoute):
    """The class of a router's routes that take a body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, given a request that parses more strictly."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handled


class _Request(Request):
    async def json(self) -> Any:
        raw = await self.body()
        try:
            value = from_json(raw)
            refuse_repeated(raw)
        except NameRepeated as error:
            raise name_repeated(error) from error
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error  # which FastAPI knows how to answer
        return value
