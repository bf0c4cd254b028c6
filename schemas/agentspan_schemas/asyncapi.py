"""The topics as an AsyncAPI 3 document, and as the table of docs/topics.md: both from the catalogue and the models.

Apart from `generate`, which writes them: what stands where is said here once, families by topic, and the headers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentspan_schemas import codec, topics
from agentspan_schemas._base import SCHEMA_VERSION
from agentspan_schemas.dead_letters import HANDLED, OMITTED, REASONS
from agentspan_schemas.topics import DLQ_RETENTION_MS, TOPICS, Topic, dlq_name, topic_name

Json = dict[str, Any]

CARRIES: Mapping[str, tuple[codec.Family[Any], ...]] = {
    topics.TICKETS.name: (codec.TICKETS,),
    topics.COMMANDS.name: (codec.COMMANDS,),
    topics.EVENTS.name: (codec.EVENTS, codec.NOTES),
    topics.SNAPSHOTS.name: (),
    topics.TASKS.name: (codec.TASKS,),
    topics.WORKERS.name: (codec.WORKERS,),
    topics.AGENTS.name: (codec.AGENTS,),
    topics.APPROVALS.name: (codec.APPROVALS,),
    topics.DECISIONS.name: (codec.DECISIONS,),
    topics.SETTINGS.name: (codec.TICKET_MAPPINGS,),
}
"""What is on each topic. Snapshots are the orchestrator's own, of no form that others could rely on."""

ENVELOPE: Mapping[str, str] = {
    "ce_specversion": "1.0",
    "ce_id": "names the message; the same message sent again has the same one",
    "ce_type": "what the value is",
    "ce_source": "who wrote it",
    "ce_subject": "what it is about",
    "ce_time": "when it was said; of an event its `at`",
    "content-type": "application/json",
}
SOMETIMES: Mapping[str, str] = {
    "ce_traceparent": "the trace that it belongs to (W3C Trace Context), where there is one",
}
"""What may be in the envelope."""

OWNERS: Mapping[str, str] = {
    "ce_epoch": "of the owner that wrote it",
    "ce_n": "its number in the epoch; 0 is the takeover",
    "ce_last": "`true` on the last record of an outcome",
    "ce_takeover": "the offset of a takeover that is known to be valid: a reader that starts here begins there",
}
OWN: Mapping[str, Mapping[str, str]] = {
    topics.COMMANDS.name: {"ce_commandid": "the same command sent again has the same one"},
    topics.EVENTS.name: {
        **OWNERS,
        "ce_seq": "the event's number in its execution, gapless from 1; none on notes and takeovers",
        "ce_status": "of the execution after it",
        "ce_agent": "the agent's name",
        "ce_commandid": "what it came of",
        "ce_commandoffset": "up to where the commands are decided",
    },
    topics.APPROVALS.name: {
        "ce_seq": "what the record reflects: of two, the higher counts",
        "ce_state": "of the request",
        "ce_agent": "the agent's name",
        "ce_tool": "the tool's name",
        "ce_requestedat": "since when it is asked",
        "ce_attempts": "how many decisions of other services it counts: of two with one seq, the higher counts",
        "ce_endedat": "since when nobody is awaited, if so",
        "ce_schemaversion": "the value's `schema_version`",
        "ce_crc32": "of the value's bytes: where it is right, the headers say what the value says",
        "ce_logid": "names the log that the record reflects",
        "ce_position": "up to where on that log the record reflects it",
        "ce_published": "up to where on that log all requests of the partition stood here before, if that was known",
    },
}
"""The headers that a topic's messages have beside the envelope."""

DEAD: Mapping[str, str] = {
    "dlq.error": "why it could not be taken: a stable code",
    "dlq.message": "the same in a sentence that says what to do next",
    "dlq.at": "when, in UTC",
    "dlq.topic": "where it came from",
    "dlq.partition": "where it came from",
    "dlq.offset": "where it came from",
    "dlq.service": "who could not take it",
}
SHRUNK: Mapping[str, str] = {OMITTED: "how large the record was, where nothing of it could be kept"}
NOTED: Mapping[str, str] = {HANDLED: "`<partition>:<offset>` of the letter that was replayed or discarded"}
FOREIGN = frozenset({topics.TICKETS.name, topics.DECISIONS.name})
"""Others write these: the envelope is theirs to leave out, and what cannot be taken has a topic beside them."""


def document() -> Json:
    """The AsyncAPI document, with the default prefix."""
    channels: Json = {}
    operations: Json = {}
    for topic in TOPICS:
        channels[topic.name] = _channel(topic)
        operations |= _operations(topic)
        if topic in topics.WITH_DEAD_LETTERS:
            channels[f"{topic.name}.dlq"] = _dlq_channel(topic)
            operations |= _dlq_operations(f"{topic.name}.dlq")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Agentspan topics",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": "Every topic, key, header and schema. The prefix of the names is a setting."
            " docs/topics.md has the guarantees, and the rule that says which records of the events count.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "cluster": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "a broker of the cluster"}},
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {name: body for topic in TOPICS for name, body in _messages(topic).items()} | _dead(),
        },
    }


def text() -> str:
    """The document as YAML."""
    return "\n".join(_yaml(document(), 0)) + "\n"


