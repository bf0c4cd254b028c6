"""Every test of this folder needs a real broker, and has a prefix of its own on it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import Cluster


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark them all."""
    item.add_marker(pytest.mark.kafka)


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Cluster]:
    async with Cluster(broker.bootstrap) as cluster:
        yield cluster
