"""The last answer: what no door foresees is a problem as well, and stands in the log with its traceback.

Middleware, as it is for plain routes and FastAPI's alike; the innermost, so that such a request counts as answered.
"""

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentspan_doors.problems import DoorError, problem_response

logger = logging.getLogger(__name__)


class Unforeseen:
    """ASGI middleware. An answer that had begun is cut off, which is for the server to do: the error goes on to it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:  # nobody is there to be answered
            return
        except Exception:
            if begun or scope["type"] != "http":
                raise
            logger.exception("%s %s failed", scope["method"], scope["path"])
            detail = "the server failed at this in a way that nobody foresaw; its log has the details"
            await problem_response(DoorError(500, "internal", detail).problem)(scope, receive, send)
