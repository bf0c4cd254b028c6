"""How far the readers of topics are behind: what a scrape asks of the log's cluster, or of its file.

Apart from the plumbing because it is asked by nobody who works, and may be slow or fail.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from agentspan.eventlog import Log
from agentspan_schemas.topics import EVENTS, Topic


class Lags(Protocol):
    """Every method raises LogError where it is not told."""

    async def ends(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset that the next record of each partition will have; nothing of a topic that is not stored."""
        ...

    async def begins(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset below which nothing of each partition is kept."""
        ...

    async def committed(self, topic: Topic, group: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Up to where a group has committed, where it has."""
        ...


class LogLags:
    """Of a log in one file: commands are not stored, and nobody else writes."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def ends(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """Of the events."""
        if topic != EVENTS:
            return {}
        return {number: await self._log.partition(number).end() for number in partitions}

    async def begins(self, topic: Topic, partitions: Collection[int]) -> Mapping[int, int]:
        """Nothing is ever dropped."""
        return dict.fromkeys(partitions, 0)

    async def committed(self, topic: Topic, group: str, partitions: Collection[int]) -> Mapping[int, int]:
        """There are no groups."""
        return {}
