"""What workers report at the gateway: it becomes commands, and each item has its own answer once that is on the log."""

import asyncio

import pytest

from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan_schemas import Failure
from agentspan_schemas.commands import Claim, Decline, ReturnResult
from tests.support.tool_runner import START, call_of, running, settled, tool_task
from tests.unit.tool_runner_gateway.conftest import CLAIM, OK, Room, result


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
        room.gateway.opened(call_of(tool_task(1)))
        room.commands.failures = [error]
        (answer,) = await room.report(session_id, results=[result()])
        assert (answer.accepted, answer.code, answer.message) == (False, code, str(error))
        await room.clock.pass_by(0.2)
        assert await room.holds() == {session_id: (tool_task(1).task_key,)}


async def test_a_granted_call_is_given_to_nobody_else_when_its_worker_is_lost(room: Room) -> None:
    ann = room.session("ann")
    room.listen(ann)
    room.gateway.opened(call_of(tool_task(1, once=True)))
    await room.report(ann, claims=[CLAIM])
    bob = room.listen(room.session("bob"))
    room.gateway.leave(ann)
    assert await bob.tasks() == []


async def test_a_refused_claim_leaves_the_hand_and_the_next_attempt_is_given(room: Room) -> None:
    room.commands.refusals["claim-1"] = "stale"
    session_id = room.session()
    listener = room.listen(session_id)
    room.gateway.opened(call_of(tool_task(1, once=True)))
    assert await listener.tasks() == [tool_task(1, once=True)]
    (answer,) = await room.report(session_id, claims=[CLAIM])
    assert (answer.accepted, answer.code) == (False, "stale")
    room.gateway.closed(tool_task(1).task_key)
    room.gateway.opened(call_of(tool_task(1, once=True, attempt=2)))
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
