"""What another team imports: send tickets, see requests for a decision, decide them, follow what happens.

    async with connect("broker.example:9092") as topics:
        await topics.emit(Ticket(id="T-1", source="crm", agent="support", text="My invoice is wrong"))
        async for request in topics.approvals(states=("pending",)):
            if request.tool == "refund" and request.args["usd"] < 50:
                await topics.decide(request, "approve", by="risk", reason="below the limit")

    async for found in topics.events(since=datetime(2026, 3, 1, tzinfo=UTC)):
        print(found.event.type, found.event.execution_id)

Needs the package's extra for clusters (docs/topics.md). `MemoryTransport` stands for a cluster in your tests.
"""

from agentspan.eventlog import LogError, Position
from agentspan.topics._client import Topics, connect
from agentspan.topics._memory import MemoryTransport
from agentspan.topics._ports import Found, Sent, Transport
from agentspan_schemas.approvals import ApprovalRecord, DecisionOutcome
from agentspan_schemas.tickets import Ticket

__all__ = [
    "ApprovalRecord",
    "DecisionOutcome",
    "Found",
    "LogError",
    "MemoryTransport",
    "Position",
    "Sent",
    "Ticket",
    "Topics",
    "Transport",
    "connect",
]
