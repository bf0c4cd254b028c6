"""Why no broker answers, by what a client hears on the way there: a wrong password, no trust, no such host.

Apart from the clients because librdkafka tells such things to a callback, and lets the request itself only time out.
"""

import asyncio
import time

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from agentspan.eventlog._errors import LogError
from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_errors import SETTING, ClusterUnreachable, not_let_in, with_advice

LISTENS_S = 3.0
"""So long may a client take to say why it can't connect."""


async def unreachable(config: KafkaConfig) -> LogError:
    """AccessDenied when the cluster does not let this process in, ClusterUnreachable with what was heard otherwise."""
    heard = await asyncio.to_thread(_listen, config)
    denied = next((denied for each in heard if (denied := not_let_in(each)) is not None), None)
    if denied is not None:
        return denied
    return ClusterUnreachable(f"no broker at {config.bootstrap!r} answers{_why(heard)}")


def _why(heard: list[KafkaError]) -> str:
    if not heard:
        return "; look at its address, its state and the network"
    telling = [each for each in heard if each.code() != KafkaError._ALL_BROKERS_DOWN]
    if telling:
        return f" ({with_advice(telling[0])})"
    # what refuses a connection is told: here each was taken and closed again
    return f": it closes each connection; look at security.protocol in {SETTING}"


def _listen(config: KafkaConfig) -> list[KafkaError]:
    """What comes, until something says that the cluster does not let us in."""
    heard: list[KafkaError] = []
    deadline = time.monotonic() + LISTENS_S
    with AdminClient(config.admin() | {"error_cb": heard.append}) as admin:
        while (left := deadline - time.monotonic()) > 0 and not any(map(not_let_in, heard)):
            admin.poll(left)
    return heard
