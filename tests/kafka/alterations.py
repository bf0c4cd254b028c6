"""What must not be, made by hand: a run's evidence, altered in one place each, and the checks that have to see it.

Apart from the test because each names what an audit is for.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.kafka.evidence import Effect, Evidence, History, Json, Raw

Alter = Callable[[Evidence], Evidence]


def of_type(records: Sequence[Raw], kind: str) -> Raw:
    """The first record of a CloudEvents type."""
    return next(raw for raw in records if raw.headers.get("ce_type") == kind and raw.value)


def with_value(raw: Raw, **changes: Any) -> Raw:
    """The same record with other fields."""
    return replace(raw, value=json.dumps(raw.json | changes, separators=(",", ":")).encode())


def swapped(records: Sequence[Raw], old: Raw, *new: Raw) -> list[Raw]:
    """One record replaced by others, or by none."""
    at = records.index(old)
    return [*records[:at], *new, *records[at + 1 :]]


def event(kind: str, **changes: Any) -> Alter:
    """An event says something else."""

    def alter(found: Evidence) -> Evidence:
        old = of_type(found.events, kind)
        return replace(found, events=swapped(found.events, old, with_value(old, **changes)))

    return alter


def event_again(kind: str, at_the_end: bool = False) -> Alter:
    """An outcome of the epoch's next number says it once more, with the next seq."""

    def alter(found: Evidence) -> Evidence:
        old = of_type(found.events, kind)
        mine = [raw for raw in found.events if raw.key == old.key and raw.headers.get("ce_seq")]
        before = mine[-1] if at_the_end else old
        records = _with_room(found.events, before)
        again = with_value(old, seq=before.json["seq"] + 1, at=before.json["at"])
        again = replace(again, partition=before.partition, headers=_next(before, ce_type=kind))
        return replace(found, events=_inserted(records, before, again))

    return alter


def _next(before: Raw, **changes: str) -> dict[str, str]:
    number, seq = int(before.headers["ce_n"]) + 1, int(before.headers["ce_seq"]) + 1
    headers = dict(before.headers) | {"ce_n": str(number), "ce_seq": str(seq), "ce_last": "true"} | changes
    headers.pop("ce_commandoffset", None)
    return headers | {"ce_commandid": "timer:by-hand"}


def _with_room(records: Sequence[Raw], before: Raw) -> list[Raw]:
    """All later records of the epoch one number higher, and all later events of the execution one seq."""

    def moved(raw: Raw) -> Raw:
        headers, changed = dict(raw.headers), raw
        later = raw.partition == before.partition and raw.offset > before.offset
        if later and headers.get("ce_epoch") == before.headers["ce_epoch"]:
            headers["ce_n"] = str(int(headers["ce_n"]) + 1)
        if later and raw.key == before.key and headers.get("ce_seq"):
            headers["ce_seq"] = str(int(headers["ce_seq"]) + 1)
            changed = with_value(raw, seq=raw.json["seq"] + 1)
        return replace(changed, headers=headers)

    return [moved(raw) for raw in records]


def _inserted(records: Sequence[Raw], before: Raw, new: Raw) -> list[Raw]:
    """`ce_last` is already on the record before: it is an outcome of its own."""
    at = next(i for i, raw in enumerate(records) if (raw.partition, raw.offset) == (before.partition, before.offset))
    last = replace(records[at], headers={**records[at].headers, "ce_last": "true"})
    return [*records[:at], last, new, *records[at + 1 :]]


def doubted_blindly(found: Evidence) -> Evidence:
    """A refund is in doubt at the moment at which it was granted."""
    return _behind_the_grant(found, type="in_doubt", reason="it was lost")


def tried_blindly(found: Evidence) -> Evidence:
    """A refund is tried again because its worker was lost."""
    return _behind_the_grant(found, type="retry_scheduled", reason="lost", attempt=2, retry_at="2020-01-01T00:00:00Z")


