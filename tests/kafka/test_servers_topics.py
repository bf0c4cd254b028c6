"""`agentspan topics …` on a real broker, and a server on a cluster that nobody has prepared."""

import json
import os
import subprocess
import uuid
from pathlib import Path

from tests.kafka.servers import AGENTSPAN
from tests.support.kafka.altering import alter_topic
from tests.support.kafka.broker import Broker, free_ports
from tests.support.server import run

COUNTS = ("--partitions", "2", "--replication", "1", "--min-insync", "1")


def prefix() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def topics(bootstrap: str, prefix: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    log = f"kafka://{bootstrap}?prefix={prefix}"
    return run([AGENTSPAN, "topics", *arguments, "--log", log], os.environ)


def test_topics_are_made_once_and_what_differs_later_is_told(broker: Broker) -> None:
    name = prefix()
    made = topics(broker.bootstrap, name, "create", *COUNTS)
    assert (made.returncode, "made 13 topics" in made.stderr) == (0, True), made.stderr
    again = topics(broker.bootstrap, name, "create", *COUNTS)
    assert (again.returncode, "13 were there" in again.stderr) == (0, True), again.stderr
    assert topics(broker.bootstrap, name, "check", *COUNTS).returncode == 0

    alter_topic(broker.bootstrap, f"{name}.events", {"unclean.leader.election.enable": "true"})  # nobody should
    checked = topics(broker.bootstrap, name, "check", *COUNTS, "-o", "json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout) == [
        {
            "name": f"{name}.events",
            "setting": "unclean.leader.election.enable",
            "planned": "false",
            "found": "true",
        }
    ]
    described = topics(broker.bootstrap, name, "describe", "-o", "json")
    assert described.returncode == 0
    settings = {row["topic"]: row["unclean.leader.election.enable"] for row in json.loads(described.stdout)}
    assert (settings[f"{name}.events"], settings[f"{name}.commands"]) == ("true", "false")


def test_more_replicas_than_brokers_are_refused_with_the_clusters_reason(broker: Broker) -> None:
    refused = topics(broker.bootstrap, prefix(), "create")
    assert refused.returncode == 1
    assert "replication factor of 3" in refused.stderr


def test_a_cluster_that_is_not_there_is_named_with_what_is_wrong() -> None:
    [port] = free_ports(1)
    absent = topics(f"127.0.0.1:{port}", prefix(), "check")
    assert absent.returncode == 3
    assert str(port) in absent.stderr
    assert "refused" in absent.stderr


def test_a_server_on_a_cluster_without_the_topics_says_how_to_make_them(broker: Broker, tmp_path: Path) -> None:
    log = f"kafka://{broker.bootstrap}?prefix={prefix()}"
    started = run([AGENTSPAN, "server", "start", "--data", str(tmp_path), "--port", "0", "--log", log], os.environ)
    assert started.returncode == 1
    assert f"agentspan topics create --log '{log}'" in started.stderr
    assert started.stderr.count("topics create") == 1
