"""What an audit holds to the events that count: effects of tools, requests that other teams read, ClickHouse."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from tests.kafka import requests
from tests.kafka.evidence import Effect, History, Json, Raw
from tests.kafka.findings import Finding
from tests.kafka.stories import TERMINAL, CallStory, Story, Told

PREVIEW_CHARS = 400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def effects(done: Sequence[Effect], told: Told) -> Iterator[Finding]:
    """The shop's books against the log."""
    calls = {
        f"{story.execution_id}.{call_id}": call
        for story in told.stories.values()
        for call_id, call in story.calls.items()
    }
    for effect in done:
        call = calls.get(effect.key)
        if call is None or call.proposed["tool"] != effect.tool:
            yield Finding("effect-counted", f"{effect} of a call that does not count")
        elif not _allowed(call, effect):
            yield Finding("effect-counted", f"{effect} that nothing allowed")
    times = Counter(effect.key for effect in done)
    for key, call in calls.items():
        if wrong := _times(call, times[key]):
            yield Finding("effect-once", f"{call.proposed['tool']} {key} {wrong}")


def _allowed(call: CallStory, effect: Effect) -> bool:
    attempts = [grant["attempt"] for grant in call.grants] if call.once else range(1, call.attempt + 1)
    return call.may_run and effect.attempt in attempts


def _times(call: CallStory, times: int) -> str:
    succeeded = call.result is not None and call.result["ok"] and call.result["resolved_by"] is None
    if call.once and times > 1:
        return f"has {times} effects"
    return "succeeded without an effect" if succeeded and times == 0 else ""


def approvals(published: Sequence[Raw], told: Told) -> Iterator[Finding]:
    """Each record that was ever published, and the last of each request."""
    folded: dict[str, dict[requests.Version, Json]] = {}
    for partition in told.outcomes.values():
        folded |= requests.versions(partition)
    standing: dict[str, Json] = {}
    for raw in published:
        if raw.value is None:
            standing.pop(raw.key, None)
            continue
        record = standing[raw.key] = raw.json
        request = folded.get(raw.key, {}).get(requests.version(record))
        wrong = ["version"] if request is None else requests.differing(record, request)
        story = told.stories.get(record["execution_id"])
        if story is not None and story.partition != raw.partition:
            yield Finding("routed-truly", f"the request {raw.key} stands at {raw.place}, its run in {story.partition}")
        if wrong:
            yield Finding("approval-counted", f"{raw.key} at {raw.place} follows from nothing that counts: {wrong}")
    for key, history in folded.items():
        wanted = requests.version(requests.last(history))
        found = requests.version(standing[key]) if key in standing else None
        if found != wanted:
            yield Finding("approval-last", f"{key} stands as {found}, and {wanted} is the last")


def shown(events: Sequence[Json], told: Told) -> Iterator[Finding]:
    """What clients were shown, on whatever stream, against the log."""
    for event in events:
        story = told.stories.get(event["execution_id"])
        counting = story.events[event["seq"] - 1 : event["seq"]] if story is not None else []
        if counting != [event]:
            what = f"{event['execution_id']}#{event['seq']} {event['type']}"
            yield Finding("shown-counted", f"{what} was shown, and {[each['type'] for each in counting]} counts there")


def history(found: History, told: Told) -> Iterator[Finding]:
    """Both tables of ClickHouse against the topic."""
    yield from _executions(found.executions, told)
    yield from _events(found.events, told)


def _executions(rows: Sequence[Json], told: Told) -> Iterator[Finding]:
    times = Counter(row["execution_id"] for row in rows)
    for execution_id in sorted(told.stories.keys() - times.keys()):
        yield Finding("history-executions", f"{execution_id} is missing")
    for row in rows:
        story = told.stories.get(row["execution_id"])
        if story is None or times[row["execution_id"]] > 1:
            yield Finding(
                "history-executions", f"{row['execution_id']} stands there {times[row['execution_id']]} times"
            )
            continue
        wanted = _execution(story)
        wrong = {name: (row.get(name), value) for name, value in wanted.items() if row.get(name) != value}
        if wrong:
            yield Finding("history-executions", f"{row['execution_id']} has {wrong} (there, by the log)")


def _execution(story: Story) -> Json:
    """The row that follows from an execution's events."""
    last = story.last
    error = last["error"] if last["type"] == "failed" else {"kind": "", "message": ""}
    output = last["output"] if last["type"] == "done" else ""
    waiting = [tool for tool in last["totals"]["waiting_on"]]
    return {
        "seq": len(story.events),
        "agent": story.events[0]["agent"],
        "agent_version": story.events[0]["agent_version"],
        "status": last["status"],
        "started_at": _micros(story.events[0]["at"]),
        "updated_at": _micros(last["at"]),
        "finished_at": _micros(last["at"]) if last["type"] in TERMINAL else "",
        "turns": story.turns,
        "tool_calls": len(story.calls),
        "tokens_in": story.tokens[0],
        "tokens_out": story.tokens[1],
        "waiting_on": waiting,
        "output_preview": _preview(output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)),
        "error_kind": error["kind"],
        "error": _preview(error["message"]),
    }


def _events(rows: Sequence[Json], told: Told) -> Iterator[Finding]:
    there: dict[tuple[str, int], list[Json]] = {}
    for row in rows:
        there.setdefault((row["execution_id"], row["seq"]), []).append(row)
    for story in told.stories.values():
        for event, raw in zip(story.events, story.places, strict=True):
            found = there.pop((story.execution_id, event["seq"]), [])
            wanted = (raw.place, event["type"], event["status"], (raw.value or b"").decode())
            if [_event(row) for row in found] != [wanted]:
                what = f"{story.execution_id}#{event['seq']} {event['type']}"
                yield Finding("history-events", f"{what} stands there {len(found)} times, or otherwise than on the log")
    for execution_id, seq in there:
        yield Finding("history-events", f"{execution_id}#{seq} is there, and does not count")


def _event(row: Json) -> tuple[str, str, str, str]:
    return f"{row['partition']}:{row['offset']}", row["type"], row["status"], row["payload"]


def _micros(moment: str) -> str:
    return str((datetime.fromisoformat(moment) - EPOCH) // MICROSECOND)


def _preview(text: str) -> str:
    return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"
