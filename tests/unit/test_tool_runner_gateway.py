"""The gateway: sessions and their leases, what is announced of them, and reports that are answered when on the log."""

import asyncio
from datetime import timedelta

import pytest

from agentspan.eventlog import LogError, Record
from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan.eventlog.memory import MemoryTable
from agentspan_schemas import Failure
from agentspan_schemas.codec import encode
from agentspan_schemas.commands import Claim, Decline, ReturnResult
from agentspan_schemas.http import ClaimItem, ItemAnswer, ResultItem, WorkerReport
from agentspan_schemas.tasks import ToolTask, WorkerSession
from agentspan_tool_runner.service import Draining, Gateway, TaskStream, UnknownSession
from tests.support.tool_runner import (
    REFUND,
    START,
    FakeCommands,
    Ids,
    StillClock,
    hello,
    running,
    settled,
    standing,
    tool_task,
)

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
        return [task for task in await self._next() or () if task is not None]

    async def _next(self) -> tuple[ToolTask | None, ...] | None:
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


# Sessions


def test_a_hello_is_answered_with_lease_and_grant(room: Room) -> None:
    grant = room.gateway.hello(hello())
    assert (grant.session_id, grant.lease_s, grant.grant_s) == ("gateway-a-session-1", 10.0, 5.0)


async def test_a_stream_begins_with_a_sign_of_life_and_has_the_tasks_that_fit(room: Room) -> None:
    room.gateway.opened(tool_task(1))
    room.gateway.opened(tool_task(2, schema="hash-2"))
    with room.gateway.stream(room.session()) as stream:
        assert await anext(stream) == (None, tool_task(1))
        room.gateway.opened(tool_task(3))
        assert await anext(stream) == (tool_task(3),)


async def test_an_unknown_session_is_told_to_open_another_one(room: Room) -> None:
    with pytest.raises(UnknownSession, match=r"no session 'nobody'.*open another one, with the tasks you still hold"):
        room.gateway.leave("nobody")
    with pytest.raises(UnknownSession), room.gateway.stream("nobody"):
        pass
    with pytest.raises(UnknownSession):
        await room.gateway.report("nobody", WorkerReport())


async def test_a_newer_stream_ends_the_older_one(room: Room) -> None:
    session_id = room.session()
    older = room.listen(session_id)
    room.gateway.opened(tool_task(1))
    newer = room.listen(session_id)
    assert await older.ended()
    assert await newer.tasks() == [tool_task(1)]
    older.close()
    room.gateway.opened(tool_task(2))
    assert await newer.tasks() == [tool_task(2)]


async def test_nothing_is_given_to_a_session_without_a_stream(room: Room) -> None:
    session_id = room.session()
    room.listen(session_id).close()
    room.gateway.opened(tool_task(1))
    assert await room.listen(session_id).tasks() == [tool_task(1)]


async def test_a_good_bye_gives_the_tasks_to_others_at_once(room: Room) -> None:
    ann = room.session("ann")
    listener = room.listen(ann)
    room.gateway.opened(tool_task(1))
    bob = room.listen(room.session("bob"))
    room.gateway.leave(ann)
    assert await listener.ended()
    assert await bob.tasks() == [tool_task(1)]


async def test_a_worker_that_comes_back_keeps_its_tasks(room: Room) -> None:
    first = room.session("ann")
    room.listen(first)
    room.gateway.opened(tool_task(1))
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


# Leases


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
        room.gateway.opened(tool_task(1))
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


# Announcements


