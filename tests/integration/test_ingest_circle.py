"""The topics all around: another team sends a ticket, sees the request, decides it, and follows the events."""

import asyncio
from contextlib import aclosing

from agentspan.topics import MemoryTransport, Sent, Ticket, Topics
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ingest import Ingest
from agentspan_orchestrator.starts import Starts
from agentspan_schemas.ids import execution_id_for
from tests.support.approvals import Office
from tests.support.intake import MemoryDeadLetters, MemoryTopic
from tests.support.orchestration import ask

EXECUTION = execution_id_for("crm", "T-1")


class Between(MemoryTransport):
    """What the team sends stands on the topics that the services read."""

    def __init__(self, office: Office, tickets: MemoryTopic) -> None:
        super().__init__(office.world.log, office.table)
        self._topics = {"tickets": tickets, "decisions": office.topic}

    async def send(self, message: Sent) -> None:
        await self._topics[message.topic.name].write(message.value, message.headers, key=message.key.encode())


async def test_a_ticket_a_decision_and_all_that_happened() -> None:
    office, tickets, dead = Office(), MemoryTopic(), MemoryDeadLetters()
    async with asyncio.timeout(20), office.open() as here, Topics(Between(office, tickets)) as topics:
        definitions = Definitions(office.world.agents)
        starts = Starts(here.commands, definitions, lambda _: None)
        ingest = Ingest(
            source=tickets.source(), dead_letters=dead, starts=starts, now=office.world.clock.now, sleep=asyncio.sleep
        )
        running = [asyncio.create_task(each.run()) for each in (definitions, ingest)]
        await definitions.loaded.wait()
        for _ in range(2):
            await topics.emit(Ticket(id="T-1", source="crm", agent="support", text="My invoice is wrong"))
        await tickets.all_done()
        await here.send(ask("refund", execution_id=EXECUTION))

        async with aclosing(topics.approvals()) as requests:
            pending = await anext(requests)
            await topics.decide(pending, "approve", by="risk", reason="below the limit")
            await topics.decide(pending, "reject", by="fraud")
            after = [await anext(requests) for _ in range(2)]
        assert [record.state for record in (pending, *after)] == ["pending", "approved", "approved"]
        assert [(o.by, o.accepted, o.code) for o in after[-1].attempts] == [
            ("service:risk", True, None), ("service:fraud", False, "already_decided"),
        ]  # fmt: skip

        types: list[str] = []
        async with aclosing(topics.events()) as found:
            while types[-1:] != ["approved"]:
                types.append((await anext(found)).event.type)
        assert types == ["started", "model_called", "model_replied", "tool_call", "waiting", "approved"]
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    assert dead.letters == office.dead.letters == []
