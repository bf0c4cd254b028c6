"""What OpenAPI says of the gateway's routes: they are plain ones, which describe nothing by themselves."""

from agentspan_doors import PlainDoor
from agentspan_schemas import Wire
from agentspan_schemas.http import ReportAnswer, SessionGrant, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask, WorkerSession
from agentspan_tool_runner.api.routes import PREFIX


class WorkerSessions(Wire):
    """The live workers that were asked for."""

    items: tuple[WorkerSession, ...]


DOORS: tuple[PlainDoor, ...] = (
    PlainDoor(
        method="POST",
        path=f"{PREFIX}/sessions",
        operation_id="open_session",
        summary="Open a worker's session",
        description="What the worker can run, and what it still holds of an earlier session.",
        tag="gateway",
        takes=SessionRequest,
        answers=SessionGrant,
        status=201,
    ),
    PlainDoor(
        method="DELETE",
        path=f"{PREFIX}/sessions/{{session_id}}",
        operation_id="close_session",
        summary="Close a worker's session",
        description="What it had in hand goes to others.",
        tag="gateway",
        status=204,
    ),
    PlainDoor(
        method="GET",
        path=f"{PREFIX}/sessions/{{session_id}}/tasks",
        operation_id="follow_tasks",
        summary="Follow a session's tasks (NDJSON)",
        description='One task a line as they come, and `{"lane":"ping"}` as a sign of life. '
        "It ends when the gateway heard nothing for half a lease: opening it again is a sign of life.",
        tag="gateway",
        answers=ToolTask,
        media_type="application/x-ndjson",
    ),
    PlainDoor(
        method="POST",
        path=f"{PREFIX}/sessions/{{session_id}}/reports",
        operation_id="report",
        summary="Report claims, declines and results",
        description="Answered, item by item, when all of it is on the log.",
        tag="gateway",
        takes=WorkerReport,
        answers=ReportAnswer,
    ),
    PlainDoor(
        method="GET",
        path=f"{PREFIX}/workers",
        operation_id="list_workers",
        summary="List live workers",
        description="Those that serve this agent, and have this tool in this version; without a filter, all.",
        tag="gateway",
        answers=WorkerSessions,
        query=("agent", "tool", "input_schema_hash"),
    ),
)
"""One for each of `routes`."""
