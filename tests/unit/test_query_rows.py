"""From events to rows: each row a function of one event, the last one of an execution its state."""

import json
from pathlib import Path

import pytest

from agentspan_query.domain.rows import PREVIEW_CHARS, event_row, execution_row, latest, preview
from agentspan_query.domain.views import execution_view, listed_view
from agentspan_schemas.codec import EVENTS, encode
from agentspan_schemas.events import Event, ModelReplied, Started
from tests.support.query_history import T0, History

STORIES = [
    path for path in sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl")) if ".folded" not in path.name
]


def _row(event: Event) -> dict[str, object]:
    return event_row(event, raw=encode(event), partition=3, offset=42)._asdict()


def test_an_event_row_has_what_the_event_has_and_nothing_where_it_has_nothing() -> None:
    started, waiting, done = History("exec-a").started().waiting().done().events
    assert _row(started) | {"actor": "user:ada", "source": "zendesk", "tool": "", "attempt": 0} == _row(started)
    assert _row(waiting) | {"tool": "issue_refund", "approval_id": "exec-a.1-0", "prompt_preview": ""} == _row(waiting)
    assert _row(done) | {"status": "completed", "duration_ms": None, "partition": 3, "offset": 42} == _row(done)
    assert _row(waiting)["payload"] == encode(waiting).decode()


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_each_column_has_the_events_field_of_its_name(story: Path) -> None:
    for line in story.read_bytes().splitlines():
        if json.loads(line)["type"] not in EVENTS.types:
            continue
        event = EVENTS.decode(line)
        row, fields = _row(event), vars(event)
        common = row.keys() & fields.keys()
        assert {name: row[name] or None for name in common} == {name: fields[name] or None for name in common}
        if isinstance(event, ModelReplied):
            assert (row["tokens_in"], row["tokens_out"]) == (event.usage.input_tokens, event.usage.output_tokens)


def test_an_execution_is_finished_when_its_status_is_final() -> None:
    _, waiting, done = (execution_row(event) for event in History("exec-a").started().waiting().done().events)
    assert (waiting.finished_at, waiting.waiting_on, waiting.output_preview) == (None, ("issue_refund",), "")
    assert (done.finished_at, done.waiting_on, done.output_preview) == (done.updated_at, (), "Refunded.")
    assert done.started_at == T0


def test_a_failure_keeps_its_kind_and_the_beginning_of_its_message() -> None:
    row = execution_row(History("exec-a").started().failed("m" * 1000).events[-1])
    assert (row.error_kind, len(row.error)) == ("model", PREVIEW_CHARS)


def test_a_batch_keeps_the_latest_row_of_each_execution() -> None:
    a, b = History("exec-a").started().waiting(), History("exec-b").started()
    rows = [execution_row(event) for event in (a.events[1], b.events[0], a.events[0])]
    assert {(row.execution_id, row.seq) for row in latest(rows)} == {("exec-a", 2), ("exec-b", 1)}


def test_a_short_text_is_its_own_preview() -> None:
    assert preview("x" * PREVIEW_CHARS) == "x" * PREVIEW_CHARS
    assert preview("x" * (PREVIEW_CHARS + 1)) == "x" * (PREVIEW_CHARS - 1) + "…"


def test_a_view_of_first_and_last_event_agrees_with_the_listed_row() -> None:
    first, *_, last = History("exec-a").started().waiting().failed("away").events
    assert isinstance(first, Started)
    whole, listed = execution_view(first, last), listed_view(execution_row(last), None)
    assert (
        whole.model_copy(update={"prompt": None, "requested_by": None, "source": None, "key": None, "metadata": {}})
        == listed
    )
