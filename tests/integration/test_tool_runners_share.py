"""Several tool-runners over the same tables, beside a real orchestrator: they share the work, and take it over from one
that dies. Time passes only as the test says; the orchestrator follows it in its own ticks.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentspan.eventlog import CaughtUp, Position
from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import events_of
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.events import Event, RetryScheduled
from agentspan_schemas.http import ClaimItem, ResultItem, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask
from agentspan_tool_runner.models import ModelRequest, ModelResponse, Providers
from agentspan_tool_runner.service import ToolRunner
from tests.support.orchestration import AGENT, ARGS, EXECUTION, Clock, Process, World, approve, process, start
from tests.support.tool_runner import Ids, StillClock, settled

TOOLS = {AGENT.name: {tool.name: tool.input_schema_hash for tool in AGENT.tools}}
BEAT_S = 0.25


class SharedClock(Clock):
    """The time that the runners sleep in, as the machine's clock has it: somebody may set that by `set_by`."""

    def __init__(self, still: StillClock) -> None:
        super().__init__()
        self._still = still
        self.set_by = timedelta(0)

    def now(self) -> datetime:
        return self._still.now() + self.set_by


@dataclass
class Model:
    """Asks for these tools, then says good-bye; says who asked it. `gate` holds the calls back while it is cleared."""

    asked: list[tuple[str, str, int]] = field(default_factory=list)
    tools: tuple[str, ...] = ("look_up",)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def seen_by(self, runner: str, missing: str | None) -> "SeenModel":
        return SeenModel(self, runner, missing)


@dataclass
class SeenModel:
    """The model as one tool-runner's provider."""

    model: Model
    runner: str
    missing: str | None

    def check(self, definition: AgentDefinition) -> str | None:
        return self.missing

    async def reply(self, request: ModelRequest) -> ModelResponse:
        self.model.asked.append((self.runner, request.execution_id, request.turn))
        await self.model.gate.wait()
        if request.turn > 1:
            return ModelResponse(model="m", text="Done.")
        calls = tuple(AskedCall(model_call_id=f"m{n}", tool=tool, args=ARGS) for n, tool in enumerate(self.model.tools))
        return ModelResponse(model="m", tool_calls=calls)

    async def aclose(self) -> None:
        pass


class Runner:
    """One tool-runner, with a worker of its own when asked for. `crash` is without a good-bye."""

    def __init__(self, name: str, room: "Room", missing: str | None) -> None:
        self.name = name
        self.room = room
        self.service = ToolRunner(
            tasks=room.process.tasks,
            workers=room.world.workers,
            commands=room.process.commands,
            providers=Providers({"replay": lambda: room.model.seen_by(name, missing)}),
            definition_of=room.definition_of,
            now=room.world.clock.now,
            steady=room.clock.now,
            sleep=room.clock.sleep,
            new_id=Ids(name),
            chance=lambda: 0.5,
            lease_s=room.world.lease_s,
        )
        self._running = [asyncio.create_task(self.service.run())]

    def serve(self, *, reports: bool = True) -> None:
        """A worker connects; one that does not report holds what it is given (but answers the pings)."""
        self._running.append(asyncio.create_task(self._serve(reports)))

    async def crash(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reports: bool) -> None:
        gateway = self.service.gateway
        session_id = gateway.hello(SessionRequest(worker=f"w@{self.name}", tools=TOOLS)).session_id
        with gateway.stream(session_id) as stream:
            async for batch in stream:
                await gateway.report(session_id, WorkerReport())
                for task in filter(None, batch):
                    await self._take(session_id, ToolTask.model_validate_json(task), reports)

    async def _take(self, session_id: str, task: ToolTask, reports: bool) -> None:
        about = {"execution_id": task.execution_id, "call_id": task.call_id, "attempt": task.attempt}
        claim_id = f"claim:{self.name}:{task.task_key}" if task.effects == "once" else None
        self.room.ran.append((self.name, task.task_key))
        claims = (ClaimItem.model_validate({**about, "claim_id": claim_id}),) if claim_id else ()
        await self.service.gateway.report(session_id, WorkerReport(claims=claims))
        if reports:
            began = {"began_at": self.room.clock.now(), "duration_ms": 1.0}
            item = ResultItem.model_validate({**about, **began, "claim_id": claim_id, "ok": True, "value": self.name})
            await self.service.gateway.report(session_id, WorkerReport(results=(item,)))


