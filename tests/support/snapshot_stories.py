"""Stories of a partition whose owners write snapshots, played in virtual time, and what stands in its table."""

import asyncio
from collections.abc import Awaitable, Callable

from agentspan.eventlog import Record
from agentspan_orchestrator import snapshots
from agentspan_orchestrator.snapshot_records import CHECKPOINT
from agentspan_schemas import commands as c
from tests.simulation.clock import VirtualLoop, run_virtual
from tests.support.orchestration import EXECUTION, ask, start
from tests.support.snapshots import Ground, Member

Story = Callable[[Ground], Awaitable[None]]
OTHER = "exec-bbbbbbbbbbbbbbbb"
A_ROUND_S = snapshots.ROUND_EVERY_S + 5


def play(story: Story) -> None:
    """Run a story in virtual time; nobody may crash in it."""

    async def life(loop: VirtualLoop) -> None:
        ground = Ground(loop)
        await story(ground)
        assert ground.crashes == []

    run_virtual(life)


def chat(*texts: str, to: str = EXECUTION) -> list[c.SendMessage]:
    """One record each."""
    who = {"execution_id": to, "by": "user:ana", "channel": "cli"}
    return [c.SendMessage.model_validate({"command_id": f"say:{to}:{text[:9]}", "text": text, **who}) for text in texts]


async def written(ground: Ground, member: Member) -> None:
    """A first owner has done some work, and has written a round."""
    await member.served()
    await ground.send(start(), start(OTHER), ask("refund", "look_up"), *chat("one", "two"))
    await asyncio.sleep(A_ROUND_S)
    assert {key.split("/")[0] for key in ground.standing()} == {EXECUTION, OTHER, CHECKPOINT}


def epochs(ground: Ground, of: str) -> list[int]:
    return sorted(int(key.split("/")[1]) for key in ground.standing() if key.startswith(of))


def checkpoint(ground: Ground) -> tuple[str, Record]:
    return max(
        (int(key.split("/")[1]), key, record) for key, record in ground.standing().items() if "checkpoint" in key
    )[1:]
