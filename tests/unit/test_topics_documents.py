"""What other teams read about the topics: the AsyncAPI document and the pages say what the code does."""

import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspan.eventlog import Reader, Record, Stamp, Stored
from agentspan.eventlog._kafka_messages import encode_stamped
from agentspan.eventlog.messages import command_record, log_record
from agentspan_schemas import asyncapi
from agentspan_schemas.codec import FAMILIES, TICKETS
from agentspan_schemas.dead_letters import Why
from agentspan_schemas.generate import schemas
from agentspan_schemas.topics import TOPICS
from tests.unit.schemas_examples import AT, ENVELOPE, EXAMPLES

ROOT = Path(__file__).parents[2]
TOPICS_PAGE = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
TICKETS_PAGE = (ROOT / "docs" / "tickets.md").read_text(encoding="utf-8")
NOT_ON_TOPICS = {"answer.json"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def references(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from [inner] if name == "$ref" else references(inner)
        case list():
            for inner in value:
                yield from references(inner)


def test_the_yaml_is_the_document() -> None:
    text = (ROOT / "schemas" / "asyncapi.yaml").read_text(encoding="utf-8")
    assert importlib.import_module("yaml").safe_load(text) == asyncapi.document()


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()
    for reference in references(document):
        if reference.startswith("./"):
            assert (ROOT / "schemas" / reference).is_file(), reference
            continue
        found: Any = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert isinstance(found, dict), reference


def test_every_topic_and_every_message_is_there() -> None:
    document = asyncapi.document()
    letters = {"tickets.dlq", "decisions.dlq", "events.dlq"}
    assert {topic.name for topic in TOPICS} | letters == document["channels"].keys()
    named = {reference.removeprefix("./") for reference in references(document) if reference.startswith("./")}
    assert named == schemas().keys() - NOT_ON_TOPICS
    used = {reference for channel in document["channels"].values() for reference in references(channel)}
    assert used == {f"#/components/messages/{name}" for name in document["components"]["messages"]}
    assert {family.name for carried in asyncapi.CARRIES.values() for family in carried} == {
        family.name for family in FAMILIES
    } - {"answer", "dead_letter_handled"}


def test_the_reference_has_every_topic_message_header_and_field() -> None:
    page = (ROOT / "docs" / "topics-reference.md").read_text(encoding="utf-8")
    document = asyncapi.document()
    for channel in document["channels"].values():
        assert f"## `{channel['address']}`\n" in page
    parts = {part.partition("\n")[0]: part for part in page.split("\n### ")[1:]}
    assert parts.keys() == document["components"]["messages"].keys()
    for name, message in document["components"]["messages"].items():
        named = {*message["headers"]["properties"]}
        if "$ref" in message["payload"]:
            named |= {*json.loads(schemas()[f"{name}.json"])["properties"]}
        assert {header for header in named if f"| `{header}` |" not in parts[name]} == set()


def test_somebody_sends_and_receives_on_every_channel() -> None:
    document = asyncapi.document()
    actions = {(each["channel"]["$ref"], each["action"]) for each in document["operations"].values()}
    for name in document["channels"]:
        expected = {"receive"} if name in asyncapi.FOREIGN else {"send", "receive"}
        assert {action for channel, action in actions if channel == f"#/channels/{name}"} == expected


def test_the_headers_are_those_that_are_written() -> None:
    event = next(example.message for example in EXAMPLES if example.name == "event.done")
    record = log_record(event, "inbox/7")  # type: ignore[arg-type]
    written = encode_stamped("agentspan.events", 0, Stamp(1, 1, last=True, takeover=0), record).headers
    assert dict(written)["ce_time"] == "2026-03-01T09:00:00.250000Z"
    assert dict(written)["ce_traceparent"] == ENVELOPE["traceparent"]
    assert {name for name, _ in written} == {*asyncapi.ENVELOPE, *asyncapi.SOMETIMES, *asyncapi.OWN["events"]}
    command = next(example.message for example in EXAMPLES if example.name == "command.pause")
    assert {f"ce_{name}" for name in command_record(command).attributes} == {*asyncapi.OWN["commands"]}  # type: ignore[arg-type]
    dead = Why("unreadable", "not JSON", AT, "agentspan.tickets", 0, 7, "orchestrator").headers()
    assert {name for name, _ in dead} == {*asyncapi.DEAD}


@pytest.mark.parametrize("page", [TOPICS_PAGE, TICKETS_PAGE], ids=["topics", "tickets"])
def test_every_python_sample_is_python(page: str) -> None:
    samples = blocks(page, "python")
    assert samples
    for sample in samples:
        indented = "".join(f"    {line}\n" for line in sample.splitlines())
        compile(f"async def sample():\n{indented}" if "async " in sample else sample, "sample", "exec")


def test_the_ticket_on_the_page_is_one() -> None:
    [sample] = blocks(TICKETS_PAGE, "json")
    assert TICKETS.decode(sample.encode()).agent == "support"
    for line in TICKETS_PAGE.splitlines():
        for quoted in re.findall(r"'(\{.*?\})'", line):
            json.loads(quoted)


# -- the rule for plain consumers --

Feed = Callable[[dict[str, bytes], int], list[int]]


def documented() -> Feed:
    """The rule as the page has it, with a state of its own."""
    [rule] = [sample for sample in blocks(TOPICS_PAGE, "python") if "def feed" in sample]
    scope: dict[str, Any] = {}
    exec(rule, scope)
    feed: Feed = scope["feed"]
    return feed


STAMPS = st.lists(
    st.builds(Stamp, st.integers(0, 4), st.integers(0, 5), last=st.booleans(), takeover=st.just(0)), max_size=60
)


@given(STAMPS)
def test_the_documented_rule_is_the_logs_rule(stamps: list[Stamp]) -> None:
    reader, feed = Reader(), documented()
    for offset, stamp in enumerate(stamps):
        headers = {
            "ce_epoch": str(stamp.epoch).encode(), "ce_n": str(stamp.n).encode(),
            "ce_last": b"true" if stamp.last else b"false",
        }  # fmt: skip
        outcome = reader.feed(Stored(offset, stamp, Record("x", "k", b"{}")))
        assert feed(headers, offset) == ([each.offset for each in outcome.records] if outcome else [])