def _behind_the_grant(found: Evidence, **changes: Any) -> Evidence:
    altered = event_again("tool_started")(found)
    again = [raw for raw in altered.events if raw.headers.get("ce_type") == "tool_started"][1]
    return replace(altered, events=swapped(altered.events, again, with_value(again, **changes)))


def headers(kind: str, **changes: str) -> Alter:
    """An event is routed as what it is not."""

    def alter(found: Evidence) -> Evidence:
        old = of_type(found.events, kind)
        return replace(found, events=swapped(found.events, old, replace(old, headers={**old.headers, **changes})))

    return alter


def task_elsewhere(found: Evidence) -> Evidence:
    """A task was published once more, to a partition that is not its run's."""
    old = of_type(found.tasks, "tool")
    elsewhere = next(raw.partition for raw in found.tasks if raw.partition != old.partition)
    again = replace(old, partition=elsewhere, offset=_after(found.tasks, elsewhere))
    return replace(found, tasks=[*found.tasks, again, replace(again, offset=again.offset + 1, value=None)])


def approval_elsewhere(found: Evidence) -> Evidence:
    """The same of a request."""
    old = found.approvals[0]
    return replace(found, approvals=swapped(found.approvals, old, replace(old, partition=old.partition + 1)))


def shown_otherwise(found: Evidence) -> Evidence:
    """A client has seen an event of an owner that was none any more."""
    return replace(found, shown=[of_type(found.events, "approved").json | {"by": "user:ghost"}])


def shown_too_early(found: Evidence) -> Evidence:
    """The same of one that never came to stand."""
    last = of_type(found.events, "done").json
    return replace(found, shown=[last | {"seq": last["seq"] + 1}])


def without_event(kind: str) -> Alter:
    """An event is gone, and nobody's numbers show it: the epoch's are closed up."""

    def alter(found: Evidence) -> Evidence:
        old = of_type(found.events, kind)

        def closed(raw: Raw) -> Raw:
            later = raw.partition == old.partition and raw.offset > old.offset
            if not later or raw.headers.get("ce_epoch") != old.headers["ce_epoch"]:
                return raw
            return replace(raw, headers={**raw.headers, "ce_n": str(int(raw.headers["ce_n"]) - 1)})

        return replace(found, events=[closed(raw) for raw in found.events if raw is not old])

    return alter


def without_command(found: Evidence) -> Evidence:
    """A command was sent behind the last that is answered."""
    last = found.commands[-1]
    late = replace(last, offset=last.offset + 1, headers={**last.headers, "ce_commandid": "by-hand"})
    return replace(found, commands=[*found.commands, late])


def command_decided_again(found: Evidence) -> Evidence:
    """An outcome names the command before its own once more."""
    [first, second] = _decisions(found)[:2]
    headers = {**second.headers, "ce_commandoffset": first.headers["ce_commandoffset"]}
    return replace(found, events=swapped(found.events, second, replace(second, headers=headers)))


def _decisions(found: Evidence) -> list[Raw]:
    """The last records of two commands of one partition."""
    last = [raw for raw in found.events if raw.headers.get("ce_commandoffset") and raw.headers["ce_last"] == "true"]
    return [raw for raw in last if raw.partition == last[0].partition]


def task(**changes: Any) -> Alter:
    """A task was published once more with something else in it."""

    def alter(found: Evidence) -> Evidence:
        old = of_type(found.tasks, "tool")
        again = replace(with_value(old, **changes), offset=_after(found.tasks, old.partition))
        grave = replace(again, offset=again.offset + 1, value=None)
        return replace(found, tasks=[*found.tasks, again, grave])

    return alter


def ghost_task(found: Evidence) -> Evidence:
    """The task of a call that was decided by an owner that no longer was one."""
    old = of_type(found.tasks, "tool")
    value, offset = with_value(old, call_id="9-0"), _after(found.tasks, old.partition)
    ghost = replace(value, key=f"{old.key.split('/')[0]}/9-0/1", offset=offset)
    return replace(found, tasks=[*found.tasks, ghost, replace(ghost, offset=offset + 1, value=None)])


