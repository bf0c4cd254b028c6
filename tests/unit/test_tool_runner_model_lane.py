"""The model lane: what it sends for each reply and failure, how many calls run at once, what ends one early."""

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan_schemas import Failure, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import encode
from agentspan_schemas.commands import AskedCall, ModelFailed, ModelReply
from agentspan_schemas.messages import UserMessage
from agentspan_schemas.tasks import ModelTask
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, Providers
from agentspan_tool_runner.service import ModelLane
from agentspan_tool_runner.service.waiting import KEPT_READ, Waiting
from tests.support.tool_runner import START, FakeCommands, StillClock, model_task, running, settled

AGENT = AgentDefinition(name="shop", model="fake/one")


class FakeModel:
    """Answers as told; `gate` holds every call back while it is cleared."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.outcome: ModelResponse | Exception = ModelResponse(model="one", text="Hi")
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0
        self.during: Callable[[], None] = lambda: None

    def check(self, definition: AgentDefinition) -> str | None:
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        self.during()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def aclose(self) -> None:
        pass


class Room:
    """A lane with everything around it."""

    def __init__(self, limit: int = 4) -> None:
        self.model = FakeModel()
        self.commands = FakeCommands()
        self.clock = StillClock()
        self.definitions = {("shop", "v1"): AGENT}
        self.lane = ModelLane(
            worker="models@gateway",
            providers=Providers({"fake": lambda: self.model}),
            commands=self.commands,
            definition_of=self._definition_of,
            now=self.clock.now,
            sleep=self.clock.sleep,
            chance=lambda: 1.0,
            limit=limit,
        )

    async def _definition_of(self, agent: str, version: str) -> AgentDefinition | None:
        return self.definitions.get((agent, version))

    def opened(self, task: ModelTask) -> None:
        self.lane.opened(task, encode(task))

    async def failed(self) -> ModelFailed:
        """What the lane sends for its one task."""
        async with running(self.lane):
            self.opened(model_task())
            await settled()
        (command,) = self.commands.taken
        assert isinstance(command, ModelFailed)
        return command


@pytest.fixture
def room() -> Room:
    return Room()


async def test_a_reply_is_sent_whole_under_the_tasks_own_id(room: Room) -> None:
    asked = AskedCall(model_call_id="toolu_1", tool="look_up", args={"n": 1})
    room.model.outcome = ModelResponse(
        model="one-2026", text="Hi", tool_calls=(asked,), blocks=({"type": "text"},), stop_reason="tool_use",
        usage=Usage(input_tokens=3),
    )  # fmt: skip
    room.model.gate.clear()
    async with running(room.lane):
        room.opened(model_task())
        await room.clock.pass_by(1.5)
        room.model.gate.set()
        await settled()
    assert room.commands.taken == [
        ModelReply(
            command_id="exec-1/model-1/1/result",
            execution_id="exec-1",
            turn=1,
            attempt=1,
            model="one-2026",
            text="Hi",
            tool_calls=(asked,),
            blocks=({"type": "text"},),
            stop_reason="tool_use",
            usage=Usage(input_tokens=3),
            worker="models@gateway",
            began_at=START,
            duration_ms=1500.0,
        )
    ]
    (request,) = room.model.requests
    assert (request.definition, request.key, request.turn) == (AGENT, "ticket-1", 1)


async def test_a_failure_says_whether_and_when_asking_again_may_help(room: Room) -> None:
    room.model.outcome = ModelError("rate_limit", "slow down", retryable=True, retry_after_s=17)
    failed = await room.failed()
    assert failed.command_id == "exec-1/model-1/1/result"
    assert failed.error == Failure(kind="rate_limit", message="slow down")
    assert (failed.retryable, failed.retry_after_s, failed.worker) == (True, 17, "models@gateway")


async def test_a_providers_mistake_is_a_failed_call_and_stops_nobody(room: Room) -> None:
    room.model.outcome = ZeroDivisionError("the secret is 42")
    failed = await room.failed()
    assert (failed.error.kind, failed.retryable) == ("provider_failed", True)
    assert "ZeroDivisionError" in failed.error.message
    assert "42" not in failed.error.message


async def test_an_agent_that_is_not_known_yet_is_asked_for_again_later(room: Room) -> None:
    room.definitions.clear()
    failed = await room.failed()
    assert (failed.error.kind, failed.retryable) == ("unknown_agent", True)


async def test_a_model_without_provider_fails_for_good(room: Room) -> None:
    room.definitions["shop", "v1"] = AGENT.model_copy(update={"model": "other/one"})
    failed = await room.failed()
    assert (failed.error.kind, failed.retryable) == ("unknown_provider", False)


async def test_a_reply_that_no_message_can_hold_is_a_failure_that_names_the_sizes(room: Room) -> None:
    room.model.outcome = ModelResponse(model="one", text="x" * 1024 * 1024)
    failed = await room.failed()
    assert (failed.error.kind, failed.retryable) == ("reply_too_large", False)
    assert "1048576 bytes" in failed.error.message


async def test_such_a_reply_with_half_a_character_is_one_too_and_stops_nobody(room: Room) -> None:
    room.model.outcome = ModelResponse(model="one", text="\ud83d" + "x" * 1024 * 1024)
    assert (await room.failed()).error.kind == "reply_too_large"


async def test_a_reply_is_kept_until_it_is_answered(room: Room) -> None:
    room.commands.failures = [Unavailable("no owner"), OutcomeUnknown("late"), Unavailable("no owner")]
    async with running(room.lane):
        room.opened(model_task())
        for pause_s, sent in ((0.1, 2), (0.2, 3), (0.4, 4)):
            await room.clock.pass_by(pause_s * 0.99)
            assert len(room.commands.taken) == sent - 1
            await room.clock.pass_by(pause_s * 0.02)
            assert len(room.commands.taken) == sent
        await room.clock.pass_by(60)
    assert len({repr(command) for command in room.commands.taken}) == 1
    assert len(room.model.requests) == 1


async def test_a_refused_reply_is_over(room: Room) -> None:
    room.commands.refusals["exec-1/model-1/1/result"] = "stale"
    async with running(room.lane):
        room.opened(model_task())
        await room.clock.pass_by(60)
    assert len(room.commands.taken) == 1


async def test_only_so_many_calls_run_at_once() -> None:
    room = Room(limit=2)
    room.model.gate.clear()
    async with running(room.lane):
        for number in range(5):
            room.opened(model_task(number))
        await settled()
        assert len(room.model.requests) == 2
        room.model.gate.set()
        await settled()
    assert room.model.most == 2
    assert [command.execution_id for command in room.commands.taken] == [f"exec-{number}" for number in range(5)]


async def test_each_of_a_flood_is_called_with_its_own_conversation() -> None:
    room, count = Room(limit=1), KEPT_READ + 20
    async with running(room.lane):
        for number in range(count):
            room.opened(model_task(number, text=f"I am {number}"))
        while len(room.commands.taken) < count:
            await settled()
    said = [request.messages for request in room.model.requests]
    assert said == [(UserMessage(text=f"I am {number}"),) for number in range(count)]


def test_what_waits_behind_the_first_is_not_kept_as_objects() -> None:
    waiting, tasks = Waiting(), [model_task(number) for number in range(KEPT_READ + 1)]
    before = [sys.getrefcount(task) for task in (tasks[0], tasks[-1])]
    for task in tasks:
        waiting.put(task, encode(task))
    del task
    assert [sys.getrefcount(task) for task in (tasks[0], tasks[-1])] == [before[0] + 1, before[1]]
    assert [waiting.take(task.task_key) for task in tasks] == tasks


async def test_the_same_task_again_is_not_called_again(room: Room) -> None:
    async with running(room.lane):
        room.opened(model_task())
        room.opened(model_task())
        await settled()
        room.opened(model_task())
        await settled()
        assert len(room.model.requests) == 1
        room.lane.closed(model_task().task_key)
        room.opened(model_task())
        await settled()
    assert len(room.model.requests) == 2


async def test_a_closed_task_is_dropped_with_its_call() -> None:
    room = Room(limit=1)
    room.model.gate.clear()
    async with running(room.lane):
        for number in (1, 2, 3):
            room.opened(model_task(number))
        await settled()
        room.lane.closed(model_task(1).task_key)
        room.lane.closed(model_task(2).task_key)
        await settled()
        room.model.gate.set()
        await settled()
    assert [request.execution_id for request in room.model.requests] == ["exec-1", "exec-3"]
    assert room.commands.ids() == ["exec-3/model-1/1/result"]


async def test_a_task_that_opens_again_while_its_call_is_dropped_is_called_anew(room: Room) -> None:
    room.model.gate.clear()
    async with running(room.lane):
        room.opened(model_task())
        await settled()
        room.lane.closed(model_task().task_key)
        room.opened(model_task())
        room.model.gate.set()
        await settled()
    assert len(room.model.requests) == 2
    assert len(room.commands.taken) == 1


async def test_the_lane_measures_with_its_own_clock(room: Room) -> None:
    async with running(room.lane):
        await room.clock.pass_by(30)
        room.opened(model_task())
        await settled()
    (command,) = room.commands.taken
    assert isinstance(command, ModelReply)
    assert command.began_at == START + timedelta(seconds=30)
    assert command.duration_ms == 0


async def test_half_a_character_in_a_plug_ins_reply_is_mended(room: Room) -> None:
    asked = AskedCall(model_call_id="c1", tool="look_up", args={"n": "\ud83d"})
    room.model.outcome = ModelResponse(model="one", text="Hi \ud83d", tool_calls=(asked,), blocks=({"t": "\ude00"},))
    async with running(room.lane):
        room.opened(model_task())
        await settled()
    (reply,) = room.commands.taken
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.tool_calls[0].args, reply.blocks) == ("Hi \ufffd", {"n": "\ufffd"}, ({"t": "\ufffd"},))


async def test_half_a_character_in_an_apis_error_is_mended(room: Room) -> None:
    room.model.outcome = ModelError("api_error", "it said \ud83d", retryable=True)
    assert (await room.failed()).error.message == "it said \ufffd"


async def test_a_plug_ins_reply_that_no_message_can_hold_stops_nobody(room: Room) -> None:
    room.model.outcome = ModelResponse(model="one", blocks=({"n": float("nan")},))
    failed = await room.failed()
    assert (failed.error.kind, failed.retryable) == ("provider_failed", True)
