"""The approvals service on a running orchestrator: what it shows, when it shows it, and after which restarts."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from agentspan.eventlog import BEGINNING
from agentspan.eventlog.commands import Unavailable
from agentspan.eventlog.memory import MemoryLog
from agentspan_approvals import service
from agentspan_approvals.adapters import sqlite_store
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.ports import Search
from agentspan_approvals.service import Approvals
from agentspan_schemas import commands as c
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.canonical import args_hash
from tests.support.orchestration import (
    ARGS,
    EXECUTION,
    Process,
    World,
    approve,
    ask,
    claim,
    process,
    result,
    say,
    start,
)
from tests.unit.cli_server import record

PENDING = Search(states=("pending",))
CALL = f"{EXECUTION}.1-0"


@asynccontextmanager
async def approving(here: Process, world: World, path: Path | str = ":memory:") -> AsyncIterator[Approvals]:
    store = SqliteApprovalStore(path)
    approvals = Approvals(log=world.log, commands=here.commands, store=store)
    running = asyncio.create_task(approvals.run())
    try:
        yield approvals
    finally:
        running.cancel()
        await asyncio.wait([running])
        store.close()


async def one(approvals: Approvals, approval_id: str = CALL) -> ApprovalRecord:
    record = await approvals.get(approval_id, EXECUTION)
    assert record is not None
    return record


async def test_a_request_shows_the_exact_call_and_the_hash_that_a_decision_names() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund", "look_up"))
        [request] = await approvals.search(PENDING)
    assert (request.approval_id, request.tool, request.args) == (CALL, "refund", ARGS)
    assert request.args_hash == args_hash(ARGS)


async def test_a_view_that_is_too_slow_answers_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FRESH_S", 0.01)
    world = World(MemoryLog(1))
    async with process(world) as here:
        await here.send(start())
        await here.send(ask("refund"))
        store = SqliteApprovalStore(":memory:")
        nobody_follows = Approvals(log=world.log, commands=here.commands, store=store)
        assert await nobody_follows.search(PENDING) == []
        assert await nobody_follows.get(CALL, EXECUTION, "0:2") is None
        store.close()


async def test_a_read_sees_what_was_on_the_log_when_it_was_asked() -> None:
    world = World(MemoryLog(1, renew_after=3))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        for state, command in (
            ("pending", None),
            ("approved", approve("1-0")),
        ):
            if command is not None:
                await approvals.decide(command)
            assert (await one(approvals)).state == state


async def test_a_decision_leaves_who_decided_and_through_which_door() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        await approvals.decide(approve("1-0").model_copy(update={"edited_args": {"usd": 5}, "reason": "half"}))
        record = await one(approvals)
    assert (record.state, record.decided_by, record.channel) == ("approved", "user:bo", "cli")
    assert (record.args, record.edited_args, record.reason) == (ARGS, {"usd": 5}, "half")


async def test_of_two_decisions_the_first_wins_and_the_second_is_told_who() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        answers = await asyncio.gather(
            approvals.decide(approve("1-0", by="user:bo", command_id="1")),
            approvals.decide(approve("1-0", by="user:cy", command_id="2")),
        )
    assert [answer.accepted for answer in answers] == [True, False]
    refusal = answers[1].refusal
    assert refusal is not None
    assert refusal.winner is not None
    assert refusal.winner.by == "user:bo"


async def test_a_call_in_doubt_is_shown_until_somebody_says_what_became_of_it() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        await here.send(approve("1-0"))
        await here.send(claim("1-0"))
        world.clock.advance(60)
        lost = c.ReportLost(command_id="lost", execution_id=EXECUTION, step="1-0", attempt=1)
        await here.send(lost)
        assert (await one(approvals)).state == "in_doubt"
        await here.send(result("1-0", claim_id="claim-1"))
        assert (await one(approvals)).state == "resolved"


async def test_an_ungated_call_in_doubt_becomes_a_request_and_a_word_about_another_attempt_settles_nothing() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("charge"))
        await here.send(claim("1-0"))
        world.clock.advance(60)
        await here.send(c.ReportLost(command_id="lost", execution_id=EXECUTION, step="1-0", attempt=1))
        request = await one(approvals)
        assert (request.state, request.tool, request.args, request.attempt) == ("in_doubt", "charge", ARGS, 1)
        word = c.Resolve(
            command_id="word",
            execution_id=EXECUTION,
            call_id="1-0",
            attempt=2,
            outcome="not_run",
            by="user:bo",
            channel="ui",
        )
        stale = await here.send(word)
        assert stale.refusal is not None
        assert stale.refusal.code == "stale"
        await here.send(word.model_copy(update={"command_id": "word-2", "attempt": 1}))
        assert (await one(approvals)).state == "resolved"


async def test_requests_of_a_run_that_was_cancelled_wait_no_more() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund", "refund"))
        await here.send(c.Cancel(command_id="cancel", execution_id=EXECUTION, by="user:bo", channel="cli"))
        found = await approvals.search(Search(execution_id=EXECUTION))
    assert [record.state for record in found] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("log", ["same log", "another log"])
async def test_after_a_restart_the_view_goes_on_or_begins_anew_with_its_log(tmp_path: Path, log: str) -> None:
    world, path = World(MemoryLog(1, id="log-1")), tmp_path / "approvals.sqlite3"
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        assert len(await approvals.search(PENDING)) == 1
    if log == "another log":
        world = World(MemoryLog(1, id="log-2"))
    async with process(world) as here, approving(here, world, path) as approvals:
        assert len(await approvals.search(PENDING)) == (1 if log == "same log" else 0)


async def test_after_a_restart_the_view_knows_which_runs_wait_for_somebody(tmp_path: Path) -> None:
    world, path = World(MemoryLog(1)), tmp_path / "approvals.sqlite3"
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        assert (await one(approvals)).state == "pending"
    async with process(world) as here, approving(here, world, path) as approvals:
        await approvals.decide(approve("1-0"))
        assert (await one(approvals)).state == "approved"


async def test_a_view_that_is_ahead_of_its_log_is_folded_anew(tmp_path: Path) -> None:
    path = tmp_path / "approvals.sqlite3"
    world = World(MemoryLog(1, id="log-1"))
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        await approvals.search(PENDING)
    world = World(MemoryLog(1, id="log-1"))  # restored from an older copy
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
        await here.send(ask("refund", execution_id="exec-bbbbbbbbbbbbbbbb"))
        found = await approvals.search(PENDING)
    assert [record.execution_id for record in found] == ["exec-bbbbbbbbbbbbbbbb"]


async def test_a_damaged_view_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "approvals.sqlite3"
    path.write_bytes(b"no database" * 1000)
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        assert len(await approvals.search(PENDING)) == 1


async def test_a_view_that_turns_out_to_be_damaged_as_it_is_opened_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "approvals.sqlite3"
    world = World(MemoryLog(1))
    ids = [f"exec-{number:016}" for number in range(30)]
    async with process(world) as here, approving(here, world, path) as approvals:
        for id_ in ids:
            await here.send(start(id_))
            await here.send(ask("refund", execution_id=id_))
        assert len(await approvals.search(PENDING)) == len(ids)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))  # its first page stays
    async with process(world) as here, approving(here, world, path) as approvals:
        assert [record.execution_id for record in await approvals.search(PENDING)] == ids


async def test_a_view_that_a_reader_finds_damaged_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "approvals.sqlite3"
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world, path) as approvals:
        await here.send(start())
        await here.send(ask("refund"))
        assert len(await approvals.search(PENDING)) == 1
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE approvals SET record = 'x'")
        with pytest.raises(Unavailable, match="made anew"):
            await approvals.search(PENDING)
        for _ in range(5):  # turns in which the service hears of it
            await asyncio.sleep(0)
        assert [request.tool for request in await approvals.search(PENDING)] == ["refund"]
        await here.send(approve("1-0"))
        assert [request.state for request in await approvals.search(Search())] == ["approved"]


def test_what_is_put_survives_a_loss_of_power_in_one_piece_and_its_log_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "WRITE_BACK_BYTES", 64 * 1024)
    store = SqliteApprovalStore(tmp_path / "approvals.sqlite3")
    [mode] = store._file.execute("PRAGMA synchronous").fetchone()
    assert mode == 1, "NORMAL: the write-ahead log is on the disk before pages of the file are written"
    for number in range(200):
        store.put(0, [record("1-0", approval_id=f"exec-{number}.1-0", args={"text": "x" * 4096})], BEGINNING)
        store.position(0)  # all is saved
        if store._written_back is not None:
            store._written_back.result()
    assert (tmp_path / "approvals.sqlite3-wal").stat().st_size < 200 * 4096
    store.close()


async def test_a_search_narrows_by_agent_tool_and_state() -> None:
    world = World(MemoryLog(1))
    async with process(world) as here, approving(here, world) as approvals:
        await here.send(start())
        await here.send(ask("refund", "credit"))
        await here.send(approve("1-0"))
        assert [r.tool for r in await approvals.search(Search(tool="credit"))] == ["credit"]
        assert [r.tool for r in await approvals.search(Search(agent="support", states=("approved",)))] == ["refund"]
        assert await approvals.search(Search(agent="other")) == []
        assert len(await approvals.search(Search(limit=1))) == 1
        await here.send(say("later", turn=9))
