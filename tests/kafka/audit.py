"""The audit of a cluster's topics: `python -m tests.kafka.audit --bootstrap … --prefix …` prints what must not be.

It reads them as a plain consumer, and judges by the documented rule and folds of its own. Run it at rest: when
executions move while it reads, what it finds about the end of things may only be late.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import TopicPartition

from tests.kafka import checks, checks_outside
from tests.kafka.evidence import Evidence, gathered
from tests.kafka.findings import Finding
from tests.kafka.stories import Told, told

if TYPE_CHECKING:
    from tests.support.kafka.topics import Cluster


def judged(evidence: Evidence) -> list[Finding]:
    """All that is wrong, nothing in the best case."""
    return found_in(evidence, told(evidence.events))


def found_in(evidence: Evidence, events: Told) -> list[Finding]:
    """The same, where the events were folded already."""
    found = [
        *checks.events(events),
        *checks.commands(evidence.commands, events),
        *checks.tasks(evidence.tasks, events),
        *checks_outside.approvals(evidence.approvals, events),
    ]
    if evidence.effects is not None:
        found += checks_outside.effects(evidence.effects, events)
    if evidence.shown is not None:
        found += checks_outside.shown(evidence.shown, events)
    if evidence.history is not None:
        found += checks_outside.history(evidence.history, events)
    return found


def main() -> int:
    """Print the findings, and what was looked at."""
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("--bootstrap", required=True, help="brokers, as host:port,host:port")
    parser.add_argument("--prefix", default="agentspan", help="of the topics")
    parser.add_argument("--effects", type=Path, help="SQLite file with a table `effects`: what tools did")
    parser.add_argument("--clickhouse", help="http://user:password@host:port")
    given = parser.parse_args()
    evidence = gathered(given.bootstrap, given.prefix, given.effects, given.clickhouse)
    events = told(evidence.events)
    findings = found_in(evidence, events)
    for finding in findings:
        print(finding)
    print(
        f"{len(events.stories)} executions, {len(evidence.events)} records, {events.takeovers} takeovers,"
        f" {events.ghosts} records that do not count: {len(findings)} findings"
    )
    return 1 if findings else 0


@dataclass(frozen=True, slots=True)
class Line:
    """A record as its headers have it."""

    offset: int
    key: str
    epoch: int
    n: int
    last: bool


def read(cluster: "Cluster", partition: int = 0) -> list[Line]:
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


if __name__ == "__main__":
    sys.exit(main())
