"""The snapshots topic as a plain client sees it, and what an owner that wakes up late does to it, by hand.

Apart from the fleet because nothing else speaks of compaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka import Producer

from tests.kafka.evidence import Raw, records_of
from tests.support.eventually import eventually
from tests.support.kafka.altering import alter_topic

AT_ONCE = {
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",  # a smaller one a broker gives back in another form
    "delete.retention.ms": "100",
    "min.compaction.lag.ms": "0",
}
"""What a broker does in hours elsewhere."""

COMPACTED_WITHIN_S = 180.0

FILLER = "filler"
"""How the keys begin of what is written only to close a segment."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The topic of one fleet."""

    bootstrap: str
    topic: str

    def compact_at_once(self) -> None:
        """As its owner may set it."""
        alter_topic(self.bootstrap, self.topic, AT_ONCE)

    def all(self) -> list[Raw]:
        """All records that are still there, but for fillers."""
        return [raw for raw in records_of(self.bootstrap, self.topic) if not raw.key.startswith(FILLER)]

    def standing(self) -> dict[str, Raw]:
        """The last of each key, with its partition before it; none of those that were buried."""
        last = {f"{raw.partition}:{raw.key}": raw for raw in self.all()}
        return {key: raw for key, raw in last.items() if raw.value is not None}

    def has(self, execution_ids: Iterable[str]) -> bool:
        """Whether each of them has a snapshot."""
        return {of(raw) for raw in self.standing().values()} >= set(execution_ids)

    def write_again(self, records: Sequence[Raw]) -> None:
        """As the owner does that made them, and was frozen before they left it."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for raw in records:
            headers: list[tuple[str, str | bytes | None]] = list(raw.headers.items())
            producer.produce(self.topic, raw.value, raw.key, raw.partition, headers=headers)
        assert producer.flush(20) == 0

    def await_compaction(self, partitions: int) -> None:
        """Return when of each key only the last record is left, but for what is too new to be compacted."""
        producer = Producer({"bootstrap.servers": self.bootstrap})

        def done() -> bool:
            for number in range(partitions):  # a segment is closed by what comes after it
                producer.produce(self.topic, b"{}", f"{FILLER}-{number}", number)
            assert producer.flush(20) == 0
            keys = [(raw.partition, raw.key) for raw in self.all()]
            return len(keys) == len(set(keys))

        eventually(done, "the topic is compacted", within_s=COMPACTED_WITHIN_S)


def of(raw: Raw) -> str:
    """The execution, or `checkpoint`."""
    return raw.key.rpartition("/")[0]


def epoch(raw: Raw) -> int:
    """Of the owner that wrote it."""
    return int(raw.key.rpartition("/")[2])


def outdated(records: Iterable[Raw], standing: Iterable[Raw]) -> list[Raw]:
    """Those that a higher epoch has replaced."""
    highest: dict[tuple[int, str], int] = {}
    for raw in standing:
        place = (raw.partition, of(raw))
        highest[place] = max(epoch(raw), highest.get(place, 0))
    return [raw for raw in records if epoch(raw) < highest.get((raw.partition, of(raw)), 0)]
