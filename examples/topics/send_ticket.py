"""Sends a ticket with a plain client. Sent again it is the same one, and nothing happens."""

import os

from confluent_kafka import Producer

prefix = os.environ.get("AGENTSPAN_PREFIX", "agentspan")
brokers = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
producer.produce(
    f"{prefix}.tickets",
    value=b'{"agent": "support", "text": "My invoice is wrong"}',
    headers={"ce_specversion": "1.0", "ce_id": "T-2", "ce_source": "crm", "ce_type": "com.shop.complaint"},
)
producer.flush()  # returns when it is stored
