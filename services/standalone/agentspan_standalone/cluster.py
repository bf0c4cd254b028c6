"""Asking a cluster something for a person at a terminal: which cluster, how long, and what went wrong on the way.

Apart from what is asked (`topics`, `dlq`), and from the server, which would go on trying.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from agentspan.eventlog import LogError
from agentspan.eventlog.kafka import AccessDenied, ClusterUnreachable, Kafka, KafkaConfig
from agentspan.eventlog.letters import Letterbox
from agentspan_schemas.topics import Topic
from agentspan_standalone.errors import ClusterRefused, OutOfReach, SettingsError
from agentspan_standalone.settings import Settings

T = TypeVar("T")

ANSWERS_WITHIN_S = 10.0
"""A person waits."""


def named_by(log: str | None, *, client: str) -> KafkaConfig:
    """The cluster that `log` names, or the environment. Raises SettingsError."""
    settings = Settings.given(log=log)
    if not settings.log:
        raise SettingsError("which cluster? Give --log kafka://host:port?prefix=agentspan, or set AGENTSPAN_LOG")
    return replace(settings.kafka(), client_id=f"agentspan-{client}", connect_timeout_s=ANSWERS_WITHIN_S)


@asynccontextmanager
async def letterboxes(config: KafkaConfig, topics: Sequence[Topic]) -> AsyncIterator[Sequence[Letterbox]]:
    """The dead letters of the topics. Raises LogError."""
    kafka = Kafka(config)
    try:
        yield [await kafka.letterbox(topic) for topic in topics]
    finally:
        await kafka.close()


def asked(asking: Coroutine[Any, Any, T]) -> T:
    """The cluster's answer. Raises OutOfReach or ClusterRefused."""
    try:
        return asyncio.run(asking)
    except (ClusterUnreachable, AccessDenied) as error:
        raise OutOfReach(str(error)) from error
    except LogError as error:
        raise ClusterRefused(str(error)) from error
