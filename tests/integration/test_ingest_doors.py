"""The HTTP door for tickets and the one for their mappings: the same tickets, without any topic."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan_doors import create_app
from agentspan_orchestrator.api import router, ticket_route
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ingest import Ingest
from agentspan_orchestrator.ingest_mapping import TicketMappings
from agentspan_orchestrator.starts import Starts
from tests.support.intake import MemoryDeadLetters, MemoryTopic
from tests.support.orchestration import World, process

TICKET = {"id": "T-1", "source": "crm", "text": "My invoice is wrong"}


@asynccontextmanager
async def serving(topic: MemoryTopic, dead: MemoryDeadLetters) -> AsyncIterator[httpx.AsyncClient]:
    """The doors, and a reader of the topic beside them."""
    world = World(MemoryLog(1))
    async with process(world) as here:
        definitions, mappings = Definitions(world.agents), TicketMappings(MemoryTable())
        starts = Starts(here.commands, definitions, lambda _: None, mappings=mappings)
        ingest = Ingest(
            source=topic.source(), dead_letters=dead, starts=starts, now=world.clock.now, sleep=asyncio.sleep
        )
        running = [asyncio.create_task(each.run()) for each in (definitions, mappings, ingest)]
        await asyncio.gather(definitions.loaded.wait(), mappings.loaded.wait())
        tickets = ticket_route(here.commands, definitions, lambda _: None, mappings)
        app = create_app([router(here.commands, definitions, mappings)], plain_routes=[tickets])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:6767/api/v1") as http:
            yield http
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def test_a_ticket_by_http_and_the_same_on_the_topic_are_one_execution() -> None:
    topic, dead = MemoryTopic(), MemoryDeadLetters()
    async with serving(topic, dead) as http:
        first = await http.post("/tickets", json=TICKET | {"agent": "support"})
        assert first.status_code == 201
        await topic.write(b'{"id": "T-1", "source": "crm", "agent": "support", "text": "My invoice is wrong"}')
        await topic.all_done()
        again = await http.post("/tickets", json=TICKET | {"agent": "support"})
        other = await http.post("/tickets", json=TICKET | {"agent": "support", "text": "else"})
    assert (again.status_code, again.json()["execution_id"]) == (200, first.json()["execution_id"])
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")
    assert dead.letters == []


async def test_a_ticket_that_names_no_agent_goes_where_the_mappings_say() -> None:
    async with serving(MemoryTopic(), MemoryDeadLetters()) as http:
        nobody = await http.post("/tickets", json=TICKET)
        assert (nobody.status_code, nobody.json()["code"], nobody.json()["field"]) == (422, "no_mapping", "agent")
        assert (await http.put("/ticket-mappings/crm", json={"agent": "support", "source": "crm"})).is_success
        assert (await http.post("/tickets", json=TICKET)).status_code == 201


async def test_mappings_are_listed_in_the_order_in_which_they_are_asked_and_removed() -> None:
    async with serving(MemoryTopic(), MemoryDeadLetters()) as http:
        for name, order in (("b", 100), ("a", 100), ("z", 1)):
            await http.put(f"/ticket-mappings/{name}", json={"agent": "support", "order": order})
        assert list((await http.get("/ticket-mappings")).json()) == ["z", "a", "b"]
        assert (await http.delete("/ticket-mappings/z")).status_code == 204
        assert list((await http.get("/ticket-mappings")).json()) == ["a", "b"]
        gone = await http.delete("/ticket-mappings/z")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_mapping")


async def test_a_mapping_with_a_field_that_nobody_knows_is_refused_as_it_would_match_more() -> None:
    async with serving(MemoryTopic(), MemoryDeadLetters()) as http:
        for body in (
            {"agent": "support", "sauce": "crm"},
            {"agent": "support", "header_value": "x"},
            {"agent": "no name"},
        ):
            refused = await http.put("/ticket-mappings/crm", json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert (await http.get("/ticket-mappings")).json() == {}
