"""Approves small refunds with a plain client, and says what came of each decision."""

import json
import os
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

PREFIX = os.environ.get("AGENTSPAN_PREFIX", "agentspan")
BROKERS = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")


def main() -> None:
    topic = f"{PREFIX}.approvals"
    # a group is named because the client wants one, and not joined: after a restart you see what waits, again
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "risk", "enable.auto.commit": False})
    producer = Producer({"bootstrap.servers": BROKERS, "enable.idempotence": True})
    found = consumer.list_topics(topic).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    consumer.assign([TopicPartition(topic, number, 0) for number in found.partitions])
    seen: dict[bytes, tuple[int, int]] = {}
    while True:
        message = consumer.poll(1)
        if message is None or message.error():
            continue  # the client goes on by itself
        key, value = message.key() or b"", message.value()
        if value is None:  # the request ended long ago, and is forgotten
            seen.pop(key, None)
            continue
        request = json.loads(value)
        version = request["seq"], request["attempts_total"]
        if version > seen.get(key, (-1, 0)):
            seen[key] = version
            look(request, producer)


def look(request: dict[str, Any], producer: Producer) -> None:
    for attempt in request["attempts"]:
        if attempt["by"] == "service:risk-plain":
            print(request["approval_id"], "accepted" if attempt["accepted"] else attempt["code"], flush=True)
    if request["state"] == "pending" and request["tool"] == "refund" and request["args"]["usd"] < 50:
        decision = {
            "decision_id": f"{request['approval_id']}/approve",  # sent again, it is the same decision
            "approval_id": request["approval_id"],
            "decision": "approve",
            "args_hash": request["args_hash"],  # of the arguments that were looked at
            "by": "risk-plain",
            "reason": "below the limit",
        }
        producer.produce(f"{PREFIX}.decisions", json.dumps(decision), request["approval_id"], on_delivery=told)
        producer.flush()  # returns when it is stored, and raises what `told` does


def told(error: KafkaError | None, message: Message) -> None:
    """A decision that is not stored decides nothing: begin again, and you see what waits, again."""
    if error is not None:
        raise KafkaException(error)


if __name__ == "__main__":
    main()
