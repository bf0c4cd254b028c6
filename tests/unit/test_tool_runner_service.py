"""The tool-runner as a whole: the tasks table feeds the lane and the gateway, and only what still stands is begun."""

import json

import pytest

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryTable
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import encode
from agentspan_tool_runner.models import ModelRequest, ModelResponse, Providers
from agentspan_tool_runner.service import ToolRunner
from tests.support.tool_runner import (
    FakeCommands,
    Ids,
    StillClock,
    hello,
    model_task,
    put,
    running,
    settled,
    tool_task,
)

AGENT = AgentDefinition(name="shop", model="fake/one")


class FakeModel:
    def __init__(self) -> None:
        self.closed = False

    def check(self, definition: AgentDefinition) -> str | None:
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        return ModelResponse(model="one", text="Hi")

    async def aclose(self) -> None:
        self.closed = True


class Room:
    """A tool-runner with everything around it."""

    def __init__(self) -> None:
        self.tasks = MemoryTable(3)
        self.commands = FakeCommands()
        self.model = FakeModel()
        clock = StillClock()
        self.service = ToolRunner(
            tasks=self.tasks,
            workers=MemoryTable(),
            commands=self.commands,
            providers=Providers({"fake": lambda: self.model}),
            definition_of=self._definition_of,
            now=clock.now,
            sleep=clock.sleep,
            new_id=Ids(),
            chance=lambda: 0.5,
            model_calls=2,
            lease_s=12.0,
            grant_s=6.0,
        )

    async def _definition_of(self, agent: str, version: str) -> AgentDefinition | None:
        return AGENT


@pytest.fixture
def room() -> Room:
    return Room()


async def test_model_calls_are_made_and_tool_calls_wait_for_a_worker(room: Room) -> None:
    async with running(room.service):
        assert room.service.loaded.is_set()
        await put(room.tasks, model_task(1))
        await put(room.tasks, tool_task(2), decoded=False)
        await settled()
        assert room.commands.ids() == ["exec-1/model-1/1/result"]
        grant = room.service.gateway.hello(hello())
        assert (grant.lease_s, grant.grant_s) == (12.0, 6.0)
        with room.service.gateway.stream(grant.session_id) as stream:
            assert await anext(stream) == (None, encode(tool_task(2)))


async def test_a_task_that_another_hand_wrote_in_several_lines_is_one_of_a_workers(room: Room) -> None:
    task = tool_task(1)
    spread = json.dumps(json.loads(encode(task)), indent=1).encode()
    async with running(room.service):
        await room.tasks.put(task.task_key, Record(task.lane, task.execution_id, spread))
        await settled()
        with room.service.gateway.stream(room.service.gateway.hello(hello()).session_id) as stream:
            assert await anext(stream) == (None, encode(task))


async def test_what_was_closed_before_it_started_is_not_begun(room: Room) -> None:
    for task in (model_task(1), model_task(2), tool_task(3), tool_task(4)):
        await put(room.tasks, task)
    await room.tasks.put(model_task(1).task_key, None)
    await room.tasks.put(tool_task(3).task_key, None)
    async with running(room.service):
        await settled()
        assert room.commands.ids() == ["exec-2/model-1/1/result"]
        with room.service.gateway.stream(room.service.gateway.hello(hello()).session_id) as stream:
            assert await anext(stream) == (None, encode(tool_task(4)))


async def test_a_tombstone_closes_a_task(room: Room) -> None:
    async with running(room.service):
        await put(room.tasks, tool_task(1))
        await room.tasks.put(tool_task(1).task_key, None)
        await settled()
        with room.service.gateway.stream(room.service.gateway.hello(hello()).session_id) as stream:
            assert await anext(stream) == (None,)


async def test_a_task_that_cannot_be_read_stops_nobody(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    async with running(room.service):
        await room.tasks.put("exec-9/odd/1", Record("tool", "exec-9", b'{"lane": "tool"}'))
        await put(room.tasks, model_task(1))
        await settled()
    assert room.commands.ids() == ["exec-1/model-1/1/result"]
    assert "task 'exec-9/odd/1' cannot be read" in caplog.text


async def test_the_providers_are_closed_at_the_end(room: Room) -> None:
    async with running(room.service):
        await put(room.tasks, model_task(1))
        await settled()
        assert not room.model.closed
    assert room.model.closed
