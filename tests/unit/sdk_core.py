"""What the small server keeps and decides: the production core over memory, and a model that answers at once.

Apart from its doors, which speak HTTP.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from agentspan_orchestrator.domain import Execution, decide, open_tasks
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.http import ItemAnswer, Problem
from agentspan_schemas.tasks import ModelTask

Reply = tuple[str, list[tuple[str, dict[str, Any]]]]
"""What the model says: text, or the calls it asks for."""


class Refused(Exception):
    """A problem to answer with."""

    def __init__(self, status: int, code: str, detail: str, **more: Any) -> None:
        self.problem = Problem(type="about:blank", title=code, status=status, detail=detail, code=code, **more)


class SmallCore:
    """`model` says what the model replies on its n-th turn (from 0) of an execution."""

    def __init__(self, model: Callable[[int], Reply]) -> None:
        self.model = model
        self.definitions: dict[tuple[str, str], AgentDefinition] = {}
        self.states: dict[str, Execution] = {}
        self.events: dict[str, list[e.Event]] = {}
        self.records: dict[str, ApprovalRecord] = {}
        self.ahead = timedelta()
        """How far its clock is ahead of the real one."""
        self._ids = count(1)
        self._changed = asyncio.Condition()

    async def _item(self, command: c.Command) -> ItemAnswer:
        try:
            await self._send(command)
        except Refused as refused:
            return ItemAnswer(accepted=False, code=refused.problem.code, message=refused.problem.detail)
        return ItemAnswer(accepted=True)

    async def _send(self, command: c.Command) -> Answer:
        state = self.states.get(command.execution_id)
        agent, version = (state.agent, state.agent_version) if state else (getattr(command, "agent", ""), "")
        definition = self.definitions.get((agent, version or getattr(command, "agent_version", "")))
        outcome = decide(state, command, self._now(), definition)
        if outcome.state is not None:
            self.states[command.execution_id] = outcome.state
        self._record(outcome.events)
        await self._tell()
        if refusal := outcome.answer.refusal:
            winner = refusal.winner.model_dump(mode="json") if refusal.winner else None
            status = 404 if refusal.code.startswith("unknown") else 409
            raise Refused(status, refusal.code, refusal.message, winner=winner)
        await self._think(command.execution_id)
        return outcome.answer

    async def _think(self, execution_id: str) -> None:
        """The model answers at once."""
        state = self.states[execution_id]
        for task in open_tasks(state, self._now()):
            if isinstance(task, ModelTask):
                text, calls = self.model(task.turn - 1)
                asked = tuple(c.AskedCall(model_call_id="toolu", tool=tool, args=args) for tool, args in calls)
                reply = c.ModelReply(
                    command_id=self._id("model"),
                    execution_id=execution_id,
                    turn=task.turn,
                    attempt=task.attempt,
                    model="test/model",
                    text=text,
                    tool_calls=asked,
                )
                await self._send(reply)

    def _record(self, events: tuple[e.Event, ...]) -> None:
        for event in events:
            self.events.setdefault(event.execution_id, []).append(event)
            match event:
                case e.Waiting():
                    shared = {k: v for k, v in event.model_dump().items() if k in ApprovalRecord.model_fields}
                    shared |= {"state": "pending", "requested_at": event.at}
                    self.records[event.approval_id] = ApprovalRecord(**shared)
                case e.Approved() | e.Rejected():
                    who = {"decided_by": event.by, "decided_at": event.at, "channel": event.channel}
                    self._mark(event.approval_id, state=event.type, seq=event.seq, reason=event.reason, **who)
                case e.InDoubt():
                    self._mark(event.approval_id, state="in_doubt", seq=event.seq, attempt=event.attempt)
                case _:
                    pass

    def _mark(self, approval_id: str, **changes: Any) -> None:
        self.records[approval_id] = self.records[approval_id].model_copy(update=changes)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._ids)}"
