"""What a process knows of agents: also of one that another process has registered a moment ago."""

from collections.abc import AsyncGenerator

import pytest

from agentspan.eventlog import CaughtUp, Change, LogError, Table
from agentspan.eventlog.commands import Unavailable
from agentspan.eventlog.memory import MemoryTable
from agentspan_orchestrator.definitions import Definitions
from agentspan_schemas.agents import AgentDefinition

AGENT = AgentDefinition(name="shop", model="replay/shop")
REWORDED = AgentDefinition(name="shop", model="replay/shop", instructions="Be kind.")


async def elsewhere(table: Table, *definitions: AgentDefinition) -> None:
    """Another process registers them; news of it have not come here."""
    registering = Definitions(table)
    for definition in definitions:
        await registering.register(definition)


async def test_an_agent_that_was_registered_elsewhere_is_found_before_its_news_come() -> None:
    table = MemoryTable()
    here = Definitions(table)
    await elsewhere(table, AGENT, REWORDED)
    assert here.get("shop") is None
    assert await here.current("shop") == REWORDED
    assert await here.current("shop", AGENT.version) == AGENT
    assert here.get("shop") == REWORDED


async def test_a_version_that_was_registered_elsewhere_is_found() -> None:
    table = MemoryTable()
    here = Definitions(table)
    await here.register(AGENT)
    await elsewhere(table, REWORDED)
    assert await here.current("shop", REWORDED.version) == REWORDED


async def test_an_agent_that_nobody_registered_is_none() -> None:
    assert await Definitions(MemoryTable()).current("shop") is None


class Unreadable(MemoryTable):
    """A table that cannot be reached."""

    async def follow(self, partition: int | None = None) -> AsyncGenerator[Change | CaughtUp, None]:
        if partition is None:
            raise LogError("no broker answers")
        yield CaughtUp()


async def test_a_table_that_cannot_be_read_is_no_proof_that_there_is_no_agent() -> None:
    with pytest.raises(Unavailable, match="try again"):
        await Definitions(Unreadable()).current("shop")
