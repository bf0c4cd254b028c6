"""One execution from afar: what a handle can ask of it, asynchronously. `AgentHandle` is its synchronous face.

Apart from the handle so that an asynchronous one can be another face of the same thing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from agentspan.agents._agent import Agent
from agentspan.agents._client import Client
from agentspan.agents._errors import AgentspanError, AlreadyDecided, NotFound, NothingPending, SeveralPending
from agentspan.agents._events import AgentEvent, EventType
from agentspan.agents._respond import Response
from agentspan.agents._result import AgentResult, result_of
from agentspan.agents._status import AgentStatus, status_of
from agentspan.agents._streams import Streamed
from agentspan_schemas.answers import Winner, verdict
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import ExecutionRef, ExecutionView

SETTLE_S = 5.0
"""How long the approvals may lag behind an execution that says it waits."""

PAUSE_S = 0.05

_DECISIONS = (EventType.APPROVED, EventType.REJECTED, EventType.EXPIRED)


class RemoteExecution:
    """An execution by its id. It remembers its own last write, so that a stream begins there."""

    def __init__(
        self, connected: Callable[[], Client], execution_id: str, find_agent: Callable[[str], Agent | None]
    ) -> None:
        self.execution_id = execution_id
        self._connected = connected
        self._find_agent = find_agent
        self._position: str | None = None
        self._after: int | None = None
        self._decided: str | None = None

    @property
    def _client(self) -> Client:
        return self._connected()

    def started(self, ref: ExecutionRef) -> None:
        """This process started it: a stream begins with the first event."""
        self._after, self._position = 0, ref.position

    async def stream(self, after: int | None, *, deltas: bool = False) -> AsyncGenerator[list[Streamed], None]:
        """Events behind `after` as they come in; None: from the own last write, else from the calls that wait now."""
        skip_to = self._decided if after is None else None
        begin = await self._begin() if after is None else after
        batches = self._client.follow(self.execution_id, begin, position=self._position, deltas=deltas)
        try:
            async for batch in batches:
                if skip_to is not None:
                    batch = _from_decision(batch, skip_to)
                    skip_to = None if batch else skip_to
                if batch:
                    yield batch
        finally:
            await batches.aclose()

    async def result(self) -> AgentResult:
        """The result, when the execution has ended."""
        events = [event async for event in self._client.stream(self.execution_id, 0, position=self._position)]
        if not events:
            raise AgentspanError(f"execution {self.execution_id!r} ended without an event that this version can read")
        return result_of(events, self._find_agent(events[0].data.agent))

    def result_of(self, events: Sequence[AgentEvent]) -> AgentResult:
        """The result that all of its events make."""
        return result_of(events, self._find_agent(events[0].data.agent))

    async def status(self) -> AgentStatus:
        """The execution as it is now, its own writes included, and what it waits for."""
        now = await self._now()
        waiting: tuple[ApprovalRecord, ...] = ()
        if now.status not in TERMINAL and now.totals.waiting_on:
            records = await self._client.approvals(self.execution_id)
            waiting = tuple(record for record in records if record.state in ("pending", "in_doubt"))
        return status_of(now, waiting, self._find_agent(now.agent))

    async def _now(self) -> ExecutionView:
        return await self._client.execution(self.execution_id, self._position)

    async def decide(
        self,
        decision: Literal["approve", "reject"],
        call_id: str | None,
        reason: str | None,
        edited_args: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Decide the call that waits, bound to the args that it waits with."""
        record = await self._pending(call_id)
        self._position = await self._client.decide(record, decision, reason, edited_args) or self._position
        self._after, self._decided = record.seq - 1, record.call_id

    async def respond(self, answer: Response) -> None:
        """Decide as it says, or send its message."""
        if answer.message is not None:
            await self.send(answer.message)
        elif answer.approved:
            await self.decide("approve", answer.call_id, answer.reason, answer.args)
        else:
            await self.decide("reject", answer.call_id, answer.reason)

    async def control(self, what: Literal["pause", "resume", "cancel"], reason: str | None) -> None:
        """Pause, resume or cancel."""
        self._wrote(await self._client.control(self.execution_id, what, reason))

    async def send(self, text: str) -> None:
        """Tell the agent something."""
        self._wrote(await self._client.send(self.execution_id, text))

    def _wrote(self, ref: ExecutionRef) -> None:
        self._after, self._decided, self._position = ref.seq - 1, None, ref.position

    async def _begin(self) -> int:
        if self._after is not None:
            return self._after
        waiting = await self._client.approvals(self.execution_id, "pending")
        if waiting:
            return min(record.seq for record in waiting) - 1
        return (await self._now()).seq - 1

    async def _pending(self, call_id: str | None) -> ApprovalRecord:
        """The one call to decide."""
        waiting = await self._client.approvals(self.execution_id, "pending")
        until = asyncio.get_running_loop().time() + SETTLE_S
        while not _names(waiting, call_id):
            await self._explain(call_id, settled=asyncio.get_running_loop().time() > until)
            await asyncio.sleep(PAUSE_S)
            waiting = await self._client.approvals(self.execution_id, "pending")
        if call_id is None and len(waiting) > 1:
            raise _several(self.execution_id, waiting)
        return next(record for record in waiting if call_id in (None, record.call_id))

    async def _explain(self, call_id: str | None, *, settled: bool) -> None:
        """Raise why there is nothing to decide; return while the execution says that something waits."""
        now = await self._now()
        records = await self._client.approvals(self.execution_id)
        asked = [record for record in records if call_id in (None, record.call_id)]
        if any(record.state == "pending" for record in asked) and not settled:
            return
        decided = [record for record in asked if record.decided_by is not None]
        if decided:
            raise _already_decided(max(decided, key=lambda record: record.seq), now)
        if doubtful := next((record for record in asked if record.state == "in_doubt"), None):
            raise NothingPending(
                f"call {doubtful.call_id!r} of {doubtful.tool!r} is in doubt: "
                "its worker was lost; find out whether it ran, then resolve it"
            )
        if call_id is not None and now.status != "waiting":
            raise NotFound(f"execution {self.execution_id!r} has no call {call_id!r} that waits; it is {now.status}")
        if now.status == "waiting" and not settled:
            return
        if call_id is not None and (waiting := [record for record in records if record.state == "pending"]):
            raise NotFound(
                f"execution {self.execution_id!r} has no call {call_id!r} that waits; it waits with {_listed(waiting)}"
            )
        raise NothingPending(
            f"no call of {self.execution_id!r} waits for a decision: it is {now.status} (event {now.seq})"
        )