def task_never_published(found: Evidence) -> Evidence:
    """Nothing of one task ever stood there."""
    old = of_type(found.tasks, "tool")
    kept = [raw for raw in found.tasks if raw.key != old.key]
    numbered: list[Raw] = []
    for raw in kept:
        numbered.append(replace(raw, offset=sum(each.partition == raw.partition for each in numbered)))
    return replace(found, tasks=numbered)


def task_left(found: Evidence) -> Evidence:
    """A task that is closed was written again, and nobody buried it."""
    old = of_type(found.tasks, "tool")
    return replace(found, tasks=[*found.tasks, replace(old, offset=_after(found.tasks, old.partition))])


def _after(records: Sequence[Raw], partition: int) -> int:
    return max(raw.offset for raw in records if raw.partition == partition) + 1


def done_twice(found: Evidence) -> Evidence:
    """A refund was made again."""
    assert found.effects is not None
    [first, *_] = [effect for effect in found.effects if effect.tool == "issue_refund"]
    return replace(found, effects=[*found.effects, first])


def never_done(found: Evidence) -> Evidence:
    """A refund that the log speaks of was not made."""
    assert found.effects is not None
    first = next(effect for effect in found.effects if effect.tool == "issue_refund")
    return replace(found, effects=[effect for effect in found.effects if effect != first])


def done_for_nobody(found: Evidence) -> Evidence:
    """A ghost's call was run."""
    ghost = Effect("exec-ghost", "issue_refund", "exec-ghost.2-0", 1)
    return replace(found, effects=[*(found.effects or ()), ghost])


def done_without_grant(found: Evidence) -> Evidence:
    """A rejected refund was made."""
    rejected = of_type(found.events, "rejected").json
    key = f"{rejected['execution_id']}.{rejected['call_id']}"
    effect = Effect(rejected["execution_id"], rejected["tool"], key, 1)
    return replace(found, effects=[*(found.effects or ()), effect])


def done_ahead(found: Evidence) -> Evidence:
    """A look-up was made as an attempt that nobody opened."""
    first = next(effect for effect in found.effects or () if effect.tool == "lookup_customer")
    return replace(found, effects=[*(found.effects or ()), replace(first, attempt=7)])


def approval(**changes: Any) -> Alter:
    """A record of a request says something else."""

    def alter(found: Evidence) -> Evidence:
        old = next(raw for raw in found.approvals if raw.json["state"] == "pending")
        return replace(found, approvals=swapped(found.approvals, old, with_value(old, **changes)))

    return alter


def ghost_approval(found: Evidence) -> Evidence:
    """A request of an execution that nobody started."""
    old = found.approvals[0]
    ghost = replace(with_value(old, approval_id="exec-ghost.2-0", execution_id="exec-ghost"), key="exec-ghost.2-0")
    return replace(found, approvals=[*found.approvals, replace(ghost, offset=_after(found.approvals, old.partition))])


def approval_as_before(found: Evidence) -> Evidence:
    """Somebody who woke up late wrote an old record over the last one."""
    old = next(raw for raw in found.approvals if raw.json["state"] == "pending")
    late = replace(old, offset=_after(found.approvals, old.partition))
    return replace(found, approvals=[*found.approvals, late])


def executions(change: Callable[[list[Json]], list[Json]]) -> Alter:
    """ClickHouse has other rows."""

    def alter(found: Evidence) -> Evidence:
        assert found.history is not None
        return replace(found, history=replace(found.history, executions=change(list(found.history.executions))))

    return alter


def rows(change: Callable[[list[Json]], list[Json]]) -> Alter:
    """The same for its events."""

    def alter(found: Evidence) -> Evidence:
        assert found.history is not None
        return replace(found, history=History(found.history.executions, change(list(found.history.events))))

    return alter


