"""The URL of the list: what it asks for, what it refuses and names, and the URLs it leads to."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.datastructures import QueryParams

from agentspan_query.web.listing import BadFilter, Listing, parse, presets, tidied

DAY = datetime(2026, 11, 22, tzinfo=UTC)


def test_no_parameters_leave_nothing_out() -> None:
    assert parse(QueryParams("")) == Listing()
    assert not parse(QueryParams("agent=&status=&from=&to=")).filtered


def test_every_filter_reaches_the_query() -> None:
    chosen = parse(
        QueryParams("agent=support&status=failed&status=waiting&from=2026-11-22T10:00Z&to=2026-11-23")
    ).chosen
    assert (chosen.agent, chosen.statuses) == ("support", ("waiting", "failed"))
    assert (chosen.since, chosen.until) == (DAY + timedelta(hours=10), DAY + timedelta(days=2))


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("from=2026-11-22&to=2026-11-22", DAY, DAY + timedelta(days=1)),
        ("from=2026-11-22T12:00%2B02:00", DAY + timedelta(hours=10), None),
        ("from=2026-11-22T12:00+02:00", DAY + timedelta(hours=10), None),
        ("from=2026-11-22T12:00:00.5+0200", DAY + timedelta(hours=10, seconds=0.5), None),
        ("from=2026-11-22+10:00", DAY + timedelta(hours=10), None),
        ("from=2026-11-22T10:00", DAY + timedelta(hours=10), None),
        ("from=2026-11-22&from_time=10:30", DAY + timedelta(hours=10, minutes=30), None),
        ("to=2026-11-22&to_time=10:30:15", None, DAY + timedelta(hours=10, minutes=30, seconds=15)),
        ("from=2026-11-22T10:00:00.000001Z", DAY + timedelta(hours=10, microseconds=1), None),
    ],
)
def test_a_date_is_a_whole_day_in_utc_and_a_time_a_moment(
    query: str, since: datetime | None, until: datetime | None
) -> None:
    chosen = parse(QueryParams(query)).chosen
    assert (chosen.since, chosen.until) == (since, until)


@pytest.mark.parametrize(
    ("query", "name", "said"),
    [
        ("status=foo", "status", "'foo' is none of running, waiting"),
        ("from=yesterday", "from", "2026-11-22T14:30Z"),
        ("to=9999-12-31", "to", "neither a date"),
        ("from=2026-11-22&from_time=25:00", "from", "25:00"),
        ("to_time=10:00", "to", "needs its date"),
        ("from=2026-11-23&to=2026-11-22", "from", "not before"),
        ("stauts=failed", "stauts", "no such filter"),
        ("agent=a&agent=b", "agent", "more than once"),
        ("order=longest", "order", "neither of newest, oldest"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(query: str, name: str, said: str) -> None:
    with pytest.raises(BadFilter, match=said) as refused:
        parse(QueryParams(query))
    assert refused.value.name == name


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("agent=&from=&from_time=&to=&to_time=", "/executions"),
        (
            "agent=a&status=failed&from=2026-11-22&from_time=10:00",
            "/executions?agent=a&status=failed&from=2026-11-22T10:00Z",
        ),
        ("agent=a&cursor=abc&to=", "/executions?agent=a&cursor=abc"),
    ],
)
def test_what_a_form_sends_becomes_a_url_to_share(query: str, url: str) -> None:
    params = QueryParams(query)
    assert tidied(params, parse(params)) == url
    again = QueryParams(url.partition("?")[2])
    assert tidied(again, parse(again)) is None
    assert parse(again).chosen == parse(params).chosen


def test_a_link_changes_one_filter_and_begins_at_the_first_page() -> None:
    listing = parse(QueryParams("agent=a b&status=failed&cursor=abc"))
    assert listing.url(status=["waiting"]) == "/executions?agent=a+b&status=waiting"
    assert listing.url(status=[]) == "/executions?agent=a+b"


@pytest.mark.parametrize(
    ("query", "oldest_first"),
    [
        ("", False),
        ("status=waiting", True),
        ("status=waiting&agent=a", True),
        ("status=waiting&status=paused", False),
        ("status=waiting&order=newest", False),
        ("order=oldest", True),
    ],
)
def test_what_waits_stands_oldest_first_and_all_else_newest_first(query: str, oldest_first: bool) -> None:
    listing = parse(QueryParams(query))
    assert listing.chosen.oldest_first is oldest_first
    assert listing.url() == (f"/executions?{query}" if query else "/executions").replace(
        "status=waiting&agent=a", "agent=a&status=waiting"
    )


def test_the_fields_show_what_the_url_says() -> None:
    edge = parse(QueryParams("from=2026-11-22T23:30:05-02:00")).since
    assert edge is not None
    assert (edge.date, edge.time) == ("2026-11-23", "01:30:05")


def test_a_preset_is_a_filter_that_can_be_read() -> None:
    for _, since in presets(DAY):
        assert parse(QueryParams({"from": since})).since is not None
