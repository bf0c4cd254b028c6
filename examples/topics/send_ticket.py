"""Sends a ticket with a plain client. Sent again it is the same one, and nothing happens."""

import os

from confluent_kafka import KafkaError, KafkaException, Message, Producer


def told(error: KafkaError | None, message: Message) -> None:
    """The client calls it when the ticket is stored, or will not be: then send it again."""
    if error is not None:
        raise KafkaException(error)


prefix = os.environ.get("AGENTSPAN_PREFIX", "agentspan")
brokers = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
producer.produce(
    f"{prefix}.tickets",
    value=b'{"agent": "support", "text": "My invoice is wrong"}',
    headers={"ce_specversion": "1.0", "ce_id": "T-2", "ce_source": "crm", "ce_type": "com.shop.complaint"},
    on_delivery=told,
)
producer.flush()  # returns when it is stored, and raises what `told` does