ALTERATIONS: tuple[tuple[str, str, Alter], ...] = (
    ("seq-gapless", "an event is missing", without_event("model_replied")),
    ("seq-gapless", "an event is numbered wrongly", event("tool_call", seq=77)),
    ("seq-gapless", "time runs back", event("done", at="2020-01-01T00:00:00Z")),
    ("envelope-true", "a status is wrong", event("waiting", status="running")),
    ("envelope-true", "totals are wrong", event("done", totals={
        "turns": 9, "tool_calls": 2, "input_tokens": 0, "output_tokens": 0, "waiting_on": []})),
    ("terminal-is-final", "a model is called after the end", event_again("model_called", at_the_end=True)),
    ("decided-once", "a call is approved twice", event_again("approved")),
    ("decided-once", "a decision is about other arguments", event("approved", seen_args_hash="0" * 64)),
    ("args-shown", "a call is proposed under another hash", event("tool_call", args_hash="0" * 64)),
    ("args-shown", "other arguments are shown", event("waiting", args={"amount_usd": 1})),
    ("args-shown", "other arguments are approved", event("approved", args={"amount_usd": 1})),
    ("args-shown", "an edit is not what is approved", event("approved", edited_args={"amount_usd": 1})),
    ("never-blind", "a call is in doubt under its grant", doubted_blindly),
    ("never-blind", "a once call is tried again unasked", tried_blindly),
    ("routed-truly", "a header has another type", headers("done", ce_type="failed")),
    ("routed-truly", "a header has another status", headers("waiting", ce_status="running")),
    ("routed-truly", "a header has another agent", headers("started", ce_agent="other")),
    ("routed-truly", "a task stands in another partition", task_elsewhere),
    ("routed-truly", "a request stands in another partition", approval_elsewhere),
    ("shown-counted", "a ghost's event was shown", shown_otherwise),
    ("shown-counted", "an event was shown that never came", shown_too_early),
    ("one-grant", "a call is granted twice", event_again("tool_started")),
    ("one-result", "a call has two results", event_again("tool_result")),
    ("command-answered", "a command has no outcome", without_command),
    ("command-once", "a command is decided twice", command_decided_again),
    ("task-counted", "a task follows from no event", ghost_task),
    ("task-counted", "a task has other arguments than the log", task(args={"email": "eve@example.com"})),
    ("task-one", "a task was published with two contents", task(args={"email": "eve@example.com"})),
    ("task-one", "a task stands under another's key", task(attempt=2)),
    ("task-published", "a task was worked on and never published", task_never_published),
    ("task-standing", "a closed task stands again", task_left),
    ("effect-once", "an effect was made twice", done_twice),
    ("effect-once", "an effect is missing", never_done),
    ("effect-counted", "an effect of a ghost", done_for_nobody),
    ("effect-counted", "an effect of a rejected call", done_without_grant),
    ("effect-counted", "an effect of an attempt that never was", done_ahead),
    ("approval-counted", "a request shows other arguments", approval(args={"amount_usd": 1})),
    ("approval-counted", "a request of a ghost", ghost_approval),
    ("approval-last", "an old record was written over the last one", approval_as_before),
    ("history-executions", "an execution is missing", executions(lambda found: found[1:])),
    ("history-executions", "an execution stands twice", executions(lambda found: [*found, found[0]])),
    ("history-executions", "an execution is behind", executions(lambda found: [found[0] | {"seq": 3}, *found[1:]])),
    ("history-events", "an event is missing", rows(lambda found: found[1:])),
    ("history-events", "an event stands twice", rows(lambda found: [*found, found[0]])),
    ("history-events", "an event of a ghost", rows(lambda found: [*found, found[0] | {"execution_id": "exec-ghost"}])),
    ("history-events", "an event has other bytes", rows(lambda found: [found[0] | {"payload": "{}"}, *found[1:]])),
)  # fmt: skip
"""The check that has to fail, what is wrong, and how to make it so."""
