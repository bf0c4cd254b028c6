"""What a plain consumer finds on the events topic, judged by the documented rule, written here a second time."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import TopicPartition

from tests.support.kafka.topics import Cluster


@dataclass(frozen=True, slots=True)
class Line:
    """A record as its headers have it."""

    offset: int
    key: str
    epoch: int
    n: int
    last: bool


def read(cluster: Cluster, partition: int = 0) -> list[Line]:
    """All that stands."""
    consumer = cluster.consumer("audit")
    place = TopicPartition(f"{cluster.prefix}.events", partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=20)
    consumer.assign([place])
    lines: list[Line] = []
    while not lines or lines[-1].offset < end - 1:
        message = consumer.poll(20)
        assert message is not None, "the topic can be read to its end"
        headers = dict(message.headers() or [])
        lines.append(
            Line(
                message.offset() or 0,
                (message.key() or b"").decode(),
                int(headers["ce_epoch"] or -1),
                int(headers["ce_n"] or -1),
                headers["ce_last"] == b"true",
            )
        )
    consumer.close()
    return lines


def counted(lines: Sequence[Line]) -> list[list[str]]:
    """The keys of each outcome that counts."""
    found: list[list[str]] = []
    unfinished: list[str] = []
    epoch = following = 0
    for line in lines:
        if line.n == 0 and line.epoch > epoch:
            epoch, following, unfinished = line.epoch, 1, []
        elif line.n > 0 and line.epoch == epoch and line.n == following:
            following += 1
            unfinished.append(line.key)
            if line.last:
                found.append(unfinished)
                unfinished = []
        elif line.n > 0 and line.epoch == epoch:
            following = -1  # a hole: nothing more of this epoch
    return found
