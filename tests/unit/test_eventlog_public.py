"""What the package shows, and the one failure of a log that no adapter here can be brought to."""

import asyncio
from collections.abc import Sequence
from types import ModuleType

import pytest

from agentspan import eventlog
from agentspan.eventlog import Deposed, FateUnknown, Ownership, Record, Stamp, Stored
from agentspan.eventlog.memory import MemoryLog


def test_all_public_names_are_gathered() -> None:
    public = {
        name for name, value in vars(eventlog).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(eventlog.__all__)


def reused_offset(records: Sequence[tuple[Stamp, Record]]) -> asyncio.Future[Sequence[int]]:
    """What a log answers that lost its end, as after an unclean election of a Kafka leader."""
    future: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
    future.set_result([3 for _ in records])
    return future


async def test_an_owner_notices_a_log_that_was_cut_short() -> None:
    raw = MemoryLog(1).partition(0).raw
    raw.append = reused_offset  # type: ignore[method-assign]
    takeover = Stored(7, Stamp(1, 0, True, 0), Record("owner", "a", b"{}"))
    with pytest.raises(Deposed) as deposed:
        await Ownership(raw, "a", takeover).append([Record("x", "k", b"{}")])
    assert isinstance(deposed.value.__cause__, FateUnknown)
    assert "cut short" in str(deposed.value.__cause__)
