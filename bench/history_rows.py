"""A history as large as you like, made inside ClickHouse: ten events an execution, as the projection writes them.

Each event of the story is made by the contract's own models and turned into its rows by the projection's own functions;
the statement then repeats those rows under other ids, times, agents and texts. The same number gives the same history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentspan_query.domain.rows import EventRow, ExecutionRow, event_row, execution_row
from agentspan_schemas import Failure, Usage
from agentspan_schemas.codec import encode
from agentspan_schemas.events import (
    Approved,
    Done,
    Event,
    Failed,
    ModelCalled,
    ModelReplied,
    Started,
    Status,
    ToolCall,
    ToolResult,
    Totals,
    Waiting,
)

AGENTS = ("billing", "fraud", "onboarding", "returns", "support")
MONTHS = 12
FIRST_MONTH = datetime(2025, 10, 1, tzinfo=UTC)
EVENTS_EACH = 10
WAITING_SEQ = 5
"""The event after which an execution waits for a person, and is in `executions` as waiting."""

_ID, _AGENT, _TEXT, _AT, _STARTED = "@id@", "@agent@", "@text@", datetime(2001, 1, 1), datetime(2002, 2, 2)
_WORDS = """
order invoice refund parcel customer late wrong address again please broken charge card twice email never
arrived support waiting since monday agent asked for photo of damage box returned label printed courier lost
amount euro promised answer policy allows exception manager approved goodwill credit voucher warehouse stock
size colour exchange warranty serial number account locked password reset two factor phone number changed
delivery slot
""".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Slice:
    """Executions `first` to `first + count`, all started in one month."""

    month: int
    first: int
    count: int


def slices(executions: int, size: int, newest_size: int) -> Sequence[Slice]:
    """The whole history, oldest month first; the newest month in as many small inserts as a live one has."""
    each = executions // MONTHS
    found: list[Slice] = []
    for month in range(MONTHS):
        last = month == MONTHS - 1
        end = executions if last else (month + 1) * each
        step = newest_size if last else size
        found += [Slice(month, first, min(step, end - first)) for first in range(month * each, end, step)]
    return found


def month_start(month: int) -> datetime:
    """When the months of the history begin, from 0."""
    years, rest = divmod(FIRST_MONTH.month - 1 + month, 12)
    return FIRST_MONTH.replace(year=FIRST_MONTH.year + years, month=rest + 1)


def insert_events(part: Slice) -> str:
    """All events of a slice."""
    texts = ("payload", "prompt_preview", "approval_id", "source_key")
    changed = {name: _personal(f"{_among(_EVENT_ROWS, name)}[j]") for name in texts}
    changed |= {"execution_id": "id", "agent": "agent", "started_at": "started", "at": "started + toIntervalSecond(k)"}
    changed |= {"seq": "toUInt32(k)", "partition": "toUInt32(0)", "offset": f"n * {EVENTS_EACH} + k"}
    columns = [changed.get(name) or f"{_among(_EVENT_ROWS, name)}[j]" for name in EventRow._fields]
    return f"""INSERT INTO events ({_names(EventRow._fields)}) SELECT {", ".join(columns)} FROM (
        SELECT *, k, if(k < {EVENTS_EACH}, k, {EVENTS_EACH} + ending) AS j FROM ({_executions(part)})
        ARRAY JOIN range(1, {EVENTS_EACH + 1}) AS k)"""


def insert_executions(part: Slice, *, waiting: bool) -> str:
    """The rows of a slice's executions: as they waited for a person, or as they stand."""
    seq = WAITING_SEQ if waiting else EVENTS_EACH
    changed = {"execution_id": "id", "agent": "agent", "started_at": "started", "seq": f"toUInt32({seq})"}
    changed |= {
        "updated_at": f"started + toIntervalSecond({seq})",
        "output_preview": _personal(_element("output_preview")),
    }
    changed["finished_at"] = f"if({_element('status')} IN ('completed', 'failed'), updated_at, NULL)"
    columns = [f"{changed.get(name) or _element(name)} AS {name}_" for name in ExecutionRow._fields]
    columns = [column.replace("updated_at, NULL", "updated_at_, NULL") for column in columns]
    return f"""INSERT INTO executions ({_names(ExecutionRow._fields)}) SELECT {", ".join(columns)}
        FROM (SELECT *, {WAITING_SEQ if waiting else f"{EVENTS_EACH} + ending"} AS j FROM ({_executions(part)}))"""


