"""How pages write times, values and events."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import JsonValue

from agentspan_query.web import formats
from agentspan_query.web.summaries import call_text, summary
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.events import RetryScheduled

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
HISTORIES = Path(__file__).parents[1] / "histories"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-1, "0 ms"),
        (0.35, "350 ms"),
        (0.9996, "1.0 s"),
        (4.21, "4.2 s"),
        (59.96, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert formats.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(milliseconds=900), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=31), "22 Oct 2026"),
    ],
)
def test_how_long_ago_is_one_unit_and_after_a_month_a_date(before: timedelta, text: str) -> None:
    assert formats.ago(NOW - before, NOW) == text


def test_a_time_of_day_names_its_day_only_where_it_is_another() -> None:
    assert formats.clock(NOW, NOW - timedelta(hours=1)) == "15:00:00"
    assert formats.clock(NOW, NOW - timedelta(days=1)) == "22 Nov 15:00:00"


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\u2066", "\ufeff", "\x00", "\x1b", "\r"])
def test_a_character_that_shows_nothing_or_turns_the_text_is_written_out(hidden: str) -> None:
    assert formats.visible(f"a{hidden}b\n\tü") == f"a{json.dumps(hidden)[1:-1]}b\n\tü"
    assert hidden not in formats.plain({"key": hidden})


@pytest.mark.parametrize(
    "hidden",
    ["\ufe00", "\ufe0e", "\ufe0f", "\u3164", "\u2800", "\U000e0101", "\U0001bca0", "\U0001d173", "\u200d", "\u200c"],
)
def test_what_only_seems_to_be_nothing_is_written_out_too(hidden: str) -> None:
    assert formats.visible(f"pay{hidden}pal") == f"pay{json.dumps(hidden)[1:-1]}pal"


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f469\U0001f3fd\u200d\U0001f692",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "1\ufe0f\u20e3",
        "\u00a9\ufe0f \u203c\ufe0f",
    ],
    ids=["family", "heart on fire", "firefighter", "Persian", "a key", "signs"],
)
def test_what_joins_pictures_and_parts_letters_shows_and_stays(text: str) -> None:
    assert formats.visible(text) == text


def test_a_value_is_shown_whole_however_long_it_is() -> None:
    rows: JsonValue = [{"sku": number} for number in range(9_000)]
    assert json.loads(formats.plain(rows)) == rows
    assert formats.long(formats.plain(rows))
    assert formats.long("line\n" * 30)
    assert not formats.long("a line")


def test_text_is_told_from_a_number_that_looks_like_it() -> None:
    values: list[JsonValue] = ["99", 99, 9.5, True, None, [], {}, ""]
    kinds = [formats.kind(value) for value in values]
    assert kinds == ["text", "number", "number", "true/false", "null", "list", "object", "empty text"]


def test_very_long_json_is_cut_and_says_so() -> None:
    text = formats.pretty("x" * 30_000)
    assert len(text) < formats.JSON_CHARS + 100
    assert text.endswith("10,002 more characters")


def test_a_call_is_one_line_whatever_its_args() -> None:
    text = call_text("refund", {"amount": 25.5, "note": "two\nlines", "to": {"a": [1]}})
    assert text == r'refund(amount=25.5, note="two\nlines", to={"a": [1]})'
    assert len(call_text("refund", {str(n): "x" * 99 for n in range(99)})) == 160


def test_no_text_of_a_call_looks_like_another_argument_of_it() -> None:
    text = call_text("refund", {"note": "x, amount=1", "to": '"ada", amount=1', "by\u202e": "\u202eda", "amount": 99})
    assert text == r'refund(note="x, amount=1", to="\"ada\", amount=1", by\u202e="\u202eda", amount=99)'


def test_every_stored_event_has_a_line() -> None:
    stored = [path for path in HISTORIES.glob("*.jsonl") if ".folded" not in path.name]
    lines = [line for path in stored for line in path.read_bytes().splitlines() if b'"agent_version"' in line]
    kinds = {}
    for event in map(EVENTS.decode, lines):
        told = summary(event)
        assert told.what
        assert "\n" not in told.what
        assert len(told.what) < 250
        kinds[event.type] = told
    assert kinds["rejected"].actor.startswith("user:")
    assert len(kinds) > 15


def test_why_something_is_tried_again_stands_in_its_line() -> None:
    scheduled = {
        "type": "retry_scheduled",
        "execution_id": "exec-a",
        "seq": 3,
        "agent": "support",
        "agent_version": "v1",
        "at": NOW,
        "started_at": NOW,
        "status": "running",
        "totals": {},
        "causation_id": "c",
        "turn": 1,
        "attempt": 2,
        "retry_at": NOW + timedelta(minutes=17),
        "reason": "error",
        "error": {"kind": "rate_limit", "message": "429: slow down"},
    }
    assert (
        summary(RetryScheduled.model_validate(scheduled)).what
        == "the model again after 17 min, attempt 2 (rate_limit: 429: slow down)"
    )
    lost = RetryScheduled.model_validate({**scheduled, "retry_at": NOW, "reason": "lost", "error": None})
    assert summary(lost).what == "the model again, attempt 2 (lost)"
