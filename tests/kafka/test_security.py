"""How one gets into a cluster: the settings that the docs give are taken, who is not let in is told why, and tokens are
asked for where they are made."""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from agentspan.eventlog.kafka import AccessDenied, ClusterUnreachable, Kafka, KafkaConfig, describe_topics
from agentspan_standalone.errors import SettingsError
from agentspan_standalone.settings import Settings
from tests.kafka.servers import AGENTSPAN
from tests.support.kafka.broker import Broker, free_ports, new_cluster_id, nodes
from tests.support.server import run

DOCS = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text(encoding="utf-8")
SECTION = DOCS[DOCS.index("## Getting in") : DOCS.index("## ", DOCS.index("## Getting in") + 1)]
EXAMPLES = re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)
LOG = "kafka://127.0.0.1:1"


def named(example: str) -> str:
    security = json.loads(example)
    return f"{security.get('sasl.mechanism', 'mTLS')}-{security.get('sasl.oauthbearer.method', 'given')}"


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_what_the_docs_say_is_taken_by_the_settings_and_by_the_client(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "security.json"
    secret.write_text(example)
    monkeypatch.setenv("AGENTSPAN_KAFKA_SECURITY_FILE", str(secret))
    if '"sasl.oauthbearer.config"' in example:
        monkeypatch.setenv("AGENTSPAN_KAFKA_TOKENS", "agentspan.eventlog.msk:token")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    config = Settings.given(log=LOG).kafka()
    assert config.security == json.loads(example)
    settings = config.producer() | {"error_cb": lambda _: None}
    if "ssl.ca.location" not in example:
        Producer(settings)
        return
    with pytest.raises(KafkaException, match=r"ssl\.ca\.location failed"):
        Producer(settings)  # there is no such file here: it was looked for


def test_the_docs_show_every_mechanism() -> None:
    assert {json.loads(each).get("sasl.mechanism") for each in EXAMPLES} == {
        "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER", None,
    }  # fmt: skip
    for cluster in ("Amazon MSK", "Confluent Cloud", "Strimzi"):
        assert SECTION.count(f"{cluster}, ") >= 2, "each in two ways"


def test_tokens_for_msk_are_signed_for_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    from base64 import urlsafe_b64decode

    from agentspan.eventlog.msk import token

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    signed, ends = token("eu-central-1")
    assert b"kafka.eu-central-1.amazonaws.com" in urlsafe_b64decode(signed + "==")
    assert 60 < ends - time.time() < 3600
    with pytest.raises(ValueError, match=r"sasl\.oauthbearer\.config"):
        token("")


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"AGENTSPAN_KAFKA_SECURITY": "{bad"}, "AGENTSPAN_KAFKA_SECURITY is not JSON"),
        ({"AGENTSPAN_KAFKA_SECURITY": '{"acks": "1"}'}, "'acks'"),
        ({"AGENTSPAN_KAFKA_SECURITY_FILE": "/nowhere"}, "AGENTSPAN_KAFKA_SECURITY_FILE='/nowhere'"),
        ({"AGENTSPAN_KAFKA_SECURITY_FILE": "/dev/null"}, "AGENTSPAN_KAFKA_SECURITY is not JSON"),
        ({"AGENTSPAN_KAFKA_SECURITY": "{}", "AGENTSPAN_KAFKA_SECURITY_FILE": "/dev/null"}, "both set"),
        ({"AGENTSPAN_KAFKA_TOKENS": "agentspan.eventlog.msk:token"}, "OAUTHBEARER"),
        (
            {"AGENTSPAN_KAFKA_TOKENS": "no.such:thing", "AGENTSPAN_KAFKA_SECURITY": '{"sasl.mechanism":"OAUTHBEARER"}'},
            "no.such:thing",
        ),
        ({"AGENTSPAN_KAFKA_TOKENS": "token"}, "kafka_tokens"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    environment: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        Settings.given(log=LOG).kafka()
    assert why in str(error.value)


def test_a_password_may_stand_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    monkeypatch.setenv("AGENTSPAN_CLICKHOUSE_PASSWORD_FILE", str(tmp_path / "password"))
    assert Settings.given().clickhouse_password.get_secret_value() == "s3cret"


async def test_tokens_are_made_in_the_process_that_needs_them() -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def token(settings: str) -> tuple[str, float]:
        assert settings == "cluster=west"
        loop.call_soon_threadsafe(asked.set)
        return "token", 4e9

    [port] = free_ports(1)
    security = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.config": "cluster=west",
    }
    config = KafkaConfig(bootstrap=f"127.0.0.1:{port}", security=security, oauth_token=token, connect_timeout_s=1)
    kafka = Kafka(config)
    with pytest.raises(ClusterUnreachable):
        await kafka.log()
    await asyncio.wait_for(asked.wait(), 60)
    await kafka.close()