def _executions(part: Slice) -> str:
    start, end = (int(month_start(month).timestamp()) for month in (part.month, part.month + 1))
    agents, words = _literal(AGENTS), _literal(_WORDS)
    return f"""SELECT number AS n, concat('exec-', lower(hex(sipHash64(number)))) AS id,
        {agents}[1 + cityHash64(number, 1) % {len(AGENTS)}] AS agent,
        fromUnixTimestamp64Micro(toInt64({start * 10**6} + cityHash64(number, 2) % {(end - start) * 10**6}), 'UTC')
            AS started,
        multiIf(cityHash64(number, 3) % 100 < 90, 0, cityHash64(number, 3) % 100 < 96, 1, 2) AS ending,
        arrayStringConcat(arrayMap(i -> {words}[1 + cityHash64(number, i) % {len(_WORDS)}], range(10, 40)), ' ') AS text
        FROM numbers({part.first}, {part.count})"""


def _personal(template: str) -> str:
    moment = "formatDateTime({}, '%Y-%m-%dT%H:%i:%S.%fZ')"
    for placeholder, value in (
        (_ID, "id"),
        (_AGENT, "agent"),
        (_TEXT, "text"),
        (f"{_AT.isoformat()}Z", moment.format("started + toIntervalSecond(k)")),
        (f"{_STARTED.isoformat()}Z", moment.format("started")),
    ):
        template = f"replaceAll({template}, '{placeholder}', {value})"
    return template.replace("started + toIntervalSecond(k)", f"started + toIntervalSecond(least(j, {EVENTS_EACH}))")


def _element(name: str) -> str:
    return f"{_among(_EXECUTION_ROWS, name)}[j]"


def _among(rows: Sequence[EventRow] | Sequence[ExecutionRow], name: str) -> str:
    return _literal([getattr(row, name) for row in rows])


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case int() | float():
            return repr(value)
        case datetime():
            return "toDateTime64(0, 6, 'UTC')"
        case _:
            return f"[{', '.join(map(_literal, value))}]"


def _names(fields: Sequence[str]) -> str:
    return ", ".join(fields)


def _story() -> Sequence[Event]:
    """Nine events and the three endings, with placeholders for what differs."""
    call: dict[str, Any] = {"call_id": "1-0", "tool": "issue_refund"}
    args: dict[str, Any] = {"customer": "c-1042", "amount_usd": 25, "note": _TEXT}
    hashed: dict[str, Any] = {"args": args, "args_hash": "e" * 64}
    decided: dict[str, Any] = {"approval_id": f"{_ID}.1-0", **call, **hashed}
    model: dict[str, Any] = {"attempt": 1, "model": "anthropic/claude"}
    replied: dict[str, Any] = {
        **model,
        "usage": Usage(input_tokens=900, output_tokens=120),
        "worker": "model-lane",
        "duration_ms": 2310.0,
    }
    return [
        Started(
            **_envelope(1, "running"), prompt=_TEXT, requested_by="user:ada", source="zendesk", key=f"ticket-{_ID}",
            metadata={"tier": "gold"}, content_hash="0" * 64, model="anthropic/claude",
        ),
        ModelCalled(**_envelope(2, "running"), turn=1, messages=1, **model),
        ModelReplied(**_envelope(3, "running"), turn=1, text=_TEXT, **replied),
        ToolCall(
            **_envelope(4, "waiting"), turn=1, model_call_id="toolu_1", approval_required=True, effects="once",
            **call, **hashed,
        ),
        Waiting(**_envelope(5, "waiting"), **decided),
        Approved(
            **_envelope(6, "running"), by="user:bob", channel="ui", reason="goodwill", seen_args_hash="e" * 64,
            **decided,
        ),
        ToolResult(
            **_envelope(7, "running"), ok=True, value={"refunded": True, "text": _TEXT}, attempt=1, worker="w@shop/1",
            duration_ms=41.5, **call,
        ),
        ModelCalled(**_envelope(8, "running"), turn=2, messages=3, **model),
        ModelReplied(**_envelope(9, "running"), turn=2, text=_TEXT, **replied),
        Done(**_envelope(10, "completed"), output=_TEXT),
        Failed(**_envelope(10, "failed"), error=Failure(kind="model", message="the model refused")),
        Waiting(**_envelope(10, "waiting"), **decided),
    ]  # fmt: skip


def _envelope(seq: int, status: Status) -> Mapping[str, Any]:
    waiting_on = ("issue_refund",) if status == "waiting" else ()
    return {
        "execution_id": _ID, "seq": seq, "at": _AT.replace(tzinfo=UTC), "agent": _AGENT, "agent_version": "v1",
        "started_at": _STARTED.replace(tzinfo=UTC), "status": status, "causation_id": f"command-{seq}",
        "totals": Totals(turns=1, tool_calls=1, input_tokens=900, output_tokens=120, waiting_on=waiting_on),
    }  # fmt: skip


STORY = _story()
"""Nine events and the three endings: done, failed, waiting again."""
_EVENT_ROWS = [event_row(event, raw=encode(event), partition=0, offset=0) for event in STORY]
_EXECUTION_ROWS = [execution_row(event) for event in STORY]
