"""Fakes around the tool-runner: a clock that stands still until told, commands that answer as told, and tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

from agentspan.eventlog import CaughtUp, Record, Table
from agentspan_schemas.answers import Answer, Refusal, RefusalCode
from agentspan_schemas.codec import encode
from agentspan_schemas.commands import Command
from agentspan_schemas.http import SessionRequest
from agentspan_schemas.messages import UserMessage
from agentspan_schemas.tasks import ModelTask, Task, ToolTask, WorkerSession
from agentspan_tool_runner.domain.dispatch import OpenCall

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REFUND = {"shop": {"refund": "hash-1"}}


class Runs(Protocol):
    """Whatever has a `run`."""

    async def run(self) -> None: ...


class StillClock:
    """`now` and `sleep` of a time that only `pass_by` moves."""

    def __init__(self) -> None:
        self._at = START
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._at

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._at + timedelta(seconds=seconds), done))
        await done

    async def pass_by(self, seconds: float) -> None:
        """Let time pass; whoever wakes runs before later ones wake."""
        end = self._at + timedelta(seconds=seconds)
        await settled()
        while due := [at for at, done in self._sleepers if at <= end and not done.done()]:
            self._at = min(due)
            for at, done in self._sleepers:
                if at <= self._at and not done.done():
                    done.set_result(None)
            self._sleepers = [(at, done) for at, done in self._sleepers if not done.done()]
            await settled()
        self._at = end


async def settled() -> None:
    """Return when everything that could run without time or I/O has run."""
    for _ in range(30):
        await asyncio.sleep(0)


class FakeCommands:
    """Takes commands as an orchestrator would; each answer is accepted unless a test says otherwise."""

    def __init__(self) -> None:
        self.taken: list[Command] = []
        self.refusals: dict[str, RefusalCode] = {}
        """By command_id."""
        self.failures: list[Exception] = []
        """Raised by the next commands, one each."""
        self.open = asyncio.Event()
        """Cleared: no command is answered."""
        self.open.set()

    async def submit(self, command: Command) -> Answer:
        encode(command)  # raises TooLarge, as the real ones do
        self.taken.append(command)
        if self.failures:
            raise self.failures.pop(0)
        await self.open.wait()
        code = self.refusals.get(command.command_id)
        refusal = Refusal(code=code, message=f"refused as {code}") if code else None
        return Answer(command_id=command.command_id, execution_id=command.execution_id, seq=1, refusal=refusal)

    def ids(self) -> list[str]:
        return [command.command_id for command in self.taken]


class Ids:
    """id-1, id-2, …"""

    def __init__(self, prefix: str = "id") -> None:
        self._numbers = count(1)
        self._prefix = prefix

    def __call__(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"


def tool_task(
    execution: int = 1, *, tool: str = "refund", schema: str = "hash-1", attempt: int = 1, once: bool = False
) -> ToolTask:
    return ToolTask(
        execution_id=f"exec-{execution}",
        agent="shop",
        agent_version="v1",
        attempt=attempt,
        opened_at=START,
        call_id="1-0",
        tool=tool,
        args={"n": execution},
        args_hash="0" * 64,
        effects="once" if once else "idempotent",
        input_schema_hash=schema,
    )


def call_of(task: ToolTask) -> OpenCall:
    """As the tool-runner gives it to its gateway."""
    return OpenCall(task.task_key, (task.agent, task.tool, task.input_schema_hash), encode(task))


def model_task(execution: int = 1, *, attempt: int = 1, text: str = "Hello") -> ModelTask:
    return ModelTask(
        execution_id=f"exec-{execution}",
        agent="shop",
        agent_version="v1",
        attempt=attempt,
        opened_at=START,
        turn=1,
        messages=(UserMessage(text=text),),
        key=f"ticket-{execution}",
    )


def hello(worker: str = "ann@host/1", *, holds: tuple[str, ...] = ()) -> SessionRequest:
    return SessionRequest(worker=worker, tools=REFUND, holds=holds)


def put(table: Table, task: Task, *, decoded: bool = True) -> Awaitable[object]:
    record = Record(task.lane, task.execution_id, encode(task), {}, task if decoded else None)
    return table.put(task.task_key, record)


async def standing(table: Table) -> dict[str, WorkerSession]:
    """The sessions on a workers table."""
    found: dict[str, WorkerSession] = {}
    async for change in table.follow():
        if isinstance(change, CaughtUp):
            break
        assert change.record is not None
        found[change.key] = WorkerSession.model_validate_json(change.record.value)
    return found


@asynccontextmanager
async def running(*services: Runs) -> AsyncIterator[None]:
    """The services run within the block."""
    tasks = [asyncio.ensure_future(service.run()) for service in services]
    await settled()
    try:
        yield
        await settled()
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
