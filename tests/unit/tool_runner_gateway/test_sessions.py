"""Workers at the gateway: sessions, streams, leases, and how gateways tell each other of them."""

import asyncio
from datetime import timedelta

import pytest

from agentspan.eventlog import LogError, Record
from agentspan_schemas.codec import encode
from agentspan_schemas.http import WorkerReport
from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.service import Draining, UnknownSession
from tests.support.tool_runner import REFUND, START, call_of, hello, running, settled, standing, tool_task
from tests.unit.tool_runner_gateway.conftest import CLAIM, OK, Room, result


def test_a_hello_is_answered_with_lease_and_grant(room: Room) -> None:
    grant = room.gateway.hello(hello())
    assert (grant.session_id, grant.lease_s, grant.grant_s) == ("gateway-a-session-1", 10.0, 5.0)


async def test_a_stream_begins_with_a_sign_of_life_and_has_the_tasks_that_fit(room: Room) -> None:
    room.gateway.opened(call_of(tool_task(1)))
    room.gateway.opened(call_of(tool_task(2, schema="hash-2")))
    with room.gateway.stream(room.session()) as stream:
        assert await anext(stream) == (None, encode(tool_task(1)))
        room.gateway.opened(call_of(tool_task(3)))
        assert await anext(stream) == (encode(tool_task(3)),)


async def test_an_unknown_session_is_told_to_open_another_one(room: Room) -> None:
    with pytest.raises(UnknownSession, match=r"no session 'nobody'.*open another one, with the tasks you still hold"):
        room.gateway.leave("nobody")
    with pytest.raises(UnknownSession), room.gateway.stream("nobody"):
        pass
    with pytest.raises(UnknownSession):
        await room.gateway.report("nobody", WorkerReport())


async def test_a_session_says_until_when_it_is_counted_on(room: Room) -> None:
    room.listen(room.session())
    [heard] = room.gateway.workers_for()
    await room.clock.pass_by(4)
    [silent] = room.gateway.workers_for()
    assert heard.lease_until == silent.lease_until == heard.at + timedelta(seconds=10)


async def test_a_newer_stream_ends_the_older_one(room: Room) -> None:
    session_id = room.session()
    older = room.listen(session_id)
    room.gateway.opened(call_of(tool_task(1)))
    newer = room.listen(session_id)
    assert await older.ended()
    assert await newer.tasks() == [tool_task(1)]
    older.close()
    room.gateway.opened(call_of(tool_task(2)))
    assert await newer.tasks() == [tool_task(2)]


async def test_nothing_is_given_to_a_session_without_a_stream(room: Room) -> None:
    session_id = room.session()
    room.listen(session_id).close()
    room.gateway.opened(call_of(tool_task(1)))
    assert await room.listen(session_id).tasks() == [tool_task(1)]


async def test_a_good_bye_gives_the_tasks_to_others_at_once(room: Room) -> None:
    ann = room.session("ann")
    listener = room.listen(ann)
    room.gateway.opened(call_of(tool_task(1)))
    bob = room.listen(room.session("bob"))
    room.gateway.leave(ann)
    assert await listener.ended()
    assert await bob.tasks() == [tool_task(1)]


async def test_a_worker_that_comes_back_keeps_its_tasks(room: Room) -> None:
    first = room.session("ann")
    room.listen(first)
    room.gateway.opened(call_of(tool_task(1)))
    bob = room.listen(room.session("bob"))
    second = room.session("ann", holds=(tool_task(1).task_key,))
    room.gateway.leave(first)
    assert await bob.tasks() == []
    assert await room.report(second, results=[result()]) == [OK]


async def test_a_gateway_that_is_about_to_stop_ends_its_sessions_and_takes_no_new_ones(room: Room) -> None:
    async with running(room.gateway):
        listener = room.listen(room.session())
        await settled()
        await room.gateway.drain()
        assert await listener.ended()
        assert await standing(room.table) == {}
        with pytest.raises(Draining):
            room.session()


