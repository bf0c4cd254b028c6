"""The audit itself: it finds nothing in a run as it was, and each of its checks fails when that run is altered."""

import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from tests.kafka import alterations
from tests.kafka.alterations import ALTERATIONS, Alter
from tests.kafka.audit import judged
from tests.kafka.evidence import TOPICS, Evidence, Raw
from tests.kafka.findings import CHECKS
from tests.kafka.matrix import PARTITIONS, Matrix, load, matrix
from tests.kafka.servers import create_topics
from tests.support.kafka.broker import Broker


@pytest.fixture(scope="module")
def ran(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """A fleet after a few runs, of which some were rejected."""
    with matrix(tmp_path_factory.mktemp("audited"), broker.bootstrap, orchestrators=1) as fleet:
        with load(fleet) as runs:
            runs.goes_on()
        yield fleet


@pytest.fixture(scope="module")
def evidence(ran: Matrix) -> Evidence:
    return ran.evidence()


def copied(bootstrap: str, evidence: Evidence) -> str:
    """The prefix of topics that hold the same records."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    create_topics(f"kafka://{bootstrap}?prefix={prefix}", partitions=PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for topic in TOPICS:
        records: Sequence[Raw] = getattr(evidence, topic)
        for raw in records:
            headers: list[tuple[str, str | bytes | None]] = list(raw.headers.items())
            producer.produce(f"{prefix}.{topic}", raw.value, raw.key, raw.partition, headers=headers)
    assert producer.flush(20) == 0
    return prefix


def script(ran: Matrix, prefix: str) -> "subprocess.CompletedProcess[str]":
    words = ["--bootstrap", ran.bootstrap, "--prefix", prefix, "--effects", str(ran.effects)]
    command = [sys.executable, "-m", "tests.kafka.audit", *words, "--clickhouse", ran.clickhouse.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_run_as_it_was_is_found_to_be_in_order(ran: Matrix, evidence: Evidence) -> None:
    assert judged(evidence) == []
    assert {event["type"] for event in evidence.shown or ()} >= {"started", "waiting", "done"}
    assert {raw.headers["ce_type"] for raw in evidence.events} >= {"approved", "rejected", "tool_started", "done"}
    printed = script(ran, copied(ran.bootstrap, evidence))
    assert (printed.returncode, "0 findings" in printed.stdout) == (0, True), printed.stdout + printed.stderr


@pytest.mark.parametrize(("check", "wrong", "alter"), ALTERATIONS, ids=[wrong for _, wrong, _ in ALTERATIONS])
def test_what_must_not_be_is_found(evidence: Evidence, check: str, wrong: str, alter: Alter) -> None:
    assert check in {finding.check for finding in judged(alter(evidence))}


def test_every_check_has_an_alteration_that_makes_it_fail() -> None:
    assert {check for check, _, _ in ALTERATIONS} == CHECKS.keys()


def test_the_script_prints_what_it_finds_on_altered_topics_and_fails(ran: Matrix, evidence: Evidence) -> None:
    altered = alterations.ghost_task(alterations.without_event("model_replied")(evidence))
    printed = script(ran, copied(ran.bootstrap, altered))
    assert printed.returncode == 1
    assert "9-0/1 at" in next(line for line in printed.stdout.splitlines() if line.startswith("task-counted"))
    assert "seq-gapless: " in printed.stdout


def test_a_ghosts_records_do_not_count_for_the_audit(evidence: Evidence) -> None:
    """Records of an epoch that is over, of a takeover that is not higher, and behind a hole, change nothing."""
    takeovers = [raw for raw in evidence.events if raw.headers["ce_n"] == "0" and raw.partition == 0]
    last = [raw for raw in evidence.events if raw.partition == 0][-1]
    epoch, n = takeovers[-1].headers["ce_epoch"], int(last.headers["ce_n"])
    stale = _ghost(last, 1, ce_epoch=str(int(epoch) - 1), ce_n=str(n + 1))
    void = _ghost(takeovers[-1], last.offset - takeovers[-1].offset + 2, ce_epoch=epoch)
    hole = _ghost(last, 3, ce_n=str(n + 2))
    behind = _ghost(last, 4, ce_n=str(n + 1))
    others = [raw for raw in evidence.events if raw.partition != 0]
    mine = [raw for raw in evidence.events if raw.partition == 0]
    haunted = replace(evidence, events=[*mine, stale, void, hole, behind, *others])
    assert judged(haunted) == []


def _ghost(of: Raw, further: int, **headers: str) -> Raw:
    return replace(of, offset=of.offset + further, headers={**of.headers, **headers})
