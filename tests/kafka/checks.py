"""What an audit holds the topics to: the events, each command's outcome, the tasks that were published.

What stands outside of what the owners write (effects, requests for a decision, ClickHouse) is in `checks_outside`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.kafka.evidence import Json, Raw, by_partition
from tests.kafka.findings import Finding
from tests.kafka.stories import Story, Told

TIMERS = ("timer:", "lost:")
"""How the ids of commands begin that an owner gives itself."""


def events(told: Told) -> Iterator[Finding]:
    """What the stories found about themselves."""
    for story in told.stories.values():
        yield from story.findings


def commands(sent: Sequence[Raw], told: Told) -> Iterator[Finding]:
    """Each command of the topic has its outcome, in their order; none acts twice."""
    of_partition = by_partition(sent)
    for partition, outcomes in told.outcomes.items():
        yield from _decided_in_order(partition, of_partition.get(partition, []), outcomes)
        yield from _acted_once(outcomes)
    for partition in of_partition.keys() - told.outcomes.keys():
        yield Finding("command-answered", f"partition {partition} has commands, and no outcome")


def _decided_in_order(partition: int, sent: Sequence[Raw], outcomes: Iterable[Sequence[Raw]]) -> Iterator[Finding]:
    answered: dict[int, Raw] = {}
    before = -1
    for outcome in outcomes:
        of = outcome[-1].headers.get("ce_commandoffset")
        if of is None:
            continue
        offset = int(of.rpartition("/")[2])
        if offset <= before:
            yield Finding(
                "command-once", f"the command at {partition}:{offset} is decided again or late, after {before}"
            )
        answered[offset] = outcome[-1]
        before = offset
    for command in sent:
        outcome_of = answered.get(command.offset)
        if outcome_of is None:
            yield Finding("command-answered", f"{_command(command)} has no outcome")
        elif outcome_of.headers["ce_commandid"] != command.headers.get("ce_commandid"):
            other = outcome_of.headers["ce_commandid"]
            yield Finding("command-answered", f"{_command(command)} has the outcome of {other!r}")


def _acted_once(outcomes: Iterable[Sequence[Raw]]) -> Iterator[Finding]:
    acted = Counter(
        (outcome[0].key, outcome[0].headers["ce_commandid"]) for outcome in outcomes if outcome[0].headers.get("ce_seq")
    )
    for (execution_id, command_id), times in acted.items():
        if times > 1 and not command_id.startswith(TIMERS):
            yield Finding("command-once", f"{command_id!r} of {execution_id} acted {times} times")


def _command(raw: Raw) -> str:
    return f"{raw.headers.get('ce_type')} {raw.headers.get('ce_commandid')!r} of {raw.key} at {raw.place}"


def tasks(published: Sequence[Raw], told: Told) -> Iterator[Finding]:
    """All that was ever published, and what stands in the end."""
    seen: dict[str, Json] = {}
    standing: dict[str, Raw] = {}
    for raw in published:
        if raw.value is None:
            standing.pop(raw.key, None)
            continue
        standing[raw.key] = raw
        yield from _one_task(raw, told, seen)
    yield from _all_of_them(published, seen, told)
    yield from _standing(standing, told)


def _one_task(raw: Raw, told: Told, seen: dict[str, Json]) -> Iterator[Finding]:
    task = raw.json
    step = task["call_id"] if task["lane"] == "tool" else f"model-{task['turn']}"
    named = f"{task['execution_id']}/{step}/{task['attempt']}"
    if named != raw.key:
        yield Finding("task-one", f"{raw.key} at {raw.place} holds the task {named}")
    if seen.setdefault(raw.key, task) != task:
        yield Finding("task-one", f"{raw.key} at {raw.place} is another than the task published before it")
    story = told.stories.get(task["execution_id"])
    if story is None or named not in story.opened:
        yield Finding("task-counted", f"{raw.key} at {raw.place} was opened by nothing that counts")
    elif raw.partition != story.partition:
        yield Finding("routed-truly", f"the task {raw.key} stands at {raw.place}, its run in {story.partition}")
    elif wrong := _another(task, story):
        yield Finding("task-counted", f"{raw.key} at {raw.place} has another {wrong} than the log")


def _another(task: Json, story: Story) -> str:
    """In what it differs from the events."""
    if task["lane"] == "model":
        called = (event for event in story.events if event["type"] == "model_called" and event["turn"] == task["turn"])
        return "" if next(called)["messages"] == len(task["messages"]) else "conversation"
    call = story.calls[task["call_id"]]
    said = {name: call.proposed[name] for name in ("tool", "effects", "input_schema_hash", "timeout_s")}
    if call.args != task["args"]:
        return "args"
    return next((name for name, value in said.items() if task[name] != value), "")


def _all_of_them(published: Sequence[Raw], seen: dict[str, Json], told: Told) -> Iterator[Finding]:
    compacted = {
        partition
        for partition, records in by_partition(published).items()
        if [raw.offset for raw in records] != list(range(len(records)))
    }
    for story in told.stories.values():
        if story.partition not in compacted:
            for key in sorted(story.worked_on - seen.keys()):
                yield Finding("task-published", f"{key} was worked on, and never published")


def _standing(standing: dict[str, Raw], told: Told) -> Iterator[Finding]:
    open_ = {key for story in told.stories.values() for key in story.open_keys()}
    waits = {key for story in told.stories.values() for key in story.waiting_keys()}
    for key in sorted(open_ - standing.keys()):
        yield Finding("task-standing", f"{key} is open and does not stand")
    for key in sorted(standing.keys() - open_ - waits):
        yield Finding("task-standing", f"{key} stands at {standing[key].place} and is not open")
