"""Each service, and the operator, with the rights that `agentspan topics acls` lists for it, on a broker that refuses
all else.

They bring a run from its start by an approval into history; and each says what it measures, and takes work when it is
ready to.
"""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from agentspan.eventlog.kafka import AccessDenied, Kafka, KafkaConfig, TopicChoices, acls
from agentspan_schemas.topics import TASKS
from tests.kafka.ingress import Ingress
from tests.kafka.servers import AGENTSPAN, PARTITIONS, SERVICES, Fleet, Process, create_topics
from tests.kafka.teams import Team
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker, free_ports, new_cluster_id, nodes
from tests.support.server import Server, run

OTHERS = TopicChoices().other_partitions
OPERATOR = "operator"

AUTHORIZED = """
listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# who comes by the plain listener: the administrator, and the broker itself
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""


OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class Authorized(Broker):
    """A broker whose second listener lets each service in by its name, and does what its rights allow."""

    def __init__(self, folder: Path) -> None:
        [node] = nodes(1)
        [sasl] = free_ports(1)
        self._prepare(folder, node, [node], new_cluster_id())
        self.guarded = f"127.0.0.1:{sasl}"
        users = " ".join(f'user_{name}="{name}"' for name in (*SERVICES, OPERATOR))
        lines = AUTHORIZED.format(plain=node.port, sasl=sasl, controller=node.controller, users=users)
        with (folder / "server.properties").open("a") as file:
            file.write(lines)  # of a property that stands twice the last counts


def as_service(service: str) -> dict[str, str]:
    """How it says who it is."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": service,
        "sasl.password": service,
    }


def grant(broker: Broker, prefix: str) -> None:
    """As an operator does with what `topics acls` prints."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    bindings = [
        AclBinding(
            ResourceType[acl.resource.upper()],
            acl.name,
            ResourcePatternType.LITERAL,
            f"User:{acl.service}",
            "*",
            OPERATIONS[acl.operation],
            AclPermissionType.ALLOW,
        )
        for acl in acls(prefix)
    ]
    for granted in admin.create_acls(bindings).values():
        granted.result(20)


@dataclass(frozen=True, slots=True)
class Apart:
    """The four services, each a principal of its own."""

    broker: Authorized
    prefix: str
    fleet: Fleet
    by_service: dict[str, Process]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder, prefix = tmp_path_factory.mktemp("apart"), f"test-{uuid.uuid4().hex[:12]}"
    broker = Authorized(tmp_path_factory.mktemp("authorized"))
    with ExitStack() as stack:
        broker.start()
        stack.callback(broker.stop)
        create_topics(f"kafka://{broker.bootstrap}?prefix={prefix}")
        grant(broker, prefix)
        made = {service: process(folder, broker, prefix, service) for service in SERVICES}
        with ThreadPoolExecutor() as starting:
            list(starting.map(stack.enter_context, made.values()))
        (folder / "client").mkdir()
        client = Server(folder / "client")
        stack.callback(client.http.close)
        stack.enter_context(Ingress(client.port, {service: [each.url] for service, each in made.items()}))
        fleet = Fleet(folder, broker.bootstrap, prefix, client, list(made.values()))
        yield Apart(broker, prefix, fleet, made)


def process(folder: Path, broker: Authorized, prefix: str, service: str) -> Process:
    (folder / service).mkdir()
    made = Process(folder / service, f"kafka://{broker.guarded}?prefix={prefix}", service)
    made.environment["AGENTSPAN_KAFKA_SECURITY"] = json.dumps(as_service(service))
    return made


def metrics(process: Process) -> dict[str, float]:
    """What it measures, by name with labels."""
    answer = httpx.get(f"{process.url}/metrics", timeout=30)
    assert answer.status_code == 200, answer.text
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def lag(apart: Apart, group: str, topic: str, partitions: int) -> list[str]:
    """The names of a reader's lags."""
    name = f"{apart.prefix}.{topic}"
    return [
        f'agentspan_consumer_lag_records{{group="{group}",partition="{number}",topic="{name}"}}'
        for number in range(partitions)
    ]


def test_each_service_does_its_part_with_its_own_rights(apart: Apart) -> None:
    people, history = apart.by_service["approvals"], apart.by_service["query"]
    with apart.fleet.shop.program("begin", "refund") as program:
        _, _, execution_id = program.lines()[-1].split()
    with apart.fleet.shop.worker():
        assert people.decide(execution_id, "2-0").is_success
        assert history.await_end(execution_id)["output"] == "The refund is made."
    apart.fleet.audit([execution_id])
    for service, each in apart.by_service.items():
        assert "authorization" not in each.log.read_text().lower(), service


def by_operator(apart: Apart, *words: str, prefix: str | None = None, ends: int = 0) -> str:
    """What `agentspan …` prints for who may do no more than `topics acls` lists for the operator."""
    log = f"kafka://{apart.broker.guarded}?prefix={prefix or apart.prefix}"
    environment = os.environ | {"AGENTSPAN_KAFKA_SECURITY": json.dumps(as_service(OPERATOR)), "AGENTSPAN_LOG": log}
    done = run([AGENTSPAN, *words], environment)
    assert done.returncode == ends, done.stderr
    return done.stdout


