"""The orchestrator's loop on a real log: what it restores, what it publishes, what it does when something is wrong."""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agentspan.eventlog import Change, Record
from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan.eventlog.memory import MemoryInbox, MemoryLog
from agentspan.eventlog.messages import events_of
from agentspan.eventlog.sqlite import SqliteLog
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_schemas import commands as c
from tests.support import orchestration
from tests.support.orchestration import (
    EXECUTION,
    MemoryCaches,
    Process,
    World,
    approve,
    ask,
    claim,
    outcomes,
    process,
    result,
    say,
    start,
    types,
)


async def logged(world: World, kind: str) -> None:
    """Return when an event of that type stands on the log."""
    async with asyncio.timeout(20):
        async for outcome in world.log.partition(0).follow():
            if any(stored.record.type == kind for stored in outcome.records):
                return


async def test_a_run_goes_through_a_refund_to_its_answer() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        assert await here.open_tasks() == [f"{EXECUTION}/model-1/1"]
        await here.send(ask("look_up", "refund"))
        assert await here.open_tasks() == [f"{EXECUTION}/1-0/1"]
        await here.send(result("1-0"))
        assert await here.open_tasks() == []
        await here.send(approve("1-1"))
        assert await here.open_tasks() == [f"{EXECUTION}/1-1/1"]
        await here.send(claim("1-1"))
        assert await here.open_tasks() == []
        await here.send(result("1-1", claim_id="claim-1"))
        answer = await here.send(say("Refunded.", turn=2))
        assert answer.accepted
        assert await here.open_tasks() == []
    events = [event for outcome in await outcomes(world) for _, event in events_of(outcome)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].status == "completed"


@pytest.mark.parametrize("kept", ["kept", "lost"])
async def test_a_restart_goes_on_where_it_was_with_or_without_its_cache(kept: str) -> None:
    world = World(MemoryLog(1))
    async with process(world) as before:
        await before.send(start())
        await before.send(ask("refund", "look_up"))
        await before.send(approve("1-0"))
    if kept == "lost":
        world.cache = MemoryCaches().of
    async with process(world) as after:
        assert sorted(await after.open_tasks()) == [f"{EXECUTION}/1-0/1", f"{EXECUTION}/1-1/1"]
        again = await after.send(approve("1-0"))
        assert again.accepted
        assert again.repeated
        other = await after.send(approve("1-0", by="user:cy", command_id="another"))
        assert other.refusal is not None
        assert other.refusal.winner is not None
        assert other.refusal.winner.by == "user:bo"


async def test_a_cache_that_is_ahead_of_its_log_is_folded_anew() -> None:
    caches = MemoryCaches()
    world = World(MemoryLog(1), cache=caches.of)
    async with process(world) as here:
        await here.send(start())
    world = World(MemoryLog(1), cache=caches.of)  # the log was restored from an older copy, with the same id
    async with process(world) as here:
        assert await here.open_tasks() == []
        unknown = await here.send(ask("look_up"))
        assert unknown.refusal is not None
        assert unknown.refusal.code == "unknown_execution"


async def test_an_approval_expires_also_when_the_server_was_down_at_its_time() -> None:
    world = World(MemoryLog(1))
    async with process(world) as before:
        await before.send(start())
        await before.send(ask("credit"))
    world.clock.advance(3601)
    async with process(world) as after:
        await logged(world, "expired")
        late = await after.send(approve("1-0"))
    assert late.refusal is not None
    assert late.refusal.code == "already_decided"


async def test_a_retry_opens_its_task_when_its_time_has_come() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        failed = c.ModelFailed.model_validate(
            {
                "command_id": "failed",
                "execution_id": EXECUTION,
                "turn": 1,
                "attempt": 1,
                "error": {"kind": "overloaded", "message": "529"},
                "retryable": True,
            }
        )
        await here.send(failed)
        assert await here.open_tasks() == []
        world.clock.advance(2)
        async with asyncio.timeout(20):
            async for change in here.tasks.follow():
                if isinstance(change, Change) and change.key == f"{EXECUTION}/model-1/2":
                    return


async def test_a_granted_call_that_nobody_holds_is_in_doubt_after_a_lease() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        await here.send(ask("refund"))
        await here.send(approve("1-0"))
        await here.send(claim("1-0"))
        world.clock.advance(30)
        await logged(world, "in_doubt")
        late = await here.send(result("1-0", claim_id="claim-1"))
        assert late.accepted


async def test_bytes_that_are_no_command_are_kept_and_stop_nobody() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.inbox.send(0, Record("start", EXECUTION, b"\x00 no JSON", {"commandid": "odd"}))
        await here.send(start())
    first = (await outcomes(world))[0].records[0].record
    assert first.type == "unreadable"
    assert base64.b64decode(json.loads(first.value)["raw_base64"]) == b"\x00 no JSON"
    assert (await types(world))[1:] == ["started", "model_called"]


class Wire(MemoryInbox):
    """Bytes alone arrive, as between two processes."""

    def send(self, partition: int, record: Record) -> asyncio.Future[Sequence[int]]:
        return super().send(partition, record._replace(message=None))


async def test_a_command_that_its_owner_cannot_read_was_not_decided_and_can_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orchestration, "MemoryInbox", Wire)
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        await here.send(ask("refund"))
        decision = approve("1-0")
        with pytest.raises(Unavailable, match=r"schema_version 99.*upgrade the orchestrators first"):
            await here.send(decision.model_copy(update={"schema_version": 99}))
        answer = await here.send(decision)
    assert (answer.accepted, answer.repeated) == (True, False)


async def test_a_reply_beyond_any_message_fails_its_run_and_says_why() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        await here.send(say("x" * 1_048_000, turn=1))
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
    assert (await types(world))[-3:] == ["failed", "started", "model_called"]


async def fill(here: Process) -> None:
    for number in range(1000):
        await here.send(start(f"exec-{number:016d}", prompt="x" * 2000))


async def test_a_full_disk_refuses_new_work_clearly_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite3"
    await SqliteLog.open(path, 1).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE filler AS SELECT zeroblob(200 * 4096) AS x")
        [pages] = other.execute("PRAGMA page_count").fetchone()
        log = SqliteLog.open(path, 1, max_page_count=pages + 40)
        world = World(log)
        async with process(world) as here:
            with pytest.raises((Unavailable, OutcomeUnknown)):
                await fill(here)
            await here.until(lambda: "full" in (here.orchestrator.unavailable(0) or ""))
            with pytest.raises(Unavailable, match="free some space"):
                await here.send(start("exec-cccccccccccccccc"))
            other.execute("DROP TABLE filler")
            await here.until(lambda: here.orchestrator.unavailable(0) is None)
            assert (await here.send(start("exec-cccccccccccccccc"))).accepted
        await log.close()


async def test_the_cache_reads_what_the_log_says_after_a_renewed_takeover() -> None:
    cache = MemoryStateCache()
    world = World(MemoryLog(1, renew_after=4), cache=lambda _: cache)
    async with process(world) as here:
        for number in range(10):
            await here.send(start(f"exec-{number:016d}"))
        assert len(await here.open_tasks()) == 10
    position, _ = cache.open(world.log.id)
    assert position.epoch > 1
