"""Whether a client still reaches its brokers: librdkafka mends its connections by itself, but after an outage one of
its instances may never connect again (seen with 2.16, once, of hundreds of frozen brokers). Then another is made.

Whoever has heard nothing for a while asks for a sign of life. A broker that answers with an error has answered.
"""

import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from agentspan.eventlog._kafka_errors import kafka_error

logger = logging.getLogger(__name__)

OfPartitions = Callable[[list[TopicPartition]], None]

SILENT_S = 10.0
"""After so long without anything new, is the client still connected?"""

ALIVE_S = 2.0
"""How long it has to show that it is."""

MEMBER_S = 30.0
"""So long may a group's coordinator be out of reach. The group has missed its member by then, and what it had is let
go; to leave and join anew sooner would move partitions about because a broker was restarted."""


class Pulse:
    """Of one client, for the thread that it belongs to."""

    def __init__(self, of: str, patience_s: float = 0.0) -> None:
        """`of`: how the log names it. `patience_s`: for so long it may be asked in vain."""
        self._of = of
        self._patience_s = patience_s
        self.heard()

    def heard(self) -> None:
        """Something came of a broker; or another client begins."""
        self._heard_at = time.monotonic()
        self._ask_at = self._heard_at + SILENT_S

    def lost(self, ask: Callable[[float], object]) -> bool:
        """Whether to make the client anew. `ask` asks a broker something, within that many seconds."""
        if time.monotonic() < self._ask_at:
            return False
        try:
            ask(ALIVE_S)
        except KafkaException as exception:
            if unreached(exception):
                return self._missed(exception)
        self.heard()
        return False

    def _missed(self, exception: KafkaException) -> bool:
        now = time.monotonic()
        self._ask_at = now + SILENT_S
        if (silent_s := now - self._heard_at) < self._patience_s:
            return False
        logger.warning("%s: nothing came for %.0f s (%s): connecting anew", self._of, silent_s, exception)
        return True


def unreached(exception: KafkaException) -> bool:
    """Whether no broker has said this: librdkafka's own errors are below zero."""
    return kafka_error(exception).code() < 0


def asks_coordinator(consumer: Consumer, topic: str) -> Callable[[float], object]:
    """A question that the group's coordinator answers, for a member that fetches nothing."""
    return lambda within_s: consumer.committed([TopicPartition(topic, 0)], timeout=within_s)


def subscribe(
    consumer: Consumer,
    topic: str,
    *,
    is_replaced: Callable[[Consumer], bool],
    assigned: OfPartitions,
    revoked: OfPartitions,
    lost: OfPartitions,
    failed: Callable[[Exception], None],
) -> None:
    """Join the group. One that was replaced is told of its partitions on its way out, and not heard; librdkafka cannot
    bear what is raised in a callback, `failed` takes it."""

    def guarded(act: OfPartitions) -> Callable[[Consumer, list[TopicPartition]], None]:
        def told(who: Consumer, partitions: list[TopicPartition]) -> None:
            if is_replaced(who):
                return
            try:
                act(partitions)
            except Exception as error:  # the callback's edge
                failed(error)

        return told

    consumer.subscribe([topic], on_assign=guarded(assigned), on_revoke=guarded(revoked), on_lost=guarded(lost))


def let_go(consumer: Consumer) -> None:
    """End one that another has replaced. Without its brokers that may take long: nobody waits for it."""
    threading.Thread(target=consumer.close, name="agentspan-kafka-replaced", daemon=True).start()
