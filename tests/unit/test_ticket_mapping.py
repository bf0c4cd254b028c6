"""Which mapping a ticket meets: a table, and the view that reads the settings."""

import asyncio

import pytest

from agentspan.eventlog import Record
from agentspan.eventlog.memory import MemoryTable
from agentspan_orchestrator.ingest_mapping import KIND, Envelope, TicketMappings, mapped_agent
from agentspan_schemas.tickets import TicketMapping

ENVELOPE = Envelope(ce_type="com.shop.refund.v1", headers={"team": "mail", "ce_type": "com.shop.refund.v1"})


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ({}, True),
        ({"source": "crm"}, True),
        ({"source": "cr?"}, True),
        ({"source": "CRM"}, False),
        ({"source": "crm-*"}, False),
        ({"ce_type": "com.shop.*"}, True),
        ({"ce_type": "org.*"}, False),
        ({"header": "team"}, True),
        ({"header": "team", "header_value": "mail"}, True),
        ({"header": "team", "header_value": "chat"}, False),
        ({"header": "desk"}, False),
        ({"source": "crm", "ce_type": "com.shop.*", "header": "team"}, True),
        ({"source": "crm", "ce_type": "org.*"}, False),
    ],
)
def test_a_mapping_matches_when_all_that_it_asks_is_so(asked: dict[str, str], matches: bool) -> None:
    mapping = TicketMapping.model_validate({"agent": "support"} | asked)
    assert mapped_agent([mapping], "crm", ENVELOPE) == ("support" if matches else None)


def test_a_plain_message_has_no_type_that_could_match() -> None:
    assert mapped_agent([TicketMapping(agent="support", ce_type="*")], "crm", Envelope()) is None


def test_the_first_that_matches_wins() -> None:
    mappings = [TicketMapping(agent="a", source="erp"), TicketMapping(agent="b"), TicketMapping(agent="c")]
    assert mapped_agent(mappings, "crm", ENVELOPE) == "b"


async def test_the_view_follows_the_settings_and_leaves_out_what_it_cannot_read() -> None:
    settings = MemoryTable()
    writer, reader = TicketMappings(settings), TicketMappings(settings)
    await settings.put("policy/small", Record("policy", "small", b"{}"))
    await settings.put(f"{KIND}/broken", Record(KIND, "broken", b"{}"))
    await writer.put("late", TicketMapping(agent="b", order=9))
    await writer.put("soon", TicketMapping(agent="a", order=1))
    following = asyncio.create_task(reader.run())
    await reader.loaded.wait()
    assert list(reader.all()) == ["soon", "late"]
    await writer.remove("soon")
    assert "soon" not in writer.all()
    for _ in range(10):
        await asyncio.sleep(0)
    assert list(reader.all()) == ["late"]
    assert reader.agent_for("crm", ENVELOPE) == "b"
    following.cancel()
