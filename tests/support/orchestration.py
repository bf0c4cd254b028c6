"""A running orchestrator for tests, on any log: the real loop, a clock that the test moves, a sender of commands."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agentspan.eventlog import CaughtUp, Log, Outcome, Position, Table
from agentspan.eventlog.commands import CommandLog
from agentspan.eventlog.memory import MemoryInbox, MemoryTable
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ports import StateCache
from agentspan_orchestrator.service import Orchestrator
from agentspan_schemas import JsonObject
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition, ToolDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.canonical import args_hash
from tests.support.eventually import until

ANY = {"type": "object"}
AGENT = AgentDefinition(
    name="support",
    model="replay/support",
    tools=(
        ToolDefinition(name="look_up", input_schema=ANY),
        ToolDefinition(name="charge", input_schema=ANY, effects="once"),
        ToolDefinition(name="refund", input_schema=ANY, approval_required=True, effects="once"),
        ToolDefinition(
            name="credit", input_schema=ANY, approval_required=True, effects="once", approval_expires_s=3600
        ),
    ),
)
EXECUTION = "exec-aaaaaaaaaaaaaaaa"


@dataclass
class Clock:
    """The time, which stands still unless a test moves it."""

    at: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class World:
    """What outlives a process: tables, the agents that were registered, and the clock."""

    log: Log
    cache: Callable[[int], StateCache] = field(default_factory=lambda: MemoryCaches().of)
    clock: Clock = field(default_factory=Clock)
    agents: Table = field(default_factory=MemoryTable)
    workers: Table = field(default_factory=MemoryTable)
    lease_s: float = 10.0
    snapshots: Table | None = None
    steady: Callable[[], datetime] | None = None


async def outcomes(world: World) -> list[Outcome]:
    """All that counts on the log's first partition now."""
    partition = world.log.partition(0)
    end = await partition.end()
    return [outcome async for outcome in partition.follow(until=Position(end, 0, 0))]


async def types(world: World) -> list[str]:
    """The types of its records."""
    return [stored.record.type for outcome in await outcomes(world) for stored in outcome.records]


class MemoryCaches:
    """One cache a partition, kept across restarts."""

    def __init__(self) -> None:
        self._caches: dict[int, MemoryStateCache] = {}

    def of(self, number: int) -> StateCache:
        return self._caches.setdefault(number, MemoryStateCache())


@dataclass
class Process:
    """One process of the orchestrator, while it runs."""

    orchestrator: Orchestrator
    commands: CommandLog
    inbox: MemoryInbox
    tasks: Table

    async def send(self, command: c.Command) -> Answer:
        return await self.commands.submit(command)

    async def open_tasks(self) -> list[str]:
        """The keys that stand on the tasks table."""
        standing: dict[str, None] = {}
        async for change in self.tasks.follow():
            if isinstance(change, CaughtUp):
                break
            standing[change.key] = None
            if change.record is None:
                del standing[change.key]
        return list(standing)

    async def until(self, reached: Callable[[], object]) -> None:
        """Let everything run until something is so."""
        await until(reached)


@asynccontextmanager
async def process(world: World) -> AsyncIterator[Process]:
    """Start one, wait until it serves, and end it as a crash would: nothing is told to anybody."""
    inbox = MemoryInbox(world.log.partitions, id=uuid.uuid4().hex)
    tasks, definitions = MemoryTable(world.log.partitions), Definitions(world.agents)
    orchestrator = Orchestrator(
        log=world.log,
        inbox=inbox,
        tasks=tasks,
        workers=world.workers,
        definitions=definitions,
        cache=world.cache,
        owner_id="orchestrator-1",
        now=world.clock.now,
        sleep=lambda seconds: asyncio.sleep(min(seconds, 0.005)),
        lease_s=world.lease_s,
        snapshots=world.snapshots,
        steady=world.steady,
    )
    commands = CommandLog(world.log, inbox, unavailable=orchestrator.unavailable)
    services = (definitions, orchestrator, commands)
    running = [asyncio.create_task(service.run()) for service in services]
    one = Process(orchestrator, commands, inbox, tasks)
    try:
        await definitions.register(AGENT)
        await one.until(lambda: all(orchestrator.unavailable(n) is None for n in range(world.log.partitions)))
        yield one
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def start(execution_id: str = EXECUTION, prompt: str = "My invoice is wrong") -> c.Start:
    return c.Start(
        command_id=f"start:{execution_id}",
        execution_id=execution_id,
        agent=AGENT.name,
        agent_version=AGENT.version,
        prompt=prompt,
        requested_by="user:ana",
        source="test",
        key=execution_id,
        content_hash=prompt,
    )


def ask(*tools: str, turn: int = 1, execution_id: str = EXECUTION) -> c.ModelReply:
    """The model asks for these tools, with the args that `ARGS` has for each."""
    return c.ModelReply(
        command_id=f"{execution_id}/model-{turn}/1/result",
        execution_id=execution_id,
        turn=turn,
        attempt=1,
        model="m",
        tool_calls=tuple(c.AskedCall(model_call_id=f"m{i}", tool=tool, args=ARGS) for i, tool in enumerate(tools)),
    )


ARGS: JsonObject = {"usd": 9}


def say(text: str, *, turn: int, execution_id: str = EXECUTION) -> c.ModelReply:
    """The model's final answer."""
    return ask(turn=turn, execution_id=execution_id).model_copy(update={"text": text})


def approve(call_id: str, *, by: str = "user:bo", command_id: str = "approve") -> c.Decide:
    return c.Decide(
        command_id=command_id,
        execution_id=EXECUTION,
        call_id=call_id,
        decision="approve",
        args_hash=args_hash(ARGS),
        by=by,
        channel="cli",
    )


def claim(call_id: str, claim_id: str = "claim-1", attempt: int = 1) -> c.Claim:
    return c.Claim(
        command_id=claim_id,
        execution_id=EXECUTION,
        call_id=call_id,
        attempt=attempt,
        claim_id=claim_id,
        worker="w",
    )


def result(call_id: str, value: object = "ok", *, claim_id: str | None = None) -> c.ReturnResult:
    return c.ReturnResult.model_validate(
        {
            "command_id": f"{claim_id or call_id}/result",
            "execution_id": EXECUTION,
            "call_id": call_id,
            "attempt": 1,
            "claim_id": claim_id,
            "ok": True,
            "value": value,
            "worker": "w",
        }
    )
