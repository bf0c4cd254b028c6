"""`agentspan topics …` without a cluster: what is printed, how it ends; and the services that are started alone."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agentspan.cli import main
from agentspan.eventlog import LogError
from agentspan.eventlog.kafka import AccessDenied, DescribedTopic, Difference, KafkaConfig, PlannedTopic
from agentspan_standalone import topics

LOG = "kafka://broker-1:9092,broker-2:9092?prefix=shop"
DIFFERENT = Difference("shop.events", "partitions", "12", "4")


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[KafkaConfig, Sequence[PlannedTopic]]]:
    """A cluster that lacks everything, but for the topics whose name ends with `s.dlq`; the plans it was given."""
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]] = []

    async def create(config: KafkaConfig, plan: Sequence[PlannedTopic]) -> tuple[str, ...]:
        plans.append((config, plan))
        return tuple(each.name for each in plan if not each.name.endswith(".dlq"))

    async def check(config: KafkaConfig, plan: Sequence[PlannedTopic]) -> tuple[Difference, ...]:
        plans.append((config, plan))
        return (DIFFERENT,) if plan[0].replication == 3 else ()

    async def describe(config: KafkaConfig, names: Sequence[str]) -> tuple[DescribedTopic, ...]:
        settings = {"cleanup.policy": "delete", "min.insync.replicas": "2"}
        return tuple(DescribedTopic(name, "id-1", 4, 3, settings) for name in names if name.endswith(".events"))

    for name, double in (("create_topics", create), ("check_topics", check), ("describe_topics", describe)):
        monkeypatch.setattr(topics, name, double)
    return plans


def refusing(monkeypatch: pytest.MonkeyPatch, error: LogError) -> None:
    async def refuse(config: KafkaConfig, names: Sequence[str]) -> tuple[DescribedTopic, ...]:
        raise error

    monkeypatch.setattr(topics, "describe_topics", refuse)


def having(monkeypatch: pytest.MonkeyPatch, *endings: str) -> None:
    """A cluster with these topics: of 4 partitions where they go with the events."""

    async def describe(config: KafkaConfig, names: Sequence[str]) -> tuple[DescribedTopic, ...]:
        there = [name for name in names if name.endswith(endings)]
        settings = {"min.insync.replicas": "2"}
        return tuple(DescribedTopic(name, "id-1", 1 if name.endswith(".dlq") else 4, 5, settings) for name in there)

    monkeypatch.setattr(topics, "describe_topics", describe)


def test_what_is_made_beside_others_has_as_many_partitions_and_copies(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    having(monkeypatch, ".commands", ".dlq")
    assert main(["topics", "create", "--log", LOG, "-o", "json"]) == 0
    [(_, plan)] = plans
    made = {each.name: (each.partitions, each.replication, each.config["min.insync.replicas"]) for each in plan}
    assert made["shop.events"] == made["shop.snapshots"] == (4, 5, "2")
    rows = {row["topic"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["shop.tickets.dlq"] == {
        "topic": "shop.tickets.dlq",
        "partitions": 1,
        "replication": 5,
        "state": "was there",
    }


def test_another_number_of_partitions_than_the_others_have_is_refused(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    having(monkeypatch, ".events")
    assert main(["topics", "create", "--log", LOG, "--partitions", "12"]) == 2
    assert "--partitions 12: 'shop.events' has 4, for ever" in capsys.readouterr().err
    assert plans == []
    assert main(["topics", "create", "--log", LOG, "--partitions", "4", "--replication", "3"]) == 0
    assert {each.replication for _, plan in plans for each in plan} == {3}


def test_fewer_copies_than_have_to_be_in_sync_are_refused(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topics", "create", "--log", LOG, "--replication", "1"]) == 2
    assert "--min-insync 2 of --replication 1: nothing could ever be written" in capsys.readouterr().err
    assert plans == []


def test_create_says_of_each_topic_whether_it_was_made(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    having(monkeypatch, ".dlq")
    counts = ("--partitions", "24", "--replication", "2", "--min-insync", "1")
    assert main(["topics", "create", "--log", LOG, *counts, "-o", "json"]) == 0
    said = capsys.readouterr()
    rows = {row["topic"]: row for row in json.loads(said.out)}
    assert rows["shop.events"] == {"topic": "shop.events", "partitions": 24, "replication": 2, "state": "made"}
    assert rows["shop.tickets.dlq"]["state"] == "was there"
    assert "made 10 topics; 3 were there" in said.err
    [(config, plan)] = plans
    assert (config.bootstrap, config.prefix) == ("broker-1:9092,broker-2:9092", "shop")
    assert {each.config["min.insync.replicas"] for each in plan} == {"1"}


def test_check_ends_with_1_when_anything_differs(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topics", "check", "--log", LOG]) == 1
    said = capsys.readouterr()
    _, row = said.out.splitlines()
    assert row.split() == ["shop.events", "partitions", "12", "4"]
    assert "give the --partitions, --replication and --min-insync that they were created with" in said.err
    assert main(["topics", "check", "--log", LOG, "--replication", "2"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "all 13 topics are as planned\n")


def test_describe_ends_with_1_when_a_topic_is_missing(
    plans: list[tuple[KafkaConfig, Sequence[PlannedTopic]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTSPAN_LOG", LOG)
    assert main(["topics", "describe", "-o", "jsonl"]) == 1
    said = capsys.readouterr()
    [row] = map(json.loads, said.out.splitlines())
    assert (row["topic"], row["partitions"], row["cleanup.policy"]) == ("shop.events", 4, "delete")
    assert said.err == "1 of 13 topics are there: `agentspan topics create` makes what is missing\n"


def test_acls_are_lines_for_the_clusters_own_tool_or_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "acls", "--log", LOG]) == 0
    lines = capsys.readouterr().out.splitlines()
    command = "kafka-acls.sh --bootstrap-server broker-1:9092,broker-2:9092 --add --allow-principal"
    assert f"{command} User:agentspan-tool-runner --operation Write --topic shop.commands --topic shop.workers" in lines
    assert all(line.startswith(f"{command} User:agentspan-") for line in lines)

    assert main(["topics", "acls", "--log", LOG, "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["service"] for row in rows if row["operation"] == "Write" and row["name"] == "shop.events"} == {
        "orchestrator"
    }
    by_hand = {(row["operation"], row["name"]) for row in rows if row["service"] == "operator"}
    assert {("Create", "shop.events"), ("Write", "shop.tickets.dlq"), ("Read", "shop.reader")} <= by_hand
    assert {name for operation, name in by_hand if operation == "Write"} == {
        "shop.tickets", "shop.decisions", "shop.tickets.dlq", "shop.decisions.dlq", "shop.events.dlq",
    }  # fmt: skip


def test_a_cluster_that_does_not_let_us_in_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing(monkeypatch, AccessDenied("no right to read 'shop.events'"))
    assert main(["topics", "describe", "--log", LOG]) == 3
    assert "no right to read 'shop.events'" in capsys.readouterr().err


def test_what_a_cluster_refuses_ends_with_1_and_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing(monkeypatch, LogError("policy forbids it"))
    assert main(["topics", "describe", "--log", LOG]) == 1
    assert capsys.readouterr().err == "error: policy forbids it\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("topics check", "which cluster?"),
        ("topics check --log http://broker:9092", "log 'http://broker:9092' names no cluster"),
        (f"topics check --log {LOG} --replication 1", "nothing could ever be written"),
        (f"topics create --log {LOG} --partitions 0", "--partitions"),
    ],
)
def test_a_command_line_that_names_no_possible_cluster_ends_with_2(
    line: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert why in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from agentspan_standalone import commands

    calls: list[Any] = []

    def start(*args: Any, **options: Any) -> int:
        calls.append((args, {name: value for name, value in options.items() if value}))
        return 0

    monkeypatch.setattr(commands, "start", start)
    return calls


@pytest.mark.parametrize("role", ["orchestrator", "tool-runner", "approvals", "query"])
def test_each_service_has_a_command_that_starts_it_alone(role: str, started: list[Any]) -> None:
    assert main([role, "--log", LOG, "--port", "7001", "--detach"]) == 0
    assert started == [((None, None, 7001), {"detach": True, "log": LOG, "roles": role})]


def test_a_query_service_may_be_given_a_clickhouse(started: list[Any]) -> None:
    assert main(["query", "--log", LOG, "--clickhouse", "http://ch:8123"]) == 0
    assert started[0][1]["clickhouse"] == "http://ch:8123"


def test_what_starts_the_approvals_service_does_not_go_with_a_command_of_the_same_name(
    started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["approvals", "--log", LOG, "list"]) == 2
    assert "--log" in capsys.readouterr().err
    assert started == []


def test_services_apart_need_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["orchestrator"]) == 2
    assert "kafka://" in capsys.readouterr().err