def _names(waiting: tuple[ApprovalRecord, ...], call_id: str | None) -> bool:
    return any(call_id in (None, record.call_id) for record in waiting)


def _from_decision(batch: list[Streamed], call_id: str) -> list[Streamed]:
    """What comes from the call's decision on; nothing when it is not in there."""
    for index, event in enumerate(batch):
        if isinstance(event, AgentEvent) and (event.ends or _decides(event, call_id)):
            return batch[index:]
    return []


def _decides(event: AgentEvent, call_id: str) -> bool:
    return event.call_id == call_id and event.type in _DECISIONS


def _several(execution_id: str, waiting: tuple[ApprovalRecord, ...]) -> SeveralPending:
    return SeveralPending(
        f"{len(waiting)} calls of {execution_id!r} wait: {_listed(waiting)}; name one with call_id=",
        tuple(record.call_id for record in waiting),
    )


def _listed(waiting: Sequence[ApprovalRecord]) -> str:
    return ", ".join(f"{record.call_id!r} ({record.tool})" for record in waiting)


def _already_decided(record: ApprovalRecord, now: ExecutionView) -> AlreadyDecided:
    when = f" at {record.decided_at.isoformat(timespec='seconds')}" if record.decided_at else ""
    error = AlreadyDecided(
        f"call {record.call_id!r} of {record.tool!r} {verdict(record.state, record.decided_by)}{when}; "
        f"execution {record.execution_id!r} is {now.status}",
        status=409,
        code="already_decided",
    )
    if record.decided_by is not None and record.decided_at is not None:
        error.winner = Winner(by=record.decided_by, decision=record.state, at=record.decided_at, channel=record.channel)
    return error