def test_the_operator_makes_and_checks_topics(apart: Apart) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    counts = ("--partitions", "2", "--replication", "1", "--min-insync", "1")
    by_operator(apart, "topics", "create", *counts, prefix=prefix, ends=3)
    grant(apart.broker, prefix)
    made = json.loads(by_operator(apart, "topics", "create", *counts, "-o", "json", prefix=prefix))
    assert {each["state"] for each in made} == {"made"}
    assert by_operator(apart, "topics", "check", *counts, prefix=prefix) == ""
    assert len(json.loads(by_operator(apart, "topics", "describe", "-o", "json", prefix=prefix))) == len(made)


def test_the_operator_looks_after_dead_letters(apart: Apart) -> None:
    team = Team(apart.broker.bootstrap, apart.prefix)
    team.send("tickets", b"no ticket")
    team.send("decisions", b"no decision")

    def listed() -> list[str]:
        return [each["id"] for each in json.loads(by_operator(apart, "dlq", "list", "-o", "json"))]

    eventually(lambda: len(listed()) == 2, "both are put aside")
    [ticket] = [id_ for id_ in listed() if id_.startswith("tickets/")]
    by_operator(apart, "dlq", "replay", ticket)
    eventually(lambda: len(listed()) == 2 and ticket not in listed(), "it was sent again, and put aside again")
    by_operator(apart, "dlq", "discard", "--all", "--reason", "a test of theirs")
    assert listed() == []


def test_the_operator_builds_history_anew(apart: Apart, tmp_path: Path) -> None:
    by_operator(apart, "query", "rebuild", "--data", str(tmp_path))


@pytest.mark.parametrize("topic", ["events", "commands", "tasks", "approvals", "settings"])
def test_the_operator_writes_nothing_that_is_a_services(apart: Apart, topic: str) -> None:
    refused: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": apart.broker.guarded, **as_service(OPERATOR)})
    producer.produce(f"{apart.prefix}.{topic}", b"x", partition=0, on_delivery=lambda error, _: refused.append(error))
    producer.flush(30)
    [error] = refused
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.parametrize("service", ["query", "approvals"])
async def test_the_broker_refuses_what_is_not_listed(apart: Apart, service: str) -> None:
    kafka = Kafka(KafkaConfig(bootstrap=apart.broker.guarded, prefix=apart.prefix, security=as_service(service)))
    try:
        if service == "query":
            with pytest.raises(AccessDenied):
                await kafka.inbox()
        else:
            with pytest.raises(AccessDenied):
                await kafka.table(TASKS)
    finally:
        await kafka.close()


def test_each_reader_says_how_far_behind_it_is(apart: Apart) -> None:
    orchestrator, people, history = (apart.by_service[each] for each in ("orchestrator", "approvals", "query"))

    wanted = [
        lag(apart, f"{apart.prefix}.orchestrators", "commands", PARTITIONS),
        lag(apart, f"{apart.prefix}.ingest", "tickets", OTHERS),
        lag(apart, f"{apart.prefix}.decisions", "decisions", OTHERS),
        lag(apart, "projection", "events", PARTITIONS),
    ]
    found: dict[str, float | None] = {}

    def all_caught_up() -> bool:
        measured = metrics(orchestrator) | metrics(people) | metrics(history)
        found.update({name: measured.get(name) for names in wanted for name in names})
        return set(found.values()) == {0.0}

    try:
        eventually(all_caught_up, "every reader tells its lag, and has none")
    finally:
        assert {name: value for name, value in found.items() if value != 0} == {}
    measured = metrics(orchestrator)
    assert measured['agentspan_partitions{state="serving"}'] == PARTITIONS
    assert sum(measured[f'agentspan_partition_takeovers_total{{partition="{n}"}}'] for n in range(PARTITIONS)) >= 4


def test_owners_commit_how_far_commands_are_decided_for_who_scales_by_lag(apart: Apart) -> None:
    config = KafkaConfig(bootstrap=apart.broker.bootstrap, prefix=apart.prefix)
    execution_id = apart.fleet.client.begin("refund")
    places = [TopicPartition(f"{apart.prefix}.commands", number) for number in range(PARTITIONS)]
    settings = config.consumer(wait_ms=10, queued_kb=64) | {"group.id": f"{apart.prefix}.orchestrators"}
    consumer = Consumer(settings)

    def committed_up_to_the_end() -> bool:
        ends = [consumer.get_watermark_offsets(place, timeout=60)[1] for place in places]
        offsets = [max(place.offset, 0) for place in consumer.committed(places, timeout=60)]
        return sum(ends) > 0 and ends == offsets

    eventually(committed_up_to_the_end, f"the group has committed the commands of {execution_id}")
    consumer.close()
