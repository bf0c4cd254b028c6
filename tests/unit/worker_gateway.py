"""A gateway in memory for the worker's tests: it hands out what a test gives it and answers as the test says."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from agentspan.agents._errors import AgentspanError, NotFound
from agentspan.agents.worker import Admit, Outcome, TooLate, Worker
from agentspan_schemas.http import ItemAnswer, ReportAnswer, SessionGrant, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask

YES = ItemAnswer(accepted=True)
NO = ItemAnswer(accepted=False, code="already_claimed", message="somebody else has it")

Answering = Callable[[WorkerReport], ReportAnswer]


def agreed(report: WorkerReport) -> ReportAnswer:
    """Yes to everything."""
    return ReportAnswer(
        claims=(YES,) * len(report.claims), declines=(YES,) * len(report.declines), results=(YES,) * len(report.results)
    )


def tool_task(call_id: str = "1-0", *, effects: Any = "idempotent", attempt: int = 1) -> ToolTask:
    """A task of tool `t` of agent `a`."""
    return ToolTask(
        execution_id="exec-1",
        agent="a",
        agent_version="v",
        attempt=attempt,
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
        call_id=call_id,
        tool="t",
        args={},
        args_hash="",
        effects=effects,
        input_schema_hash="h",
    )


async def turned(holds: Callable[[], bool]) -> None:
    """Let the loop turn until this holds."""
    for _ in range(100_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to hold")


class FakeClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def boottime(self) -> float:
        return self.seconds


class FakeGateway:
    """A WorkerTransport. `answers` is taken from the left for each report: a function, or an error to raise."""

    def __init__(self) -> None:
        self.sessions: list[SessionRequest] = []
        self.closed: list[str] = []
        self.reports: list[WorkerReport] = []
        self.answers: list[Answering | AgentspanError] = []
        self.refusal: AgentspanError | None = None
        self.gone: set[str] = set()
        self.hold = asyncio.Event()
        self.hold.set()
        self.changed = asyncio.Condition()
        self._queue: asyncio.Queue[ToolTask | AgentspanError | None] = asyncio.Queue()

    def give(self, *items: ToolTask | AgentspanError | None) -> None:
        """Hand these out; an error breaks the stream."""
        for item in items:
            self._queue.put_nowait(item)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that a request changes."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(holds)

    async def open_session(self, request: SessionRequest) -> SessionGrant:
        self.sessions.append(request)
        await self._tell()
        if self.refusal is not None:
            raise self.refusal
        return SessionGrant(session_id=f"s{len(self.sessions)}", lease_s=10, grant_s=5)

    async def tasks(self, session_id: str) -> AsyncGenerator[ToolTask | None, None]:
        while True:
            item = await self._queue.get()
            if session_id in self.gone:
                raise NotFound("no such session", status=404)
            if isinstance(item, AgentspanError):
                raise item
            yield item

    async def report(self, session_id: str, report: WorkerReport) -> ReportAnswer:
        if session_id in self.gone:
            raise NotFound("no such session", status=404)
        self.reports.append(report)
        await self._tell()
        await self.hold.wait()
        answer = self.answers.pop(0) if self.answers else agreed
        if isinstance(answer, AgentspanError):
            raise answer
        return answer(report)

    async def close(self, session_id: str) -> None:
        self.closed.append(session_id)
        await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class FakeTools:
    """A run_tool that asks to be admitted, and counts what ran."""

    def __init__(self, outcome: Outcome, before: Callable[[], None] = lambda: None) -> None:
        self.ran: list[str] = []
        self.outcome = outcome
        self.gate = asyncio.Event()
        self.gate.set()
        self._before = before

    async def __call__(self, task: ToolTask, admit: Admit) -> Outcome:
        self._before()
        if not admit():
            return TooLate()
        self.ran.append(task.task_key)
        await self.gate.wait()
        return self.outcome


def worker_of(gateway: FakeGateway, clock: FakeClock, tools: Any) -> Worker:
    """A worker that offers `t` of agent `a`; its pauses take no time."""
    ids = count(1)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    worker = Worker(gateway, clock, lambda: f"claim-{next(ids)}", tools, name="tester", sleep=sleep)
    worker.offer({"a": {"t": "h"}})
    return worker