class Room:
    """The tables, the orchestrator, and the runners that come and go."""

    def __init__(self, clock: StillClock, wall: SharedClock, world: World, process: Process) -> None:
        self.clock = clock
        self.wall = wall
        self.world = world
        self.process = process
        self.model = Model()
        self.model.gate.set()
        self.ran: list[tuple[str, str]] = []
        self.runners: list[Runner] = []

    async def definition_of(self, agent: str, version: str) -> AgentDefinition | None:
        return AGENT if (agent, version) == (AGENT.name, AGENT.version) else None

    async def runner(self, name: str, *, missing: str | None = None) -> Runner:
        runner = Runner(name, self, missing)
        self.runners.append(runner)
        await runner.service.loaded.wait()
        await settled()
        return runner

    async def start(self, *executions: str) -> None:
        await asyncio.gather(*(self.process.send(start(execution_id)) for execution_id in executions))

    async def events(self, kind: str) -> list[Event]:
        partition = self.world.log.partition(0)
        until = Position(await partition.end(), 0, 0)
        found = [event async for outcome in partition.follow(until=until) for _, event in events_of(outcome)]
        return [event for event in found if event.type == kind]

    async def until(self, reached: Callable[[], object], *, within_s: float = 60.0) -> float:
        """Let time pass in small steps until it is so; the time that passed."""
        began = self.clock.now()
        while not reached():
            passed = (self.clock.now() - began).total_seconds()
            assert passed < within_s, "it did not come"
            await self.clock.pass_by(BEAT_S)
            await asyncio.sleep(0.006)  # the orchestrator's ticks are in real time
        return (self.clock.now() - began).total_seconds()

    async def logged(self, kind: str, number: int = 1) -> list[Event]:
        found: list[Event] = []
        while len(found) < number:
            await self.until(_once())
            found = await self.events(kind)
        return found

    async def pass_by(self, seconds: float) -> None:
        until = self.clock.now().timestamp() + seconds
        await self.until(lambda: self.clock.now().timestamp() >= until, within_s=seconds + 1)

    async def sessions(self) -> list[str]:
        standing: dict[str, None] = {}
        async for change in self.world.workers.follow():
            if isinstance(change, CaughtUp):
                break
            standing[change.key] = None
        return list(standing)

    def asked_twice(self) -> list[tuple[str, int]]:
        counted = Counter((execution_id, turn) for _, execution_id, turn in self.model.asked)
        return [call for call, times in counted.items() if times > 1]

    def ran_twice(self) -> list[str]:
        return [key for key, times in Counter(key for _, key in self.ran).items() if times > 1]


def _once() -> Callable[[], object]:
    answers = iter((False, True))
    return lambda: next(answers)


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    clock = StillClock()
    wall = SharedClock(clock)
    world = World(MemoryLog(1), clock=wall, steady=clock.now)
    async with process(world) as one:
        made = Room(clock, wall, world, one)
        try:
            yield made
        finally:
            await asyncio.gather(*(runner.crash() for runner in made.runners))


async def test_one_runner_alone_begins_without_any_time_passing() -> None:
    async with room() as here:
        began = here.clock.now()
        alone = await here.runner("a")
        alone.serve()
        await here.start(EXECUTION)
        await here.process.until(lambda: len(here.model.asked) == 2)
        assert here.clock.now() == began


async def test_three_runners_share_the_work_and_nothing_runs_twice() -> None:
    async with room() as here:
        for name in "abc":
            (await here.runner(name)).serve()
        await here.pass_by(1)
        await here.start(*(f"exec-{number:016}" for number in range(40)))
        await here.logged("done", 40)
        assert (here.asked_twice(), here.ran_twice()) == ([], [])
        assert {name for name, _ in here.ran} == {"a", "b", "c"}
        assert {name for name, _, _ in here.model.asked} == {"a", "b", "c"}
        assert await here.events("retry_scheduled") == []


async def test_runners_that_start_at_the_same_moment_with_work_waiting_run_nothing_twice() -> None:
    async with room() as here:
        await here.start(*(f"exec-{number:016}" for number in range(20)))
        runners = await asyncio.gather(*(here.runner(name) for name in "abc"))
        for runner in runners:
            runner.serve()
        await here.logged("done", 20)
        assert (here.asked_twice(), here.ran_twice()) == ([], [])


async def test_a_runner_that_joins_or_leaves_in_the_middle_of_work_runs_nothing_twice() -> None:
    async with room() as here:
        first = await here.runner("a")
        first.serve(reports=False)
        await here.start(*(f"exec-{number:016}" for number in range(10)))
        await here.until(lambda: len(here.ran) == 10)
        here.model.gate.clear()
        await here.start(*(f"exec-{number:016}" for number in range(10, 20)))
        await here.until(lambda: len(here.model.asked) == 20)
        (await here.runner("b")).serve()
        await here.pass_by(8)
        assert (here.asked_twice(), here.ran_twice()) == ([], [])
        here.model.gate.set()
        await here.until(lambda: len(here.ran) == 20)
        assert {name for name, _ in here.ran[10:]} == {"a", "b"}
        before = [key for name, key in here.ran if name == "a"]
        await first.service.gateway.drain()
        await here.logged("done", 20)
        assert here.asked_twice() == []
        assert sorted(here.ran_twice()) == sorted(before)  # given up unreported, and so run by the other


