"""What must not stop a partition, or fill its log: commands that nobody foresaw, entries that nobody here can read, and
tasks that nobody takes.

Apart from the loop's other tests: here each case once ended a process, or would have, and again after every restart.
"""

import asyncio
import base64
import logging
from datetime import timedelta

import pytest

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryLog
from agentspan.eventlog.messages import read_log_record
from agentspan_orchestrator import owned
from agentspan_orchestrator.alarms import SPARE, Alarms
from agentspan_orchestrator.domain import decide
from agentspan_orchestrator.owned import OwnedPartition
from agentspan_schemas import MAX_VALUE_BYTES, JsonObject
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import ToolDefinition
from agentspan_schemas.answers import UnreadableCommand
from agentspan_schemas.codec import encode
from agentspan_schemas.tasks import WorkerSession
from tests.support import orchestration
from tests.support.orchestration import (
    AGENT,
    EXECUTION,
    World,
    approve,
    ask,
    outcomes,
    process,
    say,
    start,
    types,
)


async def results(world: World) -> list[e.ToolResult]:
    found = [read_log_record(stored.record) for outcome in await outcomes(world) for stored in outcome.records]
    return [message for message in found if isinstance(message, e.ToolResult)]


def asks(tool: str, args: JsonObject) -> c.ModelReply:
    return ask(tool).model_copy(update={"tool_calls": (c.AskedCall(model_call_id="m", tool=tool, args=args),)})


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"properties": {"usd": {"multipleOf": 0.01}}}, {"usd": 10**300}),
        ({"properties": {"usd": {"$ref": "#/$defs"}}, "$defs": {"type": "number"}}, {"usd": 1}),
        ({"$id": "http://[", "properties": {"usd": {"$ref": "other"}}}, {"usd": 1}),
    ],
)
async def test_what_the_checker_of_schemas_cannot_do_is_told_to_the_model(
    schema: JsonObject, args: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = AGENT.model_copy(update={"tools": (ToolDefinition(name="pay", input_schema=schema, effects="once"),)})
    monkeypatch.setattr(orchestration, "AGENT", odd)
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(orchestration.start())
        assert (await here.send(asks("pay", args))).refusal is None
        [told] = await results(world)
        assert told.error is not None
        assert told.error.kind == "invalid_args"
        assert (await here.send(say("Sorry.", turn=2))).refusal is None


async def test_a_command_that_cannot_be_decided_fails_its_own_run_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, right = World(MemoryLog(1)), decide

    def wrong(state: object, command: c.Command, *rest: object) -> object:
        if command.execution_id == EXECUTION and command.type in ("model_reply", "decide"):
            raise ZeroDivisionError("nobody foresaw this")
        return right(state, command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(owned, "decide", wrong)
    async with process(world) as here:
        await here.send(start())
        refused = await here.send(approve("1-0"))
        assert refused.refusal is not None
        assert "ZeroDivisionError" in refused.refusal.message
        assert (await here.send(ask("look_up"))).refusal is None
        assert (await types(world))[-1] == "failed"
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
        await here.send(say("Hello.", turn=1, execution_id="exec-bbbbbbbbbbbbbbbb"))
        assert (await types(world))[-1] == "done"
    assert [line.exc_info is not None for line in caplog.records if line.levelno == logging.ERROR] == [True, True]


async def test_an_unreadable_command_as_large_as_a_message_is_kept_as_far_as_it_fits() -> None:
    world, raw = World(MemoryLog(1)), b"\xff" * (MAX_VALUE_BYTES - 100)
    async with process(world) as here:
        await here.inbox.send(0, Record("decide", EXECUTION, raw, {"commandid": "x"}))
        await here.send(start())
        [note] = [
            message
            for outcome in await outcomes(world)
            for stored in outcome.records
            if isinstance(message := read_log_record(stored.record), UnreadableCommand)
        ]
        kept = base64.b64decode(note.raw_base64)
        assert raw.startswith(kept)
        assert len(kept) == owned.KEPT_BYTES
        assert f"of {len(raw)} bytes, SHA-256 " in note.error


async def test_entries_of_a_newer_version_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    world = World(MemoryLog(1))
    await world.workers.put("s", Record("worker", "s", b'{"schema_version": 2, "lanes": 7}', {}))
    await world.agents.put("later@2", Record("agent", "later", b'{"schema_version": 2, "name": 7}', {}))
    async with process(world) as here:
        await here.send(start())
        assert (await here.send(say("Hello.", turn=1))).refusal is None
    passed_over = [line.getMessage() for line in caplog.records if "passed over" in line.getMessage()]
    assert len(passed_over) == 2


@pytest.mark.parametrize("tool", ["look_up", "charge", "refund"])
async def test_arguments_that_no_task_can_hold_are_an_error_of_their_call(tool: str) -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start().model_copy(update={"metadata": {"note": "x" * 600_000}}))
        assert (await here.send(asks(tool, {"text": "y" * 441_000}))).refusal is None
        [told] = await results(world)
        assert told.error is not None
        assert told.error.kind == "too_large"
        assert "metadata" in told.error.message
        assert "waiting" not in await types(world)


async def test_a_task_that_nobody_takes_is_named_lost_once() -> None:
    """An approved call whose worker was gone before its claim stands on the topic; the log stays quiet meanwhile."""
    world = World(MemoryLog(1))
    async with process(world) as here:
        for command in (start(), ask("refund"), approve("1-0")):
            await here.send(command)
        held = WorkerSession(
            session_id="s", gateway_id="g", worker="w", tools={}, holds=(f"{EXECUTION}/1-0/1",), at=world.clock.now()
        )
        await world.workers.put("s", Record("worker", "s", encode(held), {}, held))
        watch = here.orchestrator
        await here.until(lambda: watch.unavailable(0) is None)
        for _ in range(20):
            world.clock.advance(world.lease_s + 1)
            await asyncio.sleep(0.02)
        before = (await types(world)).count("refused")
        for _ in range(20):
            world.clock.advance(world.lease_s + 1)
            await asyncio.sleep(0.02)
        assert (await types(world)).count("refused") == before <= 1
        assert (await here.open_tasks())[-1] == f"{EXECUTION}/1-0/1"


async def test_moments_that_hold_no_more_are_not_kept() -> None:
    now = orchestration.Clock().now()
    alarms = Alarms([(now + timedelta(days=1), "exec-0")])
    for step in range(10 * SPARE):
        alarms.set("exec-0", now + timedelta(seconds=step))
    assert len(alarms) <= SPARE + 2
    alarms.set("exec-1", now)
    alarms.set("exec-1", None)
    assert alarms.take(now + timedelta(days=2)) == ["exec-0"]
    assert alarms.take(now + timedelta(days=2)) == []


async def test_the_earliest_moment_comes_first_and_none_before_its_time() -> None:
    now = orchestration.Clock().now()
    alarms = Alarms([(now + timedelta(seconds=s), f"exec-{s}") for s in (3, 1, 2)])
    assert alarms.take(now) == []
    assert alarms.take(now + timedelta(seconds=2)) == ["exec-1", "exec-2"]


async def test_nobody_looks_at_the_clock_while_there_is_no_moment_to_wait_for() -> None:
    now, alarms = orchestration.Clock().now(), Alarms()
    waiting = asyncio.create_task(alarms.some())
    for _ in range(3):
        alarms.set("exec-0", None)
        await asyncio.sleep(0)
        assert not waiting.done()
    alarms.set("exec-0", now)
    await waiting
    await alarms.some()
    assert alarms.take(now) == ["exec-0"]
    again = asyncio.create_task(alarms.some())
    await asyncio.sleep(0)
    assert not again.done()
    alarms.set("exec-1", now)
    await again


async def test_timers_are_looked_for_only_while_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, real = [0], OwnedPartition.fire_due

    async def counted(owned: OwnedPartition) -> None:
        looked[0] += 1
        await real(owned)

    monkeypatch.setattr(OwnedPartition, "fire_due", counted)
    async with process(World(MemoryLog(1))) as here:
        for number in range(50):
            await here.send(start(f"exec-{number}"))
            await here.send(ask("refund", execution_id=f"exec-{number}"))
            await asyncio.sleep(0.001)
        assert looked[0] == 2  # at the takeover
        await here.send(start())
        await here.send(ask("credit"))
        await here.until(lambda: looked[0] > 10)