# -- a cluster that asks for a password --

PASSWORDS = """
listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="admin" user_agentspan="right";
"""


class Guarded(Broker):
    """A broker with a second listener, behind a password."""

    def __init__(self, folder: Path) -> None:
        [node] = nodes(1)
        [sasl] = free_ports(1)
        self._prepare(folder, node, [node], new_cluster_id())
        self.guarded = f"127.0.0.1:{sasl}"
        lines = PASSWORDS.format(plain=node.port, sasl=sasl, controller=node.controller)
        with (folder / "server.properties").open("a") as file:
            file.write(lines)  # of a property that stands twice the last counts


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    broker = Guarded(tmp_path_factory.mktemp("guarded"))
    broker.start()
    yield broker
    broker.stop()


def security(password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "agentspan",
        "sasl.password": password,
    }


async def test_who_has_the_password_is_let_in(guarded: Guarded) -> None:
    config = KafkaConfig(bootstrap=guarded.guarded, security=security("right"))
    assert await describe_topics(config, ["agentspan.events"]) == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (security("wrong"), r"authentication failed.*sasl\.mechanism.*AGENTSPAN_KAFKA_SECURITY"),
        (security("right") | {"sasl.mechanism": "SCRAM-SHA-256"}, r"authentication failed.*sasl\.mechanism"),
    ],
    ids=["password", "mechanism"],
)
async def test_who_is_not_let_in_is_told_why_and_where_to_look(
    guarded: Guarded, given: dict[str, str], why: str
) -> None:
    config = KafkaConfig(bootstrap=guarded.guarded, security=given)
    kafka = Kafka(config)
    began = time.monotonic()
    with pytest.raises(AccessDenied, match=why):
        await kafka.log()
    assert time.monotonic() - began < config.connect_timeout_s / 2, "nobody waits for what does not get better"
    with pytest.raises(AccessDenied, match=why):
        await describe_topics(config, ["x"])
    await kafka.close()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_SSL"])
async def test_who_speaks_otherwise_than_the_cluster_is_told_so(guarded: Guarded, protocol: str) -> None:
    given = security("right") | {"security.protocol": protocol}
    kafka = Kafka(KafkaConfig(bootstrap=guarded.guarded, security=given, connect_timeout_s=1))
    with pytest.raises(ClusterUnreachable, match=r"security\.protocol in AGENTSPAN_KAFKA_SECURITY"):
        await kafka.log()
    await kafka.close()


async def test_whose_password_is_changed_while_it_runs_says_so_now_and_then(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    settings = KafkaConfig(bootstrap=guarded.guarded, security=security("old")).producer()
    producer = Producer(settings)
    while "AGENTSPAN_KAFKA_SECURITY" not in caplog.text:
        producer.poll(0.1)
    for _ in range(20):
        producer.poll(0.1)
    assert caplog.text.count("SASL authentication error") == 1


def test_a_server_that_is_not_let_in_ends_with_the_reason(guarded: Guarded, tmp_path: Path) -> None:
    environment = {**os.environ, "AGENTSPAN_KAFKA_SECURITY": json.dumps(security("wrong"))}
    log = ["--log", f"kafka://{guarded.guarded}"]
    started = run([AGENTSPAN, "server", "start", "--data", str(tmp_path), "--port", "0", *log], environment)
    assert started.returncode == 1
    assert "authentication failed" in started.stderr
    assert "Traceback" not in started.stderr
    assert "wrong" not in started.stderr
    listed = run([AGENTSPAN, "topics", "check", *log], environment)
    assert (listed.returncode, "authentication failed" in listed.stderr) == (3, True)
