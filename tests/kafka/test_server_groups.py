"""Servers whose groups speak KIP-848: what `topics check` says of their timeouts, and that partitions move as ever."""

import json
import os
import uuid
from pathlib import Path

from agentspan.eventlog.kafka import DECISIONS, INGEST, ORCHESTRATORS, PUBLISHERS
from tests.kafka.load import RUNS, load
from tests.kafka.servers import AGENTSPAN, PARTITIONS, fleet
from tests.support.kafka.altering import alter_group
from tests.support.kafka.broker import Broker
from tests.support.server import Json, run

GROUPS = (ORCHESTRATORS, INGEST, DECISIONS, PUBLISHERS)
PROTOCOL = "AGENTSPAN_KAFKA_GROUP_PROTOCOL"
WANTED = {"consumer.session.timeout.ms": "6000", "consumer.heartbeat.interval.ms": "2000"}


def test_under_kip_848_the_groups_timeouts_are_checked_and_a_killed_servers_partitions_move(
    broker: Broker, tmp_path: Path
) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    server = f"{PROTOCOL}=consumer server start"
    with fleet(tmp_path, broker.bootstrap, prefix, a=server, b=server) as two:
        found = checked(broker, prefix)
        assert {(row["name"], row["setting"], row["planned"]) for row in found} == {
            (f"{prefix}.{group}", setting, value) for group in GROUPS for setting, value in WANTED.items()
        }
        for group in GROUPS:
            alter_group(broker.bootstrap, f"{prefix}.{group}", WANTED)
        assert checked(broker, prefix) == []

        two.shop.register()
        with load(two) as runs:
            runs.more(RUNS // 2)
            runs.some()
            two.processes[0].kill()
            runs.more(4 * PARTITIONS)
            ids = runs.finished()
        two.audit(ids)


def checked(broker: Broker, prefix: str) -> list[Json]:
    """What `agentspan topics check` finds."""
    counts = ["--partitions", str(PARTITIONS), "--replication", "1", "--min-insync", "1"]
    log = f"kafka://{broker.bootstrap}?prefix={prefix}"
    done = run([AGENTSPAN, "topics", "check", "--log", log, *counts, "-o", "json"], os.environ | {PROTOCOL: "consumer"})
    found: list[Json] = json.loads(done.stdout)
    assert done.returncode == (1 if found else 0), done.stderr
    return found
