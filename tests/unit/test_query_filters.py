"""Cursors: opaque, exact, and of one list only."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspan_query.domain.filters import ExecutionFilter, Place, decode_cursor, encode_cursor, micros
from agentspan_query.errors import BadCursor

T0 = datetime(2026, 3, 1, tzinfo=UTC)
EVERYTHING = ExecutionFilter()


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)), st.text())
def test_a_cursor_names_its_place_to_the_microsecond(started_at: datetime, execution_id: str) -> None:
    place = Place(started_at, execution_id)
    assert decode_cursor(encode_cursor(place, EVERYTHING), EVERYTHING) == place


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor, match="ask again without it"):
        decode_cursor(text, EVERYTHING)


@pytest.mark.parametrize("fields", [{}, [], [1], ["x", "soon", "exec-a"], ["x", 10**30, "exec-a"], ["x", 1, "y", 2]])
def test_json_that_is_no_cursor_is_refused(fields: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    with pytest.raises(BadCursor):
        decode_cursor(text, EVERYTHING)


def test_a_cursor_that_is_nested_too_deeply_or_names_half_a_character_is_refused() -> None:
    half = json.dumps([EVERYTHING.fingerprint(), 0, "exec-\ud83d"])
    for fields in ("[" * 5_000, half):
        with pytest.raises(BadCursor, match="not one of this server's"):
            decode_cursor(base64.urlsafe_b64encode(fields.encode()).decode(), EVERYTHING)


@pytest.mark.parametrize(
    "other",
    [
        ExecutionFilter(agent="support"),
        ExecutionFilter(statuses=("waiting",)),
        ExecutionFilter(since=T0),
        ExecutionFilter(until=T0),
        ExecutionFilter(oldest_first=True),
    ],
)
def test_a_cursor_of_other_filters_is_refused(other: ExecutionFilter) -> None:
    with pytest.raises(BadCursor, match="other filters"):
        decode_cursor(encode_cursor(Place(T0, "exec-a"), EVERYTHING), other)


def test_filters_that_mean_the_same_share_their_cursors() -> None:
    one = ExecutionFilter(statuses=("waiting", "failed"), since=T0)
    two = ExecutionFilter(
        statuses=("failed", "waiting", "failed"), since=T0.astimezone(timezone(timedelta(hours=5, minutes=30)))
    )
    assert decode_cursor(encode_cursor(Place(T0, "exec-a"), one), two) == Place(T0, "exec-a")


def test_micros_are_exact() -> None:
    assert micros(datetime(2026, 3, 1, 9, 0, 0, 123457, tzinfo=UTC)) % 1_000_000 == 123457