def table() -> str:
    """The catalogue as Markdown."""
    lines = ["| topic | key | kept | written by | read by | messages |", "|---|---|---|---|---|---|"]
    for topic in TOPICS:
        messages = ", ".join(f"[{name}](../schemas/{name}.json)" for name in _schemas(topic)) or "internal"
        readers = ", ".join(topic.readers)
        lines.append(
            f"| `{topic_name(topic)}` | {topic.key} | {_kept(topic)} | {topic.writer} | {readers} | {messages} |"
        )
    return "\n".join(lines)


def headers_table() -> str:
    """The headers as Markdown."""
    lines = ["| on | header | means |", "|---|---|---|"]
    named = [
        ("every message", ENVELOPE),
        ("traced messages", SOMETIMES),
        *((f"`{name}`", own) for name, own in OWN.items()),
        ("dead letters", {**DEAD, **SHRUNK}),
        ("notes among them", NOTED),
    ]
    lines += [f"| {on} | `{header}` | {means} |" for on, headers in named for header, means in headers.items()]
    return "\n".join(lines)


def reasons_table() -> str:
    """Why there are dead letters, as Markdown."""
    lines = ["| `dlq.error` | on | what to do |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{each.code}` | {each.on} | {each.what_to_do} |" for each in REASONS)])


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "last of each key"
    return "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // topics.DAY_MS} days"


def _schemas(topic: Topic) -> list[str]:
    """The names of the topic's messages, which are those of their schema files."""
    return [name for family in CARRIES[topic.name] for name in _names(family)]


def _names(family: codec.Family[Any]) -> list[str]:
    return [f"{family.name}.{tag}" for tag in family.types] or [family.name]


def _channel(topic: Topic) -> Json:
    configuration: Json = {"cleanup.policy": [topic.cleanup]}
    if topic.cleanup == "delete":
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": topic_name(topic),
        "description": topic.meaning,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": _kafka(topic=topic_name(topic), topicConfiguration=configuration),
    }


def _dlq_channel(topic: Topic) -> Json:
    return {
        "address": dlq_name(topic),
        "description": f"what came on {topic.name} and could not be taken: its key, value and headers as they were;"
        " and notes which of it was handled",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _dead()},
        "bindings": _kafka(
            topic=dlq_name(topic),
            topicConfiguration={"cleanup.policy": ["delete"], "retention.ms": DLQ_RETENTION_MS},
        ),
    }


def _operations(topic: Topic) -> Json:
    """What Agentspan does with the topic."""
    found = {}
    if topic.name not in FOREIGN:
        found[f"{topic.name}.send"] = _operation("send", topic.name, f"by {topic.writer}")
    services = [reader for reader in topic.readers if reader != "other teams"]
    found[f"{topic.name}.receive"] = _operation("receive", topic.name, f"by {', '.join(services)}")
    return found


def _dlq_operations(channel: str) -> Json:
    return {
        f"{channel}.send": _operation("send", channel, "what could not be taken, and notes which of it was handled"),
        f"{channel}.receive": _operation("receive", channel, "by `agentspan dlq`"),
    }


def _operation(action: str, channel: str, summary: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _messages(topic: Topic) -> Json:
    found = {name: _message(topic, name, {"$ref": f"./{name}.json"}) for name in _schemas(topic)}
    if topic is topics.EVENTS:
        owner = {"type": "object", "required": ["owner_id"], "properties": {"owner_id": {"type": "string"}}}
        found["takeover"] = _message(topic, "takeover", owner)
    if topic is topics.SNAPSHOTS:
        found["snapshot"] = _message(topic, "snapshot", {"description": "internal: its form may change at any time"})
    return found


def _message(topic: Topic, name: str, payload: Json) -> Json:
    return {
        "name": name,
        "contentType": "application/json",
        "headers": _headers({**ENVELOPE, **SOMETIMES, **OWN.get(topic.name, {})}, required=topic.name not in FOREIGN),
        "payload": payload,
        "bindings": _kafka(key={"type": "string", "description": topic.key}),
    }


def _headers(headers: Mapping[str, str], *, required: bool) -> Json:
    properties = {name: {"type": "string", "description": means} for name, means in headers.items()}
    schema: Json = {"type": "object", "properties": properties}
    return schema | {"required": list(ENVELOPE)} if required else schema


def _kafka(**fields: object) -> Json:
    return {"kafka": {**fields, "bindingVersion": "0.5.0"}}


def _dead() -> Json:
    """What stands on a topic of dead letters."""
    noted = _headers({**ENVELOPE, **NOTED}, required=True)
    return {
        "dead_letter": {
            "name": "dead_letter",
            "headers": _headers({**DEAD, **SHRUNK}, required=False) | {"required": list(DEAD)},
            "payload": {"description": "the original bytes"},
        },
        "dead_letter_handled": {
            "name": "dead_letter_handled",
            "contentType": "application/json",
            "headers": noted | {"required": [*ENVELOPE, *NOTED]},
            "payload": {"$ref": "./dead_letter_handled.json"},
            "bindings": _kafka(key={"type": "string", "description": "`<partition>:<offset>` of the letter"}),
        },
    }


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./()-]*[A-Za-z0-9)]")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def _yaml(value: Json, depth: int) -> Iterator[str]:
    """Mappings and lists in YAML's block style."""
    for name, inner in value.items():
        begin = f"{'  ' * depth}{_scalar(name)}:"
        if isinstance(inner, dict) and inner:
            yield begin
            yield from _yaml(inner, depth + 1)
        elif isinstance(inner, list):
            yield begin
            yield from (f"{'  ' * (depth + 1)}- {_scalar(item)}" for item in inner)
        else:
            yield f"{begin} {_scalar(inner)}"


def _scalar(value: object) -> str:
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
