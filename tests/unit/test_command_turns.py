"""Who waits for whom on the way to the log: machines for machines, a person and a claim for nobody."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from agentspan.eventlog._turns import MACHINES_A_TURN, Turns
from agentspan.eventlog.commands import CommandLog, Unavailable, _Waiting
from agentspan.eventlog.memory import MemoryInbox, MemoryLog
from agentspan_schemas import commands as c

EXECUTION = "exec-aaaaaaaaaaaaaaaa"


async def test_so_many_have_their_turn_at_a_time_in_the_order_of_asking() -> None:
    turns, had = Turns(2), list[int]()

    async def ask(number: int) -> None:
        await turns.mine()
        had.append(number)

    asking = [asyncio.create_task(ask(number)) for number in range(7)]
    seen = []
    while len(had) < len(asking):
        await asyncio.sleep(0)
        seen.append(len(had))
    assert had == list(range(7))
    assert max(now - before for before, now in zip([0, *seen], seen, strict=False)) == 2


async def test_whoever_stops_waiting_takes_nobodys_turn() -> None:
    turns = Turns(1)
    await turns.mine()
    gone, waiting = asyncio.create_task(turns.mine()), asyncio.create_task(turns.mine())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(waiting, 1)


async def test_a_turn_that_is_not_used_up_leaves_nothing_behind() -> None:
    turns = Turns(1)
    for _ in range(3):
        await asyncio.wait_for(turns.mine(), 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_whoever_waits_too_long_for_a_turn_takes_none_and_later_ones_come_in_their_order() -> None:
    loop, turns, had = asyncio.get_running_loop(), Turns(1), list[int]()

    async def ask(number: int, until: float) -> None:
        await turns.mine(until)
        had.append(number)

    first, *late = [asyncio.create_task(ask(number, loop.time())) for number in range(4)]
    rest = [asyncio.create_task(ask(number, math.inf)) for number in range(4, 7)]
    told = await asyncio.gather(*late, return_exceptions=True)
    assert [type(error) for error in told] == [TimeoutError] * 3
    await asyncio.gather(first, *rest)
    assert had == [0, 4, 5, 6]


async def test_the_wait_for_a_turn_is_part_of_the_time_that_a_sender_has() -> None:
    inbox = MemoryInbox(1, id="inbox")
    log = CommandLog(MemoryLog(1), inbox, timeout_s=0.0)
    submitting = [asyncio.create_task(log.submit(_lost(number))) for number in range(MACHINES_A_TURN + 2)]
    for task in submitting[MACHINES_A_TURN:]:
        with pytest.raises(Unavailable, match="too many came before it"):
            await task
    pause = c.Pause(command_id="last", execution_id=EXECUTION, by="user:ann", channel="ui")
    submitting.append(asyncio.create_task(log.submit(pause)))
    received = inbox.receive(0, 0)
    ids = [(await anext(received))[1].attributes["commandid"] for _ in range(MACHINES_A_TURN + 1)]
    assert ids == [*(f"lost-{number}" for number in range(MACHINES_A_TURN)), "last"]  # and nothing of those two
    for task in submitting:
        task.cancel()
    await asyncio.wait(submitting)


async def test_of_those_who_wait_for_answers_each_gives_up_in_its_own_time() -> None:
    """Who had to wait for a turn is behind one that came later, and is over before it."""
    loop, waiting = asyncio.get_running_loop(), _Waiting()
    ends = (9.0, 3.0, 6.0)
    answered = [loop.create_future() for _ in ends]
    for number, (future, until) in enumerate(zip(answered, ends, strict=True)):
        waiting.begin(_lost(number), future, until)
    assert waiting.overdue(2.0) == []
    assert waiting.overdue(6.0) == [answered[1], answered[2]]


@pytest.mark.parametrize(
    "urgent",
    [
        c.Pause(command_id="urgent", execution_id=EXECUTION, by="user:ann", channel="ui"),
        c.SendMessage(command_id="urgent", execution_id=EXECUTION, by="user:ann", channel="ui", text="Hurry up."),
        c.Claim(
            command_id="urgent", execution_id=EXECUTION, call_id="call-1", claim_id="claim-1", attempt=1, worker="w-1"
        ),
    ],
    ids=lambda command: command.type,
)
async def test_what_a_person_waits_for_and_a_claim_pass_what_machines_send(urgent: c.Command) -> None:
    machines = [_lost(number) for number in range(10 * MACHINES_A_TURN)]
    order = await _received([*machines, urgent])
    assert order.index("urgent") <= MACHINES_A_TURN
    assert [name for name in order if name != "urgent"] == [command.command_id for command in machines]


def _lost(number: int) -> c.ReportLost:
    return c.ReportLost(command_id=f"lost-{number}", execution_id=EXECUTION, step="model:1", attempt=number + 1)


async def _received(commands: Sequence[c.Command]) -> list[str]:
    """The ids of commands that are submitted at the same time, as their partition receives them."""
    inbox = MemoryInbox(1, id="inbox")
    log = CommandLog(MemoryLog(1), inbox)
    submitting = [asyncio.create_task(log.submit(command)) for command in commands]
    order = []
    async for _, record in inbox.receive(0, 0):
        order.append(record.attributes["commandid"])
        if len(order) == len(commands):
            break
    for task in submitting:
        task.cancel()
    await asyncio.wait(submitting)
    return order
