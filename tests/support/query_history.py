"""Small histories for the tests of the query service, and the child process that they share.

Events are made by hand, as the projection sees them: from a log, complete each by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agentspan_query.adapters.clickhouse_child import MEMORY_BYTES, ClickHouseChild
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.domain.rows import event_row, execution_row
from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.codec import encode
from agentspan_schemas.events import Done, Event, Failed, InDoubt, Rejected, Started, Status, ToolCall, Totals, Waiting

T0 = datetime(2026, 3, 1, 9, 0, 0, 123457, tzinfo=UTC)
ODD: JsonObject = {"amount_usd": 25, "note": 'it\'s \\ "odd"\n\tüñ'}


@asynccontextmanager
async def running_child(path: Path, *, memory_bytes: int = MEMORY_BYTES) -> AsyncIterator[ClickHouseChild]:
    """A child that serves, and is stopped at the end."""
    child = ClickHouseChild(path, memory_bytes=memory_bytes)
    task = asyncio.create_task(child.run())
    try:
        await child.ready()
        yield child
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class History:
    """The events of one execution, one after another."""

    def __init__(self, execution_id: str, *, agent: str = "support", started_at: datetime = T0) -> None:
        self.execution_id = execution_id
        self.agent = agent
        self.started_at = started_at
        self.events: list[Event] = []

    def _envelope(self, status: Status, *waiting_on: str) -> dict[str, Any]:
        seq = len(self.events) + 1
        return {
            "execution_id": self.execution_id,
            "seq": seq,
            "at": self.started_at + timedelta(seconds=seq),
            "agent": self.agent,
            "agent_version": "v1",
            "started_at": self.started_at,
            "status": status,
            "totals": Totals(turns=seq, tool_calls=2, input_tokens=300, output_tokens=40, waiting_on=waiting_on),
            "causation_id": f"command-{seq}",
        }

    def started(self, prompt: str = "Where is my order?") -> "History":
        """The first event."""
        self.events.append(
            Started(
                **self._envelope("running"),
                prompt=prompt,
                requested_by="user:ada",
                source="zendesk",
                key=f"ticket of {self.execution_id}",
                metadata={"tier": "gold"},
                content_hash="0" * 64,
                model="replay/demo",
            )
        )
        return self

    def waiting(
        self,
        tool: str = "issue_refund",
        *,
        call_id: str = "1-0",
        args: JsonObject = ODD,
        expires_s: float | None = None,
    ) -> "History":
        """A call that a person must decide."""
        envelope = self._envelope("waiting", tool)
        self.events.append(
            Waiting(
                **envelope,
                approval_id=f"{self.execution_id}.{call_id}",
                call_id=call_id,
                tool=tool,
                args=args,
                args_hash="1" * 64,
                expires_at=None if expires_s is None else envelope["at"] + timedelta(seconds=expires_s),
            )
        )
        return self

    def rejected(self, call_id: str) -> "History":
        """A call that a person did not let run; another one still waits."""
        self.events.append(
            Rejected(
                **self._envelope("waiting", "another"),
                **self._call(call_id),
                seen_args_hash="1" * 64,
                by="user:ada",
                channel="ui",
            )
        )
        return self

    def in_doubt(self, call_id: str, args: JsonObject = ODD) -> "History":
        """A call whose worker was lost."""
        doubt: dict[str, Any] = {
            "args": args,
            "attempt": 1,
            "claim_id": "c-1",
            "worker": "w-1",
            "reason": "its worker was lost",
        }
        self.events.append(InDoubt(**self._envelope("waiting", "issue_refund"), **self._call(call_id), **doubt))
        return self

    def _call(self, call_id: str) -> dict[str, Any]:
        return {"approval_id": f"{self.execution_id}.{call_id}", "call_id": call_id, "tool": "issue_refund"}

    def called(self, tool: str = "lookup_order") -> "History":
        """A call that nobody need decide."""
        self.events.append(
            ToolCall(
                **self._envelope("running"),
                turn=1,
                call_id=f"1-{len(self.events)}",
                model_call_id="m1",
                tool=tool,
                args={},
                args_hash="1" * 64,
                approval_required=False,
                effects="idempotent",
            )
        )
        return self

    def done(self, output: Any = "Refunded.") -> "History":
        """The end, well."""
        self.events.append(Done(**self._envelope("completed"), output=output))
        return self

    def failed(self, message: str) -> "History":
        """The end, badly."""
        self.events.append(Failed(**self._envelope("failed"), error=Failure(kind="model", message=message)))
        return self


async def store(sink: ClickHouseSink, histories: Sequence[History], *, partition: int = 0, offset: int = 0) -> int:
    """Write histories as one batch of a partition, from `offset` on; the offset after it."""
    events = [event for history in histories for event in history.events]
    rows = [
        event_row(event, raw=encode(event), partition=partition, offset=offset + index)
        for index, event in enumerate(events)
    ]
    await sink.write(rows, [execution_row(event) for event in events])
    return offset + len(events)
