"""An admin client that is made anew when it has reached nobody for long (see `_kafka_pulse`).

Apart from who asks: the old one may still owe an answer to others, and must not end before.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_pulse import SILENT_S, unreached


@dataclass(slots=True, eq=False)
class _Held:
    """One client, and how many await an answer of it."""

    client: AdminClient
    users: int = 0
    heard_at: float = field(default_factory=time.monotonic)


class Asking:
    """Of one event loop."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._held = _Held(AdminClient(config.admin()))
        self._ending: set[asyncio.Task[None]] = set()

    @contextmanager
    def client(self) -> Iterator[AdminClient]:
        """The client of now, for one question and its answer."""
        held = self._held
        held.users += 1
        try:
            yield held.client
            held.heard_at = time.monotonic()
        except KafkaException as exception:
            if unreached(exception):
                self._missed(held)
            else:
                held.heard_at = time.monotonic()
            raise
        finally:
            held.users -= 1
            self._end_if_over(held)

    async def close(self) -> None:
        """Nobody asks any more."""
        # left to the collector, it could be ended by its own thread while an answer comes, which librdkafka cannot bear
        await asyncio.gather(_end(self._held), *self._ending)

    def _missed(self, held: _Held) -> None:
        if held is self._held and time.monotonic() - held.heard_at > SILENT_S:
            self._held = _Held(AdminClient(self._config.admin()))

    def _end_if_over(self, held: _Held) -> None:
        if held is not self._held and not held.users:
            ending = asyncio.create_task(_end(held))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _end(held: _Held) -> None:
    await asyncio.to_thread(held.client.__exit__, None, None, None)
