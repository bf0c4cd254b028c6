"""The worker against a gateway in memory: nothing lost, nothing run twice, no grant used too late."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agentspan.agents import InvalidRequest, ServerUnavailable
from agentspan.agents._serialise import Returned
from agentspan.agents.worker import Worker
from agentspan_schemas.http import ItemAnswer, ReportAnswer, WorkerReport
from tests.unit.worker_gateway import NO, YES, FakeClock, FakeGateway, FakeTools, agreed, tool_task, turned, worker_of

OK = Returned({"x": 1}, 7)
AWAY = ServerUnavailable("away")


class World:
    """A worker that runs, with its gateway, clock and tools."""

    def __init__(self, before: Callable[["World"], None] = lambda world: None) -> None:
        self.gateway = FakeGateway()
        self.clock = FakeClock()
        self.tools = FakeTools(OK, lambda: before(self))
        self.worker: Worker = worker_of(self.gateway, self.clock, self.tools)

    def results(self) -> list[str]:
        return [f"{r.call_id}/{r.attempt}" for report in self.gateway.reports for r in report.results]

    async def idle(self) -> None:
        await turned(lambda: not self.worker.holds)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    run = asyncio.ensure_future(world.worker.run())
    try:
        await world.worker.connected()
        yield world
    finally:
        await world.worker.stop(1)
        await run


async def test_an_idempotent_call_runs_and_its_result_is_kept_until_answered() -> None:
    async with running(World()) as world:
        world.gateway.answers = [AWAY, AWAY]
        world.gateway.give(tool_task())
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        assert world.worker.holds == ("exec-1/1-0/1",)
        await world.gateway.until(lambda: len(world.gateway.reports) == 3)
        await world.idle()
    assert world.results() == ["1-0/1"] * 3
    assert world.tools.ran == ["exec-1/1-0/1"]
    assert not any(report.claims for report in world.gateway.reports)


async def test_a_server_that_stays_away_is_told_once_and_that_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    async with running(World()) as world:
        world.gateway.give(*[AWAY] * 3, tool_task("1-0"), *[AWAY] * 20, tool_task("1-1"), tool_task("1-2"))
        await turned(lambda: len(world.tools.ran) == 3)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["no calls are taken, trying again: away", "the server answers again"]


async def test_what_queues_up_while_a_report_is_under_way_goes_into_the_next() -> None:
    async with running(World()) as world:
        world.gateway.hold.clear()
        world.gateway.give(tool_task("1-0"))
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        world.gateway.give(tool_task("1-1"), tool_task("1-2"), tool_task("1-3"))
        await turned(lambda: len(world.tools.ran) == 4)
        world.gateway.hold.set()
        await world.idle()
    assert [len(report.results) for report in world.gateway.reports] == [1, 3]


async def test_an_item_that_was_not_decided_is_sent_again() -> None:
    unsure = ItemAnswer(accepted=False, code="outcome_unknown")
    async with running(World()) as world:
        world.gateway.answers = [lambda report: ReportAnswer(results=(unsure,))]
        world.gateway.give(tool_task())
        await world.gateway.until(lambda: len(world.gateway.reports) == 2)
        await world.idle()
    assert world.results() == ["1-0/1", "1-0/1"]


async def test_a_lost_session_is_opened_again_with_what_the_worker_holds() -> None:
    async with running(World()) as world:
        world.tools.gate.clear()
        world.gateway.give(tool_task())
        await turned(lambda: bool(world.tools.ran))
        world.gateway.gone.add("s1")
        world.tools.gate.set()
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        await world.idle()
    assert world.gateway.sessions[1].holds == ("exec-1/1-0/1",)
    assert world.tools.ran == ["exec-1/1-0/1"]


async def test_a_broken_stream_is_followed_again_in_the_same_session() -> None:
    async with running(World()) as world:
        world.gateway.give(AWAY, tool_task())
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
    assert len(world.gateway.sessions) == 1


async def test_a_session_that_is_gone_under_the_stream_is_opened_again() -> None:
    async with running(World()) as world:
        world.gateway.gone.add("s1")
        world.gateway.give(None)
        await world.gateway.until(lambda: len(world.gateway.sessions) == 2)


async def test_a_task_handed_out_twice_runs_once() -> None:
    async with running(World()) as world:
        world.gateway.give(tool_task(), tool_task())
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        await world.idle()
        world.gateway.give(tool_task(), tool_task("1-1"))
        await world.gateway.until(lambda: len(world.gateway.reports) == 2)
    assert world.tools.ran == ["exec-1/1-0/1", "exec-1/1-1/1"]


async def test_a_once_call_runs_after_its_grant_under_the_claim() -> None:
    async with running(World()) as world:
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: any(report.results for report in world.gateway.reports))
    first, last = world.gateway.reports
    assert [claim.claim_id for claim in first.claims] == ["claim-1"]
    assert [result.claim_id for result in last.results] == ["claim-1"]


async def test_a_refused_claim_runs_nothing() -> None:
    async with running(World()) as world:
        world.gateway.answers = [lambda report: ReportAnswer(claims=(NO,))]
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        await world.idle()
    assert world.tools.ran == []
    assert world.results() == []


async def test_a_claim_is_sent_again_unchanged_and_its_time_runs_from_the_first_sending() -> None:
    world = World()

    def late(report: WorkerReport) -> ReportAnswer:
        world.clock.seconds += 3
        return agreed(report)

    def lost(report: WorkerReport) -> ReportAnswer:
        world.clock.seconds += 3
        raise AWAY

    async with running(world):
        world.gateway.answers = [lost, late]
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: any(report.declines for report in world.gateway.reports))
        await world.idle()
    claims = [claim.claim_id for report in world.gateway.reports for claim in report.claims]
    assert claims == ["claim-1", "claim-1"]
    assert [d.claim_id for report in world.gateway.reports for d in report.declines] == ["claim-1"]
    assert world.tools.ran == []


async def test_a_grant_is_checked_again_as_the_last_thing_before_the_code() -> None:
    def dawdle(world: World) -> None:
        world.clock.seconds += 5

    async with running(World(dawdle)) as world:
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: any(report.declines for report in world.gateway.reports))
        await world.idle()
    assert world.tools.ran == []


async def test_a_grant_within_its_time_is_used() -> None:
    def hurry(world: World) -> None:
        world.clock.seconds += 4.9

    async with running(World(hurry)) as world:
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: any(report.results for report in world.gateway.reports))
    assert world.tools.ran == ["exec-1/1-0/1"]


async def test_a_result_that_the_gateway_will_not_read_becomes_an_error_and_stops_no_other() -> None:
    def picky(report: WorkerReport) -> ReportAnswer:
        if any(result.ok and result.call_id == "1-1" for result in report.results):
            raise InvalidRequest("a poisoned value", status=422)
        return agreed(report)

    async with running(World()) as world:
        world.gateway.hold.clear()
        world.gateway.answers = [picky] * 20
        world.gateway.give(tool_task("1-0"))
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        world.gateway.give(tool_task("1-1"), tool_task("1-2"))
        await turned(lambda: len(world.tools.ran) == 3)
        world.gateway.hold.set()
        await world.idle()
    errors = [r.error for report in world.gateway.reports for r in report.results if r.error]
    assert [error.kind for error in errors] == ["unserialisable_result"]
    assert "a poisoned value" in errors[0].message


async def test_more_tools_open_another_session_and_close_the_first() -> None:
    async with running(World()) as world:
        world.worker.offer({"b": {"u": "h"}})
        await world.worker.connected()
        await world.gateway.until(lambda: world.gateway.closed == ["s1"])
        world.worker.offer({"b": {"u": "h"}})
    assert world.gateway.sessions[-1].tools == {"a": {"t": "h"}, "b": {"u": "h"}}
    assert len(world.gateway.sessions) == 2


async def test_a_worker_that_the_gateway_refuses_says_so() -> None:
    world = World()
    world.gateway.refusal = InvalidRequest("no such thing", status=422)
    run = asyncio.ensure_future(world.worker.run())
    with pytest.raises(InvalidRequest, match="no such thing"):
        await world.worker.connected()
    await world.worker.stop(0)
    await run


async def test_stopping_waits_for_tools_in_hand_and_says_good_bye() -> None:
    world = World()
    async with running(world):
        world.tools.gate.clear()
        world.gateway.give(tool_task())
        await turned(lambda: bool(world.tools.ran))
        stopping = asyncio.ensure_future(world.worker.stop(5))
        await asyncio.sleep(0)
        world.gateway.give(tool_task("1-1"))
        world.tools.gate.set()
        await stopping
    assert world.results() == ["1-0/1"]
    assert world.gateway.closed[0] == "s1"


async def test_a_grant_that_comes_while_stopping_is_declined() -> None:
    world = World()
    async with running(world):
        world.gateway.hold.clear()
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
        stopping = asyncio.ensure_future(world.worker.stop(5))
        await asyncio.sleep(0)
        world.gateway.hold.set()
        await stopping
    assert world.tools.ran == []
    assert [d.claim_id for report in world.gateway.reports for d in report.declines] == ["claim-1"]


async def test_an_error_of_the_runner_itself_is_a_result() -> None:
    def broken(world: World) -> None:
        raise ValueError("bug")

    async with running(World(broken)) as world:
        world.gateway.give(tool_task())
        await world.gateway.until(lambda: len(world.gateway.reports) == 1)
    [result] = world.gateway.reports[0].results
    assert not result.ok
    assert result.error is not None
    assert result.error.kind == "worker_error"


async def test_an_answer_is_spent_once() -> None:
    async with running(World()) as world:
        world.gateway.answers = [lambda report: ReportAnswer(claims=(YES, YES), results=(YES,))]
        world.gateway.give(tool_task(effects="once"))
        await world.gateway.until(lambda: any(report.results for report in world.gateway.reports))
        await world.idle()
    assert world.tools.ran == ["exec-1/1-0/1"]
