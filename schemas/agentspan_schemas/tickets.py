"""A ticket: what another team puts on the tickets topic, or posts, to start an execution."""

from pydantic import Field

from agentspan_schemas._base import SCHEMA_VERSION, JsonObject, Wire


class Ticket(Wire):
    """One piece of work for an agent. The same (source, id) is the same execution, however often it is sent."""

    id: str = Field(min_length=1, max_length=256)
    source: str = Field(min_length=1, max_length=256)
    agent: str | None = None
    """None: the mapping in the settings finds the agent by source."""
    text: str = Field(min_length=1)
    metadata: JsonObject = {}
    schema_version: int = SCHEMA_VERSION
