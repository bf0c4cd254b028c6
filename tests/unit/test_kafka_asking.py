"""An admin client that reaches nobody, without a broker: another is asked, and it ends when it owes no answer."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from agentspan.eventlog import _kafka_asking
from agentspan.eventlog._kafka_asking import Asking
from agentspan.eventlog._kafka_config import KafkaConfig
from tests.support.eventually import until

TIMED_OUT = KafkaException(KafkaError(KafkaError._TIMED_OUT))


class StubAdmin:
    """Ends like a context."""

    made: ClassVar[list[Any]] = []

    def __init__(self, settings: dict[str, Any]) -> None:
        self.ended = False
        self.made.append(self)

    def __exit__(self, *_: object) -> None:
        self.ended = True


@pytest.fixture(autouse=True)
def admins(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StubAdmin]]:
    monkeypatch.setattr(StubAdmin, "made", [])
    monkeypatch.setattr(_kafka_asking, "AdminClient", StubAdmin)
    yield StubAdmin
    assert all(each.ended for each in StubAdmin.made)


def asked(asking: Asking, answer: KafkaException | None) -> None:
    """Once."""
    with asking.client():
        if answer is not None:
            raise answer


async def test_one_that_reaches_nobody_for_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(KafkaConfig(bootstrap="localhost:1"))
    with pytest.raises(KafkaException):
        asked(asking, TIMED_OUT)
    assert len(StubAdmin.made) == 1, "not for one answer that does not come"
    monkeypatch.setattr(_kafka_asking, "SILENT_S", 0.0)
    with asking.client() as other:
        with pytest.raises(KafkaException):
            asked(asking, TIMED_OUT)
        assert [each.ended for each in StubAdmin.made] == [False, False], "somebody awaits an answer of the first"
    assert other is StubAdmin.made[0]
    with asking.client() as now:
        assert now is StubAdmin.made[1]
    await until(lambda: StubAdmin.made[0].ended)
    await asking.close()


async def test_one_that_answers_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kafka_asking, "SILENT_S", 0.0)
    asking = Asking(KafkaConfig(bootstrap="localhost:1"))
    asked(asking, None)
    with pytest.raises(KafkaException):
        asked(asking, KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    assert len(StubAdmin.made) == 1
    await asking.close()
