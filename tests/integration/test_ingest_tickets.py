"""Tickets of other teams on a running orchestrator: each becomes one execution, or a dead letter that says why."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentspan.eventlog import Position, partition_for
from agentspan.eventlog.commands import Commands, OutcomeUnknown, Unavailable
from agentspan.eventlog.memory import MemoryLog, MemoryTable
from agentspan.eventlog.messages import events_of
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.ingest import Ingest
from agentspan_orchestrator.ingest_mapping import Envelope, TicketMappings
from agentspan_orchestrator.starts import Starts
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.answers import Answer
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.tickets import Ticket, TicketMapping
from tests.support.intake import MemoryDeadLetters, MemoryTopic
from tests.support.orchestration import World, process

TICKET: dict[str, Any] = {"id": "T-1", "source": "crm", "agent": "support", "text": "My invoice is wrong"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def raw(**change: Any) -> bytes:
    return json.dumps({name: value for name, value in (TICKET | change).items() if value is not None}).encode()


@dataclass
class Between:
    """Commands that fail as often as they are told to, before or after they reached the core."""

    commands: Commands
    unavailable: int = 0
    unanswered: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, command: c.Command) -> Answer:
        if self.unavailable > 0:
            self.unavailable -= 1
            raise Unavailable("the partition is changing hands")
        answer = await self.commands.submit(command)
        self.answered.set()
        if self.unanswered > 0:
            self.unanswered -= 1
            raise OutcomeUnknown("no outcome in time")
        return answer


@dataclass
class Desk:
    """What the tests hold: the topic, its dead letters, and the world behind."""

    world: World = field(default_factory=lambda: World(MemoryLog(3)))
    topic: MemoryTopic = field(default_factory=lambda: MemoryTopic(partitions=3))
    dead: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    settings: MemoryTable = field(default_factory=MemoryTable)
    pauses: list[float] = field(default_factory=list)
    unavailable: int = 0
    unanswered: int = 0

    async def started(self) -> list[e.Started]:
        found: list[e.Started] = []
        for number in range(self.world.log.partitions):
            partition = self.world.log.partition(number)
            end = await partition.end()
            async for outcome in partition.follow(until=Position(end, 0, 0)):
                found += [event for _, event in events_of(outcome) if isinstance(event, e.Started)]
        return found

    async def write(self, value: bytes, headers: Headers = (), *, partition: int = 0) -> None:
        await self.topic.write(value, headers, key=b"any", partition=partition)

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[Between]:
        """One process that takes tickets, until it is killed."""
        async with process(self.world) as here:
            definitions, mappings = Definitions(self.world.agents), TicketMappings(self.settings)
            between = Between(here.commands, self.unavailable, self.unanswered)
            starts = Starts(between, definitions, lambda _: None, mappings=mappings, wait_for_agent_s=0.02)
            source = self.topic.source()
            ingest = Ingest(
                source=source, dead_letters=self.dead, starts=starts, now=self.world.clock.now, sleep=self._sleep
            )
            running = [asyncio.create_task(each.run()) for each in (definitions, mappings)]
            await asyncio.gather(definitions.loaded.wait(), mappings.loaded.wait())
            running.append(asyncio.create_task(ingest.run()))
            try:
                yield between
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running)

    async def take_all(self) -> None:
        async with self.taking():
            await self.topic.all_done()

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def test_a_ticket_becomes_an_execution_of_its_agent() -> None:
    desk = Desk()
    await desk.write(raw(metadata={"tier": "gold"}))
    await desk.take_all()
    [started] = await desk.started()
    assert (started.agent, started.prompt, started.requested_by) == ("support", TICKET["text"], "service:crm")
    assert (started.source, started.key) == ("crm", "T-1")
    assert started.metadata == {"ticket_id": "T-1", "ticket_source": "crm", "tier": "gold"}
    assert started.execution_id == execution_id_for("crm", "T-1")
    assert desk.dead.letters == []


STRUCTURED = {"specversion": "1.0", "id": "T-1", "source": "crm", "type": "com.shop.ticket"}
CONTENT = {"agent": "support", "text": TICKET["text"]}
FORMS: dict[str, tuple[bytes, Headers]] = {
    "plain": (raw(), ()),
    "plain, as CloudEvents headers say too": (raw(), (("content-type", b"application/json"), ("ce_id", b"other"))),
    "binary": (json.dumps(CONTENT).encode(), (("ce_id", b"T-1"), ("ce_source", b"crm"))),
    "structured": (
        json.dumps(STRUCTURED | {"data": CONTENT}).encode(),
        (("content-type", b"application/cloudevents+json; charset=utf-8"),),
    ),
    "structured, in base64": (
        json.dumps(STRUCTURED | {"data_base64": base64.b64encode(json.dumps(CONTENT).encode()).decode()}).encode(),
        (("content-type", b"application/cloudevents+json"),),
    ),
}


async def test_every_form_of_the_same_ticket_is_the_same_ticket() -> None:
    desk = Desk()
    for number, (value, headers) in enumerate(FORMS.values()):
        await desk.write(value, headers, partition=number % 3)
    await desk.take_all()
    assert [started.key for started in await desk.started()] == ["T-1"]
    assert desk.dead.letters == []


async def test_a_trace_goes_on_in_the_execution() -> None:
    desk = Desk()
    await desk.write(raw(), (("ce_traceparent", TRACE.encode()),))
    await desk.write(raw(id="T-2"), (("traceparent", b"no trace"),))
    await desk.take_all()
    assert {started.key: started.traceparent for started in await desk.started()} == {"T-1": TRACE, "T-2": None}


async def test_the_same_ticket_is_started_once_however_often_and_wherever_it_comes() -> None:
    desk = Desk()
    for partition in (0, 1, 2, 0, 1, 2):
        await desk.write(raw(), partition=partition)
    await desk.take_all()
    assert len(await desk.started()) == 1
    assert desk.dead.letters == []


async def test_other_content_under_the_same_id_is_a_dead_letter_and_the_first_one_stays() -> None:
    desk = Desk()
    for text in ("first", "second", "first"):
        await desk.write(raw(text=text))
    desk.unavailable = 1  # the first one has to be sent again: the second waits for it
    await desk.take_all()
    assert [started.prompt for started in await desk.started()] == ["first"]
    [letter] = desk.dead.letters
    assert (letter.why.error, letter.why.offset) == ("ticket_id_reused", 1)
    assert json.loads(letter.value)["text"] == "second"


async def test_a_crash_before_a_ticket_is_done_starts_it_once() -> None:
    desk = Desk()
    await desk.write(raw())
    desk.unanswered = 10**6
    async with desk.taking() as between:
        await between.answered.wait()
    assert desk.topic.committed == [0, 0, 0]
    desk.unanswered = 0
    await desk.take_all()
    assert len(await desk.started()) == 1


async def test_while_nobody_can_decide_tickets_wait_and_none_is_skipped() -> None:
    desk = Desk(unavailable=5, unanswered=3)
    for number in range(20):
        await desk.write(raw(id=f"T-{number}"), partition=number % 3)
    await desk.take_all()
    assert sorted(started.key for started in await desk.started()) == sorted(f"T-{n}" for n in range(20))
    assert len(desk.pauses) == 8
    assert desk.dead.letters == []


async def test_pauses_grow_up_to_a_limit() -> None:
    desk = Desk(unavailable=9)
    await desk.write(raw())
    await desk.take_all()
    assert desk.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


BAD: list[tuple[str, bytes, Headers, str, str]] = [
    ("no JSON", b"\x00\xff", (), "unreadable", "JSON"),
    ("nothing at all", b"", (), "unreadable", "JSON"),
    ("a list", b"[]", (), "unreadable", "list"),
    ("a number that JSON has not", raw()[:-1] + b', "metadata": {"n": NaN}}', (), "unreadable", "JSON"),
    ("two ids", raw()[:-1] + b', "id": "T-8"}', (), "field_repeated", "'id' stands twice"),
    ("a structured event with two ids", json.dumps(STRUCTURED).encode()[:-1] + b', "id": "T-8"}',
     (("content-type", b"application/cloudevents+json"),), "field_repeated", "'id' stands twice"),
    ("too deep", raw()[:-1] + b', "metadata": {"n": ' + b"[" * 150 + b"]" * 150 + b"}}", (), "invalid_request", "deep"),
    ("no structured event", b"{", (("content-type", b"application/cloudevents+json"),), "unreadable", "CloudEvent"),
    ("a structured list", b"[]", (("content-type", b"application/cloudevents+json"),), "unreadable", "list"),
    ("a structured event without data", json.dumps(STRUCTURED).encode(),
     (("content-type", b"application/cloudevents+json"),), "unreadable", "NoneType"),
    ("no base64", json.dumps(STRUCTURED | {"data_base64": "?"}).encode(),
     (("content-type", b"application/cloudevents+json"),), "unreadable", "data_base64"),
    ("no text", raw(text=None), (), "invalid", "text"),
    ("no id", raw(id=None), (), "invalid", "id"),
    ("a wrong type", raw(text=7), (), "invalid", "text"),
    ("a later version", raw(schema_version=2), (), "newer_version", "upgrade"),
    ("too large", raw(text="x" * 2**20), (), "too_large", "1048576"),
    ("too large as a command", raw(text="x" * (2**20 - 200)), (), "too_large", "1048576"),
    ("an unknown agent", raw(agent="dusk"), (), "unknown_agent", "'support'"),
    ("a name that is none", raw(agent="a b"), (), "invalid_request", "agent"),
    ("a number beyond canonical JSON", raw(metadata={"n": 2**70}), (), "invalid_request", "metadata"),
    ("nobody's ticket", raw(agent=None), (), "no_mapping", "mapping"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "headers", "code", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
async def test_what_cannot_be_taken_is_put_aside_whole_and_stops_no_other(
    value: bytes, headers: Headers, code: str, says: str
) -> None:
    desk = Desk()
    own = (*headers, ("team", b"\xff"))
    await desk.write(raw(id="before"), partition=1)
    await desk.write(value, own, partition=1)
    await desk.write(raw(id="after"), partition=1)
    await desk.take_all()
    assert sorted(started.key for started in await desk.started()) == ["after", "before"]
    [letter] = desk.dead.letters
    assert (letter.key, letter.value, letter.headers) == (b"any", value, own)
    why = letter.why
    assert (why.topic, why.partition, why.offset, why.service) == ("agentspan.tickets", 1, 1, "orchestrator")
    assert (why.error, why.at) == (code, desk.world.clock.at)
    assert says in why.message


async def test_a_dead_letter_that_was_replayed_in_vain_says_why_it_failed_last() -> None:
    desk = Desk()
    await desk.write(raw(agent="dusk"), (("dlq.error", b"unreadable"), ("dlq.offset", b"7"), ("team", b"x")))
    await desk.take_all()
    [letter] = desk.dead.letters
    assert (letter.why.error, letter.why.offset, letter.headers) == ("unknown_agent", 0, (("team", b"x"),))


async def test_a_ticket_is_done_only_when_its_dead_letter_is_acknowledged() -> None:
    desk = Desk(dead=MemoryDeadLetters(refuse=3))
    await desk.write(b"?")
    await desk.take_all()
    assert desk.dead.codes == ["unreadable"]
    assert len(desk.pauses) == 3


async def test_what_nobody_thought_of_is_a_dead_letter_too(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    await desk.write(raw())
    await desk.write(raw(id="T-2"))
    async with desk.taking() as between:
        real = between.submit

        async def submit(command: c.Command) -> Answer:
            if command.execution_id == execution_id_for("crm", "T-1"):
                raise ZeroDivisionError("boom")
            return await real(command)

        between.submit = submit  # type: ignore[method-assign]
        await desk.topic.all_done()
    assert desk.dead.codes == ["failed"]
    assert "boom" in desk.dead.letters[0].why.message
    assert [started.key for started in await desk.started()] == ["T-2"]


async def test_an_agent_whose_registration_is_on_its_way_is_waited_for() -> None:
    desk = Desk()
    await desk.write(raw(agent="night"))
    async with process(desk.world) as here:
        definitions = Definitions(desk.world.agents)
        following = asyncio.create_task(definitions.run())
        await definitions.loaded.wait()
        starts = Starts(here.commands, definitions, lambda _: None, wait_for_agent_s=20)
        ingest = Ingest(
            source=desk.topic.source(), dead_letters=desk.dead, starts=starts, now=desk.world.clock.now,
            sleep=asyncio.sleep,
        )  # fmt: skip
        taking = asyncio.create_task(ingest.run())
        await asyncio.sleep(0)
        night = definitions.get("support")
        assert night is not None
        await Definitions(desk.world.agents).register(night.model_copy(update={"name": "night"}))
        await desk.topic.all_done()
        for task in (taking, following):
            task.cancel()
        await asyncio.wait([taking, following])
    assert [started.agent for started in await desk.started()] == ["night"]


async def test_a_partition_without_an_owner_holds_up_its_tickets_alone_until_they_can_be_decided() -> None:
    desk = Desk()
    ids = [f"T-{n}" for n in range(12)]
    for ticket in ids:
        await desk.write(raw(id=ticket))
    async with desk.taking() as between:
        real, away = between.submit, True

        async def submit(command: c.Command) -> Answer:
            if away and partition_for(command.execution_id, 3) == 0:
                raise Unavailable("the partition is changing hands")
            return await real(command)

        between.submit = submit  # type: ignore[method-assign]
        others = {i for i in ids if partition_for(execution_id_for("crm", i), 3) != 0}
        async with asyncio.timeout(20):
            while {started.key for started in await desk.started()} != others:  # noqa: ASYNC110  (a log has no event)
                await asyncio.sleep(0.001)
        away = False
        await desk.topic.all_done()
    assert {started.key for started in await desk.started()} == set(ids)


async def test_mappings_name_the_agent_of_a_ticket_that_names_none() -> None:
    desk = Desk()
    mappings = TicketMappings(desk.settings)
    await mappings.put("crm", TicketMapping(agent="support", source="crm*"))
    await desk.write(raw(agent=None, source="crm-eu"))
    await desk.write(raw(agent=None, source="erp"))
    await desk.take_all()
    assert [started.source for started in await desk.started()] == ["crm-eu"]
    assert desk.dead.codes == ["no_mapping"]


async def test_a_mapping_that_changed_makes_no_other_ticket_of_one_that_comes_again() -> None:
    desk = Desk()
    mappings = TicketMappings(desk.settings)
    await mappings.put("crm", TicketMapping(agent="support"))
    await desk.write(raw(agent=None))
    await desk.take_all()
    await mappings.put("crm", TicketMapping(agent="support", order=1))
    async with process(desk.world):
        support = (await desk.started())[0]
    definitions = Definitions(desk.world.agents)
    loading = asyncio.create_task(definitions.run())
    await definitions.loaded.wait()
    known = definitions.get(support.agent)
    assert known is not None
    await definitions.register(known.model_copy(update={"name": "night"}))
    loading.cancel()
    await mappings.put("crm", TicketMapping(agent="night"))
    await desk.write(raw(agent=None), partition=1)
    await desk.take_all()
    assert len(await desk.started()) == 1
    assert desk.dead.letters == []


async def test_while_the_mappings_are_still_being_read_a_ticket_is_told_to_come_again() -> None:
    desk = Desk()
    async with process(desk.world) as here:
        definitions, unread = Definitions(desk.world.agents), TicketMappings(desk.settings)
        starts = Starts(here.commands, definitions, lambda _: None, mappings=unread)
        with pytest.raises(Unavailable, match="ticket mappings"):
            await starts.ticket(Ticket(**TICKET | {"agent": None}), by="team:crm", envelope=Envelope())
