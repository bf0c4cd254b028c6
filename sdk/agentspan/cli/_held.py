"""Who has an open call in hand: what a person sees of a run whose worker may just have died.

Apart from the standing because two sources have to be put together: the grant is on the log, and until when its holder
is counted on is known to the gateways alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentspan.cli._api import Server
from agentspan.cli._show import moment
from agentspan_schemas import events as e
from agentspan_schemas.ids import task_key_for


@dataclass(frozen=True, slots=True)
class Held:
    """A call that a worker has in hand, or was granted and is gone with."""

    call_id: str
    tool: str
    worker: str
    since: datetime | None
    """When it was granted; None: it needs no grant, or has none yet."""
    connected: bool
    lease_until: datetime | None
    """Until when the worker is counted on unless it is heard of again; None: it is not connected, or nobody says."""

    def __str__(self) -> str:
        since = f", since {moment(self.since)}" if self.since else ""
        return f"call {self.call_id} of {self.tool} in {self.worker}{since}{self._outlook()}"

    def _outlook(self) -> str:
        if not self.connected:
            return "; it is not connected any more: the call is in doubt soon, unless it comes back"
        if self.lease_until is None:
            return ""
        return f"; its lease runs until {moment(self.lease_until)}, and on while it is heard of"


async def held(server: Server, call: e.ToolCall, grant: e.ToolStarted | None) -> Held | None:
    """Who has the call in hand; None when nobody has, and somebody may take it."""
    step = task_key_for(call.execution_id, call.call_id, 0).removesuffix("0")
    for worker in await server.workers(call.agent, call.tool):
        if any(key.startswith(step) for key in worker.holds):
            since = grant.at if grant else None
            return Held(call.call_id, call.tool, worker.worker, since, True, worker.lease_until)
    if grant is None:
        return None
    return Held(call.call_id, call.tool, grant.worker, grant.at, False, None)


def grants(events: Sequence[e.Event]) -> dict[str, e.ToolStarted]:
    """For each call whose code may be running, the grant."""
    found: dict[str, e.ToolStarted] = {}
    for event in events:
        match event:
            case e.ToolStarted():
                found[event.call_id] = event
            case e.ToolResult() | e.InDoubt():
                found.pop(event.call_id, None)
            case e.RetryScheduled() if event.call_id is not None:
                found.pop(event.call_id, None)
            case _:
                pass
    return found
