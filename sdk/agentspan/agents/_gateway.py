"""The worker's transport over HTTP: the gateway's four requests."""

import logging
from collections.abc import AsyncGenerator

from agentspan.agents._http import Http
from agentspan_schemas import Unreadable
from agentspan_schemas.codec import TASKS
from agentspan_schemas.http import ReportAnswer, SessionGrant, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask

logger = logging.getLogger(__name__)

PING = b'"ping"'


class Gateway:
    """`WorkerTransport` over HTTP. The worker itself decides when to try again."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def open_session(self, request: SessionRequest) -> SessionGrant:
        """POST /gateway/sessions."""
        reply = await self._http.request("POST", "/gateway/sessions", request, retry=False)
        return reply.read(SessionGrant)

    async def tasks(self, session_id: str) -> AsyncGenerator[ToolTask | None, None]:
        """GET /gateway/sessions/{id}/tasks: a task a line, and pings between them."""
        lines = self._http.lines(f"/gateway/sessions/{session_id}/tasks")
        try:
            async for line in lines:
                yield _task(line)
        finally:
            await lines.aclose()

    async def report(self, session_id: str, report: WorkerReport) -> ReportAnswer:
        """POST /gateway/sessions/{id}/reports."""
        reply = await self._http.request("POST", f"/gateway/sessions/{session_id}/reports", report, retry=False)
        return reply.read(ReportAnswer)

    async def close(self, session_id: str) -> None:
        """DELETE /gateway/sessions/{id}."""
        await self._http.request("DELETE", f"/gateway/sessions/{session_id}", retry=False)


def _task(line: bytes) -> ToolTask | None:
    if len(line) < 100 and PING in line:
        return None
    try:
        task = TASKS.decode(line)
    except Unreadable as error:
        logger.error("a task that this version cannot read was left alone: %s", error)
        return None
    return task if isinstance(task, ToolTask) else None
