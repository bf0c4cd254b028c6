"""The agents that are registered, as the agents table has them: looked up by version, or the last one of a name."""

import asyncio
import logging

from agentspan.eventlog import CaughtUp, LogError, Record, Table
from agentspan.eventlog.commands import Unavailable
from agentspan.eventlog.messages import message_of
from agentspan_schemas import Unreadable
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import AGENTS, encode

logger = logging.getLogger(__name__)

READ_WITHIN_S = 5.0


class Definitions:
    """A view of the agents table. Definitions never change: another content is another version."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[tuple[str, str], AgentDefinition] = {}
        self._latest: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._reading = asyncio.Lock()
        self.loaded = asyncio.Event()
        """Set once all that was registered before is known."""

    async def run(self) -> None:
        """Follow the table."""
        async for change in self._table.follow():
            if isinstance(change, CaughtUp):
                self.loaded.set()
            elif change.record is not None and (definition := _definition(change.record)):
                self._add(definition)

    def get(self, name: str, version: str | None = None) -> AgentDefinition | None:
        """The definition of that version, or the one of that name that was registered last."""
        return self._known.get((name, version or self._latest.get(name, "")))

    def all(self) -> tuple[AgentDefinition, ...]:
        """The last version of each agent."""
        return tuple(self._known[item] for item in sorted(self._latest.items()))

    async def current(self, name: str, version: str | None = None) -> AgentDefinition | None:
        """As `get`; but before it says that there is none, it reads all that stands on the table now: another process
        may have registered it a moment ago. Raises Unavailable where that cannot be read."""
        if self.get(name, version) is not None:
            return self.get(name, version)
        try:
            async with asyncio.timeout(READ_WITHIN_S), self._reading:
                if self.get(name, version) is None:
                    await self._read()
        except (TimeoutError, LogError) as error:
            raise Unavailable("which agents there are cannot be read now; try again in a moment") from error
        return self.get(name, version)

    async def awaited(self, name: str, version: str | None, timeout_s: float = 5.0) -> AgentDefinition | None:
        """The definition, also when the table's news are still on their way here."""
        if (known := self.get(name, version)) is not None:
            return known
        try:
            async with asyncio.timeout(timeout_s):
                while (found := self.get(name, version)) is None:
                    self._changed.clear()
                    await self._changed.wait()
                return found
        except TimeoutError:
            return None

    async def register(self, definition: AgentDefinition) -> str:
        """Make the definition the last one of its name; its version, once it is stored and known here."""
        version = definition.version
        if self._latest.get(definition.name) != version:
            record = Record("agent", definition.name, encode(definition), {}, definition)
            await self._table.put(f"{definition.name}@{version}", record)
            self._add(definition)
        return version

    async def _read(self) -> None:
        """Take what is not known yet; what is known keeps its place, as news of it may be on their way here."""
        async for change in self._table.follow():
            if isinstance(change, CaughtUp):
                return
            definition = _definition(change.record) if change.record is not None else None
            if definition is not None and (definition.name, definition.version) not in self._known:
                self._add(definition)

    def _add(self, definition: AgentDefinition) -> None:
        version = definition.version
        self._known[definition.name, version] = definition
        self._latest[definition.name] = version
        self._changed.set()


def _definition(record: Record) -> AgentDefinition | None:
    """The definition; None for one that cannot be read, as of a newer version: here its agent is unknown."""
    try:
        return message_of(record, AGENTS)
    except Unreadable as error:
        logger.warning("the definition %r is passed over: %s", record.key, error)
        return None
