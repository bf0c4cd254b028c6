"""A ticket: what another team puts on the tickets topic, or posts, to start an execution; and who handles which."""

from typing import Self

from pydantic import Field, model_validator

from agentspan_schemas._base import SCHEMA_VERSION, JsonObject, Name, Wire


class Ticket(Wire):
    """One piece of work for an agent. The same (source, id) is the same execution, however often it is sent."""

    id: str = Field(min_length=1, max_length=256)
    """Of a CloudEvent without one: its `id`."""
    source: str = Field(min_length=1, max_length=256)
    """Of a CloudEvent without one: its `source`."""
    agent: str | None = None
    """None: the ticket mappings in the settings find the agent."""
    text: str = Field(min_length=1)
    metadata: JsonObject = {}
    schema_version: int = SCHEMA_VERSION


class TicketMapping(Wire):
    """Tickets that name no agent and match all that is given here go to this one. The first mapping that matches wins.

    `source` and `ce_type` may hold the wildcards `*`, `?` and `[…]`. A mapping that asks for nothing matches every
    ticket.
    """

    agent: Name
    order: int = 100
    """Lower ones are asked first; of the same order, by name."""
    source: str | None = None
    ce_type: str | None = None
    header: str | None = None
    """The name of a header that must be there."""
    header_value: str | None = None
    """What it must say."""
    schema_version: int = SCHEMA_VERSION

    @model_validator(mode="after")
    def _a_value_has_its_header(self) -> Self:
        if self.header_value is not None and self.header is None:
            raise ValueError("header_value goes with header: the name of the header that must say it")
        return self
