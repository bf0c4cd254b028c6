"""What all tests share: a Hypothesis profile that prints how to repeat a failure, and judges no test by its clock; and
one Kafka broker, for those that need it."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.kafka.broker import Broker
from tests.support.kafka.docker import DockerBroker, docker_answers

settings.register_profile("agentspan", deadline=None, print_blob=True)
settings.load_profile("agentspan")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Shared: who kills it, starts it again."""
    broker = DockerBroker() if docker_answers() else Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()
