"""What an audit can find wrong, by name.

Apart from the checks so that a test can ask of each that it fails when it should, and docs can list them.
"""

from dataclasses import dataclass
from typing import Final

CHECKS: Final[dict[str, str]] = {
    # the events that count
    "seq-gapless": "events are numbered from 1 without a gap, in one partition, and time never runs back",
    "envelope-true": "status and totals on an event are those that follow from all events up to it",
    "terminal-is-final": "after a terminal event nothing happens, and none comes while a granted call is out",
    "decided-once": "a call is decided at most once, only while it waits, and on the arguments that were shown",
    "args-shown": "what is shown was called, and what is approved was shown, or is marked as edited; each hash is true",
    "one-grant": "a once call is granted only when it may run, and never while another grant is out",
    "one-result": "a call has at most one result, and of a once call only under its grant",
    "never-blind": "a granted call is in doubt no sooner than its grant ends; a once call is tried again only when "
    "its worker declined or somebody resolved it",
    "routed-truly": "an event's headers and key say what it says; tasks and requests stand in its partition",
    # commands
    "command-answered": "every command has its outcome",
    "command-once": "commands are decided in the order of their topic, each once, and act at most once",
    # tasks
    "task-counted": "every task that was ever published follows from events that count",
    "task-one": "there is one task for each call and attempt: under its key, and always the same",
    "task-published": "what a worker or a model worked on was published",
    "task-standing": "the tasks that stand are those that are open",
    # effects
    "effect-counted": "code ran only for calls that count; a once call's only under a grant",
    "effect-once": "a once call has one effect when it succeeded, and never two; any call that succeeded has one",
    # approvals
    "approval-counted": "every record of a request that was ever published follows from events that count",
    "approval-last": "the record that stands is the last that follows",
    # clients
    "shown-counted": "every event that a client was shown counts, and is the one that it was shown",
    # ClickHouse
    "history-executions": "ClickHouse has each execution once, as it is after its last event",
    "history-events": "ClickHouse has each event that counts once, with its bytes and its place, and no other",
}
"""Name and meaning of every check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    check: str
    what: str

    def __post_init__(self) -> None:
        assert self.check in CHECKS, self.check

    def __str__(self) -> str:
        return f"{self.check}: {self.what}"
