"""One execution under test: gives commands to the core by a clock of its own, and keeps what a log would keep.

It stands in for the owner of a partition and does nothing else: what a command is, is said in core_steps.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from agentspan_orchestrator.domain import Execution, Outcome, decide, evolve, evolve_note, open_tasks
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Note
from agentspan_schemas.codec import EVENTS, NOTES, encode
from agentspan_schemas.commands import Command
from agentspan_schemas.events import Envelope, Event
from agentspan_schemas.ids import execution_id_for
from tests.unit.core_agents import SUPPORT

T0 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
EXECUTION = execution_id_for("tests", "ticket-1")

E = TypeVar("E", bound=Envelope)


@dataclass(frozen=True, slots=True)
class Decision:
    """One command with what came of it, as the log has them together."""

    command: Command
    now: datetime
    outcome: Outcome


class Run:
    """An execution, its clock and its log."""

    def __init__(self, agent: AgentDefinition = SUPPORT, now: datetime = T0) -> None:
        self.agent = agent
        self.now = now
        self.state: Execution | None = None
        self.log: list[Decision] = []
        self._commands = 0

    def give(self, command: Command) -> Outcome:
        """Decide a command now and keep what comes of it."""
        outcome = decide(self.state, command, self.now, self.agent)
        self.state = outcome.state
        self.log.append(Decision(command, self.now, outcome))
        return outcome

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)

    def command_id(self) -> str:
        """A command id that was not used before."""
        self._commands += 1
        return f"command-{self._commands}"

    def fork(self) -> "Run":
        """Another run that goes on from here."""
        other = Run(self.agent, self.now)
        other.state, other.log, other._commands = self.state, list(self.log), self._commands
        return other

    @property
    def living(self) -> Execution:
        """The state, of an execution that was started."""
        assert self.state is not None
        return self.state

    @property
    def last(self) -> Outcome:
        """What came of the last command."""
        return self.log[-1].outcome

    @property
    def events(self) -> list[Event]:
        """The execution's events so far."""
        return [event for decision in self.log for event in decision.outcome.events]

    def all_of(self, kind: type[E]) -> list[E]:
        """Its events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    def only(self, kind: type[E]) -> E:
        """Its one event of that type."""
        (event,) = self.all_of(kind)
        return event

    @property
    def tasks(self) -> list[str]:
        """The open tasks as `<step>/<attempt>`."""
        return [f"{task.step}/{task.attempt}" for task in open_tasks(self.living, self.now)]

    @property
    def told(self) -> list[Any]:
        """What the model has read and said so far, as `(role, text or value or error kind)`."""
        return [_gist(message.model_dump(exclude_none=True)) for message in self.living.messages]


def records(decisions: Iterable[Decision]) -> list[bytes]:
    """What an owner writes: events and notes, encoded, in order."""
    return [encode(record) for decision in decisions for record in _records(decision.outcome)]


def _records(outcome: Outcome) -> tuple[Event | Note, ...]:
    return (*outcome.events, *((outcome.note,) if outcome.note else ()))


def refold(written: Iterable[bytes], state: Execution | None = None) -> Execution | None:
    """The state that a restart makes of the log, going on from `state`."""
    for raw in written:
        if json.loads(raw)["type"] in NOTES.types:
            state = evolve_note(state, NOTES.decode(raw))
        else:
            state = evolve(state, EVENTS.decode(raw))
    return state


def _gist(message: dict[str, Any]) -> tuple[str, Any]:
    error = message.get("error")
    return message["role"], error["kind"] if error else message.get("text", message.get("value"))
