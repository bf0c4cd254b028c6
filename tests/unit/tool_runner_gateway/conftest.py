"""What every test of the gateway has: a room with a gateway, workers that listen, and a clock that they move."""

import asyncio

import pytest

from agentspan.eventlog.memory import MemoryTable
from agentspan_schemas.http import ClaimItem, ItemAnswer, ResultItem, WorkerReport
from agentspan_schemas.tasks import ToolTask
from agentspan_tool_runner.service import Gateway, TaskStream
from tests.support.tool_runner import START, FakeCommands, Ids, StillClock, hello, settled, standing

CLAIM = ClaimItem(execution_id="exec-1", call_id="1-0", attempt=1, claim_id="claim-1")
OK = ItemAnswer(accepted=True)


def result(execution: int = 1, **fields: object) -> ResultItem:
    whole = {
        "execution_id": f"exec-{execution}",
        "call_id": "1-0",
        "attempt": 1,
        "ok": True,
        "began_at": START,
        "duration_ms": 5.0,
    }
    return ResultItem.model_validate(whole | fields)


class Listener:
    """A worker's end of a stream, for as long as the test wants."""

    def __init__(self, gateway: Gateway, session_id: str) -> None:
        self._context = gateway.stream(session_id)
        self._stream: TaskStream = self._context.__enter__()

    def close(self) -> None:
        self._context.__exit__(None, None, None)

    async def ended(self) -> bool:
        """Whether the stream ends once everything in it is read."""
        try:
            while await self._next() is not None:
                pass
        except StopAsyncIteration:
            return True
        return False

    async def tasks(self) -> list[ToolTask]:
        """The tasks that have come."""
        return [ToolTask.model_validate_json(task) for task in await self._next() or () if task is not None]

    async def _next(self) -> tuple[bytes | None, ...] | None:
        """What has come; None when nothing has."""
        reading = asyncio.ensure_future(anext(self._stream))
        await settled()
        if not reading.done():
            reading.cancel()
            return None
        return await reading


class Room:
    """A gateway with everything around it."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.commands = FakeCommands()
        self.table = MemoryTable()
        self.listeners: list[Listener] = []
        self.gateway = self.another("gateway-a")

    def another(self, gateway_id: str) -> Gateway:
        return Gateway(
            gateway_id=gateway_id,
            commands=self.commands,
            workers=self.table,
            now=self.clock.now,
            sleep=self.clock.sleep,
            new_id=Ids(f"{gateway_id}-session"),
            lease_s=10.0,
            grant_s=5.0,
        )

    def session(self, worker: str = "ann@host/1", *, holds: tuple[str, ...] = ()) -> str:
        return self.gateway.hello(hello(worker, holds=holds)).session_id

    def listen(self, session_id: str, gateway: Gateway | None = None) -> Listener:
        """Open the session's stream, until the test ends or closes it."""
        self.listeners.append(Listener(gateway or self.gateway, session_id))
        return self.listeners[-1]

    async def report(self, session_id: str, **items: object) -> list[ItemAnswer]:
        answer = await self.gateway.report(session_id, WorkerReport.model_validate(items))
        return [*answer.claims, *answer.declines, *answer.results]

    async def holds(self) -> dict[str, tuple[str, ...]]:
        return {name: session.holds for name, session in (await standing(self.table)).items()}


@pytest.fixture
def room() -> Room:
    return Room()