async def test_a_session_is_announced_at_once_and_renewed_every_two_seconds(room: Room) -> None:
    async with running(room.gateway):
        session_id = room.session()
        await settled()
        expected = WorkerSession(
            session_id=session_id, gateway_id="gateway-a", worker="ann@host/1", tools=REFUND, at=START
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
        room.gateway.opened(once)
        room.gateway.opened(plain)
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
            room.gateway.opened(tool_task(number))
            other.opened(tool_task(number))
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


# Reports


async def test_a_report_becomes_commands_with_ids_that_follow_from_it(room: Room) -> None:
    late = CLAIM.model_copy(update={"claim_id": "claim-2", "execution_id": "exec-2"})
    failed = result(3, ok=False, error=Failure(kind="tool_error", message="no"), claim_id="claim-3")
    answers = await room.report(room.session(), claims=[CLAIM], declines=[late], results=[failed, result(4, value=7)])
    assert answers == [OK] * 4
    claim, decline, with_claim, plain = room.commands.taken
    assert claim == Claim(
        command_id="claim-1", execution_id="exec-1", call_id="1-0", attempt=1, claim_id="claim-1", worker="ann@host/1"
    )
    assert decline == Decline(
        command_id="claim-2/decline", execution_id="exec-2", call_id="1-0", attempt=1, claim_id="claim-2",
        worker="ann@host/1",
    )  # fmt: skip
    assert (with_claim.command_id, plain.command_id) == ("claim-3/result", "exec-4/1-0/1/result")
    assert plain == ReturnResult(
        command_id="exec-4/1-0/1/result", execution_id="exec-4", call_id="1-0", attempt=1, ok=True, value=7,
        worker="ann@host/1", began_at=START, duration_ms=5.0,
    )  # fmt: skip


async def test_nothing_is_answered_before_it_is_on_the_log(room: Room) -> None:
    room.commands.open.clear()
    report = asyncio.ensure_future(room.report(room.session(), results=[result(1), result(2)]))
    await settled()
    assert room.commands.ids() == ["exec-1/1-0/1/result", "exec-2/1-0/1/result"]
    assert not report.done()
    room.commands.open.set()
    assert await report == [OK, OK]


async def test_each_item_has_its_own_answer_in_the_reports_order(room: Room) -> None:
    room.commands.refusals["exec-2/1-0/1/result"] = "stale"
    answers = await room.report(room.session(), results=[result(1), result(2), result(3)])
    assert [answer.code for answer in answers] == [None, "stale", None]
    assert answers[1].message == "refused as stale"


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable("no owner"), "unavailable"), (OutcomeUnknown("late"), "outcome_unknown")]
)
async def test_what_is_not_on_the_log_stays_in_the_workers_hand(room: Room, error: Exception, code: str) -> None:
    async with running(room.gateway):
        session_id = room.session()
        room.listen(session_id)
        room.gateway.opened(tool_task(1))
        room.commands.failures = [error]
        (answer,) = await room.report(session_id, results=[result()])
        assert (answer.accepted, answer.code, answer.message) == (False, code, str(error))
        await room.clock.pass_by(0.2)
        assert await room.holds() == {session_id: (tool_task(1).task_key,)}


async def test_a_granted_call_is_given_to_nobody_else_when_its_worker_is_lost(room: Room) -> None:
    ann = room.session("ann")
    room.listen(ann)
    room.gateway.opened(tool_task(1, once=True))
    await room.report(ann, claims=[CLAIM])
    bob = room.listen(room.session("bob"))
    room.gateway.leave(ann)
    assert await bob.tasks() == []


async def test_a_refused_claim_leaves_the_hand_and_the_next_attempt_is_given(room: Room) -> None:
    room.commands.refusals["claim-1"] = "stale"
    session_id = room.session()
    listener = room.listen(session_id)
    room.gateway.opened(tool_task(1, once=True))
    assert await listener.tasks() == [tool_task(1, once=True)]
    (answer,) = await room.report(session_id, claims=[CLAIM])
    assert (answer.accepted, answer.code) == (False, "stale")
    room.gateway.closed(tool_task(1).task_key)
    room.gateway.opened(tool_task(1, once=True, attempt=2))
    assert await listener.tasks() == [tool_task(1, once=True, attempt=2)]


@pytest.mark.parametrize(
    "fields", [{"value": "é" * 200_000}, {"ok": False, "error": {"kind": "k", "message": "x" * 300_000}}]
)
async def test_a_result_that_is_too_large_becomes_an_error_that_names_both_sizes(
    room: Room, fields: dict[str, object]
) -> None:
    assert await room.report(room.session(), results=[result(1, **fields)]) == [OK]
    (command,) = room.commands.taken
    assert isinstance(command, ReturnResult)
    assert (command.ok, command.value) == (False, None)
    assert command.error is not None
    assert command.error.kind == "result_too_large"
    assert "one is at most 262144" in command.error.message


async def test_a_result_of_just_the_largest_size_passes(room: Room) -> None:
    await room.report(
        room.session(), results=[result(value="x" * (256 * 1024 - 2)), result(2, value="x" * (256 * 1024 + 9))]
    )
    assert [command.ok for command in room.commands.taken if isinstance(command, ReturnResult)] == [True, False]


async def test_a_failure_without_a_reason_is_given_one(room: Room) -> None:
    await room.report(room.session(), results=[result(ok=False)])
    (command,) = room.commands.taken
    assert isinstance(command, ReturnResult)
    assert command.error == Failure(kind="tool_error", message="the tool failed without saying why")