async def test_the_idempotent_tasks_of_a_crashed_runner_are_run_by_another_after_the_lease() -> None:
    async with room() as here:
        first = await here.runner("a")
        first.serve(reports=False)
        await here.start(EXECUTION)
        await here.until(lambda: here.ran == [("a", f"{EXECUTION}/1-0/1")])
        (await here.runner("b")).serve()
        await here.pass_by(2)
        await first.crash()
        passed = await here.until(lambda: len(here.ran) == 2)
        assert here.ran[1] == ("b", f"{EXECUTION}/1-0/1")
        assert here.world.lease_s - 2 <= passed <= here.world.lease_s + 2
        await here.logged("done")
        assert await here.events("in_doubt") == []


async def test_a_granted_once_call_of_a_crashed_runner_ends_in_doubt_and_runs_nowhere_else() -> None:
    async with room() as here:
        here.model.tools = ("refund",)
        first = await here.runner("a")
        first.serve(reports=False)
        await here.start(EXECUTION)
        await here.logged("waiting")
        await here.process.send(approve("1-0"))
        await here.logged("tool_started")
        (await here.runner("b")).serve()
        await here.pass_by(2)
        assert await here.events("in_doubt") == []
        await first.crash()
        await here.logged("in_doubt")
        await here.pass_by(15)
        assert here.ran == [("a", f"{EXECUTION}/1-0/1")]


async def test_a_model_call_of_a_crashed_runner_is_lost_and_its_next_attempt_made_by_another() -> None:
    async with room() as here:
        here.model.gate.clear()
        first = await here.runner("a")
        await here.start(EXECUTION)
        await here.until(lambda: here.model.asked == [("a", EXECUTION, 1)])
        second = await here.runner("b")
        second.serve()
        await here.pass_by(3 * here.world.lease_s)
        assert here.model.asked == [("a", EXECUTION, 1)]
        await first.crash()
        here.model.gate.set()
        passed = await here.until(lambda: len(here.model.asked) > 1)
        (retry,) = await here.events("retry_scheduled")
        assert isinstance(retry, RetryScheduled)
        assert (retry.turn, retry.attempt) == (1, 2)
        assert here.model.asked[1] == ("b", EXECUTION, 1)
        assert passed <= 2 * here.world.lease_s + 3
        await here.logged("done")
        assert here.model.asked == [("a", EXECUTION, 1), ("b", EXECUTION, 1), ("b", EXECUTION, 2)]


async def test_a_runner_without_the_key_leaves_model_calls_to_one_that_has_it() -> None:
    async with room() as here:
        for name, missing in (("a", "no key"), ("b", None), ("c", "no key")):
            (await here.runner(name, missing=missing)).serve()
        await settled()
        await here.start(*(f"exec-{number:016}" for number in range(12)))
        await here.until(lambda: len(here.model.asked) == 24, within_s=2)
        assert {name for name, _, _ in here.model.asked} == {"b"}
        assert len({name for name, _ in here.ran}) > 1


async def test_a_runner_that_drains_ends_its_model_calls_in_peace_and_begins_no_more() -> None:
    async with room() as here:
        here.model.gate.clear()
        first = await here.runner("a")
        await here.start(EXECUTION)
        await here.until(lambda: here.model.asked)
        second = await here.runner("b")
        second.serve()
        await first.service.gateway.drain()
        await here.start("exec-bbbbbbbbbbbbbbbb")
        await here.until(lambda: len(here.model.asked) == 2)
        await here.pass_by(3 * here.world.lease_s)
        here.model.gate.set()
        await here.logged("done", 2)
        assert here.asked_twice() == []
        assert [name for name, _, _ in here.model.asked] == ["a", "b", "b", "b"]
        await here.until(lambda: first.service.models.announced() == ())
        await here.pass_by(1)
        assert not any(session.endswith("a-1") for session in await here.sessions())


async def test_the_records_of_a_crashed_runner_are_deleted_by_whoever_lives() -> None:
    async with room() as here:
        first = await here.runner("a")
        first.serve()
        await here.runner("b")
        await here.pass_by(1)
        assert len(await here.sessions()) == 3
        await first.crash()
        await here.pass_by(6 * here.world.lease_s)
        assert await here.sessions() == ["models@b-1"]


async def test_a_runner_that_starts_after_all_others_crashed_goes_on_with_their_work() -> None:
    async with room() as here:
        first = await here.runner("a")
        first.serve(reports=False)
        await here.start(EXECUTION)
        await here.until(lambda: here.ran)
        await here.pass_by(2)
        await first.crash()
        (await here.runner("b")).serve()
        await here.logged("done")
        assert [name for name, _ in here.ran] == ["a", "b"]


async def test_a_cancelled_execution_ends_the_model_call_wherever_it_is_made() -> None:
    async with room() as here:
        here.model.gate.clear()
        for name in "ab":
            await here.runner(name)
        await here.start(EXECUTION)
        await here.until(lambda: here.model.asked)
        await here.process.send(c.Cancel(command_id="stop", execution_id=EXECUTION, by="user:bo", channel="cli"))
        await here.logged("cancelled")
        await here.pass_by(1)
        held = [runner.service.models.record(f"models@{runner.name}-1") for runner in here.runners]
        assert [session.holds for session in held if session] == [(), ()]
