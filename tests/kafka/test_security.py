"""The settings that the docs give are such as the client takes, and tokens are asked for where they are made."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from agentspan.eventlog.kafka import ClusterUnreachable, Kafka, KafkaConfig
from tests.support.kafka.broker import free_ports

DOCS = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)]


@pytest.mark.parametrize("security", EXAMPLES, ids=lambda each: f"{each.get('sasl.mechanism', 'TLS')}")
def test_what_the_docs_say_is_taken(security: dict[str, str]) -> None:
    config = KafkaConfig(bootstrap="127.0.0.1:1", security=security)
    settings = config.producer() | {"error_cb": lambda _: None}
    if "ssl.ca.location" not in security:
        Producer(settings)
        return
    with pytest.raises(KafkaException, match=r"ssl\.ca\.location failed"):
        Producer(settings)  # there is no such file here: it was looked for


def test_the_docs_show_every_mechanism() -> None:
    assert {each.get("sasl.mechanism") for each in EXAMPLES} == {"SCRAM-SHA-512", "PLAIN", "OAUTHBEARER", None}


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
    await asyncio.wait_for(asked.wait(), 10)
    await kafka.close()