async def test_a_worker_that_reports_keeps_its_stream(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        listener = room.listen(session_id)
        for _ in range(15):
            await room.clock.pass_by(2)
            await room.report(session_id)
        assert not await listener.ended()


async def test_a_sign_of_life_comes_several_times_within_a_lease(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        with room.gateway.stream(session_id) as stream:
            for _ in range(6):
                await room.clock.pass_by(1)
                await room.report(session_id)
                await room.clock.pass_by(1)
                await room.report(session_id)
                assert set(await anext(stream)) == {None}


async def test_after_half_a_lease_of_silence_a_stream_ends_and_opening_it_again_is_a_sign_of_life(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        for _ in range(5):
            listener = room.listen(session_id)
            await room.clock.pass_by(7)
            assert await listener.ended()
            listener.close()
        assert list(await standing(room.table)) == [session_id]


async def test_a_session_that_is_silent_for_its_lease_is_over_and_its_tasks_go_on(room: Room) -> None:
    async with running(room.gateway):
        frozen = room.session("ann")
        room.listen(frozen)
        room.gateway.opened(call_of(tool_task(1)))
        awake = room.session("bob")
        bob = room.listen(awake)
        assert await bob.tasks() == []
        for _ in range(6):
            await room.clock.pass_by(2)
            await room.report(awake)
        assert await bob.tasks() == [tool_task(1)]
        assert await room.holds() == {awake: (tool_task(1).task_key,)}
        with pytest.raises(UnknownSession):
            await room.report(frozen)


async def test_a_session_whose_report_is_being_answered_is_not_silent(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        room.commands.open.clear()
        report = asyncio.ensure_future(room.report(session_id, results=[result()]))
        await room.clock.pass_by(25)
        room.commands.open.set()
        assert await report == [OK]
        assert list(await standing(room.table)) == [session_id]


async def test_a_session_is_announced_at_once_and_renewed_every_two_seconds(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        await settled()
        expected = WorkerSession(
            session_id=session_id,
            gateway_id="gateway-a",
            worker="ann@host/1",
            tools=REFUND,
            at=START,
            lease_until=START + timedelta(seconds=10),
        )
        assert await standing(room.table) == {session_id: expected}
        await room.clock.pass_by(2)
        assert (await standing(room.table))[session_id].at == START + timedelta(seconds=2)
        await room.clock.pass_by(2)
        assert (await standing(room.table))[session_id].at == START + timedelta(seconds=4)
        room.gateway.leave(session_id)
        await room.clock.pass_by(0.1)
        assert await standing(room.table) == {}


async def test_what_a_worker_has_in_hand_is_announced_until_it_reports_it(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        room.listen(session_id)
        once, plain = tool_task(1, once=True), tool_task(2)
        room.gateway.opened(call_of(once))
        room.gateway.opened(call_of(plain))
        await room.report(session_id, claims=[CLAIM])
        room.gateway.closed(once.task_key)  # granted: the core closes it, and the code runs
        await room.clock.pass_by(0.2)
        assert await room.holds() == {session_id: (once.task_key, plain.task_key)}
        await room.report(session_id, results=[result(1, claim_id="claim-1"), result(2)])
        await room.clock.pass_by(0.2)
        assert await room.holds() == {session_id: ()}


async def test_an_announcement_that_fails_is_made_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    put = room.table.put
    failures = [LogError("no broker")]

    async def fail() -> None:
        raise failures.pop()

    monkeypatch.setattr(room.table, "put", lambda *args, **named: fail() if failures else put(*args, **named))
    async with running(room.gateway):
        session_id = room.session()
        await settled()
        assert await standing(room.table) == {}
        await room.clock.pass_by(2)
        assert list(await standing(room.table)) == [session_id]


async def test_two_gateways_share_the_work_and_take_over_from_each_other(room: Room) -> None:
    other = room.another("gateway-b")
    async with running(room.gateway, other):
        near, far = room.session("near"), other.hello(hello("far")).session_id
        listeners = {near: room.listen(near), far: room.listen(far, other)}
        await settled()
        for number in range(20):
            room.gateway.opened(call_of(tool_task(number)))
            other.opened(call_of(tool_task(number)))
        taken = {name: await listener.tasks() for name, listener in listeners.items()}
        assert sorted(task.execution_id for tasks in taken.values() for task in tasks) == sorted(
            f"exec-{number}" for number in range(20)
        )
        assert all(taken.values())
        await room.clock.pass_by(0.2)
        other.leave(far)
        await settled()
        assert {task.execution_id for task in await listeners[near].tasks()} == {
            task.execution_id for task in taken[far]
        }


async def test_an_announcement_that_cannot_be_read_is_left_alone(room: Room) -> None:
    async with running(room.gateway):
        await room.table.put("odd", Record("worker", "odd", b"{"))
        await settled()
        room.session("near")
        assert [session.worker for session in room.gateway.workers_for()] == ["near"]


async def test_it_says_which_workers_serve_what_in_which_version(room: Room) -> None:
    async with running(room.gateway):
        room.session("near")
        far = WorkerSession(
            session_id="far", gateway_id="gateway-b", worker="far", tools={"shop": {"refund": "hash-2"}}, at=START
        )
        await room.table.put("far", Record("worker", "far", encode(far)))
        await settled()

        def workers(**asked: str) -> list[str]:
            return [session.worker for session in room.gateway.workers_for(**asked)]

        assert workers() == ["near", "far"]
        assert workers(agent="shop") == ["near", "far"]
        assert workers(agent="shop", tool="refund") == ["near", "far"]
        assert workers(agent="shop", tool="refund", input_schema_hash="hash-2") == ["far"]
        assert workers(input_schema_hash="hash-1") == ["near"]
        assert workers(agent="bank") == []
        assert workers(agent="shop", tool="look_up") == []
