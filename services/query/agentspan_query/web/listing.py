"""What the URL of the list means: its filters, and the URLs of the lists beside it. The URL is the whole state.

A date is a day in UTC: `from` begins with it, `to` ends after it. With a time, `from` is included and `to` is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import cast, get_args
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from agentspan_query.domain.filters import ExecutionFilter, Order, with_plus
from agentspan_query.errors import QueryError
from agentspan_schemas.events import Status

PATH = "/executions"
STATUSES: tuple[Status, ...] = get_args(Status)

ORDERS: tuple[Order, ...] = get_args(Order)

_SINGLE = ("agent", "from", "from_time", "to", "to_time", "order", "cursor")
_HOW = "write a day as 2026-11-22, or a moment as 2026-11-22T14:30Z"


class BadFilter(QueryError):
    """A filter in the URL that can't be used; `name` is the parameter."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Edge:
    """One end of the range of time: what the URL says, and the moment that it means."""

    text: str
    moment: datetime
    has_time: bool

    @property
    def date(self) -> str:
        """For a date field."""
        return self.moment.strftime("%Y-%m-%d") if self.has_time else self.text

    @property
    def time(self) -> str:
        """For a time field."""
        if not self.has_time:
            return ""
        return self.moment.strftime("%H:%M:%S" if self.moment.second else "%H:%M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which executions are asked for."""

    agent: str | None = None
    statuses: tuple[Status, ...] = ()
    since: Edge | None = None
    until: Edge | None = None
    order: Order | None = None
    """As the URL says."""
    cursor: str | None = None

    @property
    def waits(self) -> bool:
        """Whether it is a list of what waits for a person, and of nothing else."""
        return self.statuses == ("waiting",)

    @property
    def ordered(self) -> Order:
        """What waits stands with the oldest first, as nobody should wait longest because he came first."""
        return self.order or ("oldest" if self.waits else "newest")

    @property
    def chosen(self) -> ExecutionFilter:
        """As the query service takes it."""
        return ExecutionFilter(
            agent=self.agent,
            statuses=self.statuses,
            since=self.since.moment if self.since else None,
            until=_end(self.until) if self.until else None,
            oldest_first=self.ordered == "oldest",
        )

    @property
    def filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.agent or self.statuses or self.since or self.until)

    def url(self, **changes: object) -> str:
        """This list with other parameters, `status` a list of them; from its first page, unless `cursor` is given."""
        params: dict[str, object] = {
            "agent": self.agent,
            "status": list(self.statuses),
            "from": self.since.text if self.since else None,
            "to": self.until.text if self.until else None,
            "order": self.order,
            **changes,
        }
        return _url({name: value for name, value in params.items() if value})


def parse(params: QueryParams) -> Listing:
    """The list that a URL asks for. Raises BadFilter."""
    given = _single(params)
    listing = Listing(
        agent=given.get("agent"),
        statuses=_statuses([value for value in params.getlist("status") if value]),
        since=_edge("from", given),
        until=_edge("to", given),
        order=_order(given.get("order")),
        cursor=given.get("cursor"),
    )
    chosen = listing.chosen
    if chosen.since and chosen.until and chosen.since >= chosen.until:
        raise BadFilter("from", f"{given['from']!r} is not before to={given['to']!r}; nothing can be between them")
    return listing


def tidied(params: QueryParams, listing: Listing) -> str | None:
    """The same list's shorter URL, where a form sent empty fields, or a time beside its date; None: it is short."""
    untidy = any(not value or name.endswith("_time") for name, value in params.multi_items())
    return listing.url(cursor=listing.cursor) if untidy else None


def presets(now: datetime) -> Sequence[tuple[str, str]]:
    """Ranges that people often want: what they are called, and their `from`."""
    spans = (
        ("last hour", timedelta(hours=1)),
        ("last 24 hours", timedelta(days=1)),
        ("last 7 days", timedelta(days=7)),
    )
    return [(name, f"{now - span:%Y-%m-%dT%H:%MZ}") for name, span in spans]


def _single(params: QueryParams) -> Mapping[str, str]:
    for name, _ in params.multi_items():
        if name not in (*_SINGLE, "status"):
            raise BadFilter(name, "there is no such filter; there are agent, status, from, to and order")
    for name in _SINGLE:
        if len(params.getlist(name)) > 1:
            raise BadFilter(name, "it stands in the URL more than once; leave one")
    return {name: params[name].strip() for name in _SINGLE if params.get(name, "").strip()}


def _statuses(values: Sequence[str]) -> tuple[Status, ...]:
    for value in values:
        if value not in STATUSES:
            raise BadFilter("status", f"{value!r} is none of {', '.join(STATUSES)}")
    return tuple(status for status in STATUSES if status in cast(Sequence[Status], values))


def _order(value: str | None) -> Order | None:
    if value is not None and value not in ORDERS:
        raise BadFilter("order", f"{value!r} is neither of {', '.join(ORDERS)}")
    return value


def _edge(name: str, given: Mapping[str, str]) -> Edge | None:
    text, at = given.get(name), given.get(f"{name}_time")
    text = with_plus(text) if text else None
    if text is None:
        if at is not None:
            raise BadFilter(name, f"the time {at!r} needs its date")
        return None
    try:
        edge = _read(text) if at is None else _joined(text, at)
        _end(edge)
    except (ValueError, OverflowError):
        raise BadFilter(name, f"{' '.join(filter(None, (text, at)))!r} is neither a date nor a time; {_HOW}") from None
    return edge


def _read(text: str) -> Edge:
    if len(text) == len("2026-11-22"):
        return Edge(text, datetime.combine(date.fromisoformat(text), time(), UTC), has_time=False)
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return Edge(text, moment, has_time=True)


def _joined(day: str, at: str) -> Edge:
    moment = datetime.combine(date.fromisoformat(day), time.fromisoformat(at), UTC)
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment.second else f"{moment:%Y-%m-%dT%H:%MZ}"
    return Edge(text, moment, has_time=True)


def _end(edge: Edge) -> datetime:
    """The first moment that an upper edge leaves out."""
    return edge.moment if edge.has_time else edge.moment + timedelta(days=1)


def _url(params: Mapping[str, object]) -> str:
    return f"{PATH}?{urlencode(params, doseq=True, safe=':')}" if params else PATH
