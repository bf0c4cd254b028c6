"""What `decide` returns, and the draft it is written on: events that are complete the moment they are drafted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from agentspan_orchestrator.domain.evolve import evolve, evolve_note
from agentspan_orchestrator.domain.state import Execution, Remembered
from agentspan_schemas.answers import Answer, Refusal, RefusalCode, Refused, Repeated, Winner, answer_to
from agentspan_schemas.commands import Command
from agentspan_schemas.events import Envelope, Event, Totals

E = TypeVar("E", bound=Envelope)

NOTHING_YET = Totals()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of one command: at least one event, or the note that stands in their place."""

    state: Execution | None
    """The execution afterwards."""
    events: tuple[Event, ...]
    note: Refused | Repeated | None = None

    @property
    def messages(self) -> Sequence[Event | Refused | Repeated]:
        """What it leaves on the log."""
        return self.events or ((self.note,) if self.note else ())

    @property
    def answer(self) -> Answer:
        """The answer to the sender, as the log gives it."""
        return answer_to(self.note or self.events[-1])


class Draft:
    """An outcome being written: each event is folded at once, so that the next one is decided on what it changed."""

    def __init__(self, state: Execution | None, command: Command, now: datetime) -> None:
        self.before = state
        self.command = command
        self.now = max(now, state.at) if state else now
        self.events: list[Event] = []
        self._state = state

    @property
    def state(self) -> Execution:
        """The execution as the draft has made it."""
        if self._state is None:
            raise LookupError(f"{self.command.execution_id!r} has no first event yet")
        return self._state

    def begin(self, kind: type[E], *, agent: str, agent_version: str, **fields: Any) -> None:
        """Draft the execution's first event."""
        about = {"agent": agent, "agent_version": agent_version, "started_at": self.now, "seq": 1}
        self._append(kind, about, fields)

    def emit(self, kind: type[E], **fields: Any) -> None:
        """Draft the next event; the envelope follows from the state."""
        s = self.state
        about = {"agent": s.agent, "agent_version": s.agent_version, "started_at": s.started_at, "seq": s.seq + 1}
        self._append(kind, about, fields)

    def _append(self, kind: type[E], about: dict[str, Any], fields: dict[str, Any]) -> None:
        """Nothing is validated: what an event is made of came in at a door, or follows from what did."""
        event: Any = kind.of(
            execution_id=self.command.execution_id,
            at=self.now,
            status="running",
            totals=NOTHING_YET,
            causation_id=self.command.command_id,
            traceparent=self.command.traceparent,
            **about,
            **fields,
        )
        self._state = evolve(self._state, event)
        vars(event).update(status=self._state.status, totals=self._state.totals)  # it is nobody else's yet
        self.events.append(event)

    def accepted(self) -> Outcome:
        """The outcome of a command that did what it asked."""
        return Outcome(self._state, tuple(self.events))

    def repeated(self, given: Remembered) -> Outcome:
        """The outcome of a command that had its answer before."""
        of = self.command
        answer = Answer.of(
            command_id=of.command_id, execution_id=of.execution_id, seq=given.seq, refusal=given.refusal, repeated=True
        )
        note = Repeated.of(execution_id=of.execution_id, command_id=of.command_id, at=self.now, answer=answer)
        return Outcome(evolve_note(self.before, note), (), note)

    def refused(self, refusal: Refusal) -> Outcome:
        """The outcome of a command that changes nothing; a late tool result is kept whole."""
        note = Refused.of(
            execution_id=self.command.execution_id,
            command_id=self.command.command_id,
            command_type=self.command.type,
            at=self.now,
            seq=self.before.seq if self.before else 0,
            refusal=refusal,
            by=getattr(self.command, "by", None) or getattr(self.command, "worker", None),
            result=self.command.model_dump(mode="json") if self.command.type == "return_result" else None,
        )
        return Outcome(evolve_note(self.before, note), (), note)


def refuse(code: RefusalCode, message: str, winner: Winner | None = None) -> Refusal:
    """Why a command changes nothing, in words that say what to do next."""
    return Refusal(code=code, message=message, winner=winner)
