"""One partition as the auditor reads it: the rule that says which records count, written a second time, and what
each outcome that counts says about its command.

Not the product's Reader: a mutant of that one must not blind the auditor too.
"""

from dataclasses import dataclass, field

from agentspan.eventlog import RawLog, Stored
from agentspan.eventlog.messages import COMMAND_OFFSET
from agentspan_schemas.answers import Answer, Refused, Repeated, UnreadableCommand
from agentspan_schemas.codec import EVENTS, NOTES
from agentspan_schemas.events import Event
from tests.simulation.clock import at_once
from tests.simulation.laws import law
from tests.simulation.story import Story


@dataclass(frozen=True, slots=True)
class Given:
    """One answer that stands on the log."""

    offset: int
    answer: Answer
    acted: bool
    """Whether events came of it."""

    @property
    def gist(self) -> tuple[object, ...]:
        """What must be the same each time."""
        return self.answer.seq, self.answer.refusal


@dataclass(slots=True)
class _Epoch:
    """The part of the log that one takeover began."""

    number: int = 0
    next_n: int = 1
    sound: bool = True
    unfinished: list[Stored] = field(default_factory=list)


class Account:
    """What counts in one partition, always read to the end of what landed."""

    def __init__(self, raw: RawLog) -> None:
        self._raw = raw
        self._epoch = _Epoch()
        self.read = 0
        """How many raw records were read."""
        self.ends: dict[tuple[int, int, int], str | None] = {(0, 0, 0): None}
        """Where outcomes end, as (offset, epoch, n), with the command offset decided by then."""
        self.takeovers = 0
        self.counted = 0
        """How many records count."""
        self.stories: dict[str, Story] = {}
        self.answers: dict[tuple[str, str], list[Given]] = {}
        self._decided: str | None = None

    def catch_up(self) -> None:
        """Read what has landed."""
        while records := at_once(self._raw.read(self.read, 1000)):
            for stored in records:
                self.read = stored.offset + 1
                self._weigh(stored)

    def _weigh(self, stored: Stored) -> None:
        stamp, epoch = stored.stamp, self._epoch
        if stamp.n == 0:
            if stamp.epoch > epoch.number:
                self._epoch = _Epoch(stamp.epoch)
                self.takeovers += 1
        elif stamp.epoch == epoch.number and epoch.sound:
            if stamp.n == epoch.next_n:
                epoch.next_n += 1
                epoch.unfinished.append(stored)
                if stamp.last:
                    outcome, epoch.unfinished = epoch.unfinished, []
                    self._count(outcome)
            else:
                epoch.sound = False

    def _count(self, outcome: list[Stored]) -> None:
        last = outcome[-1]
        offset = last.offset + 1
        self.counted += len(outcome)
        story = self.stories.setdefault(last.record.key, Story(last.record.key))
        events: list[Event] = []
        answer: Answer | None = None
        for stored in outcome:
            law("commands-in-order", stored.record.key == story.execution_id, "an outcome of two executions")
            if stored.record.type in EVENTS.types:
                events.append(EVENTS.decode(stored.record.value))
                story.event(events[-1])
            else:
                answer = self._note(story, stored)
        if events:
            answer = Answer(command_id=events[0].causation_id, execution_id=story.execution_id, seq=events[-1].seq)
        self._in_order(last.record.attributes.get(COMMAND_OFFSET))
        if answer is not None:
            self._answered(Given(last.offset, answer, bool(events)))
        story.ended(offset)
        self.ends[offset, last.stamp.epoch, last.stamp.n] = self._decided

    def _note(self, story: Story, stored: Stored) -> Answer | None:
        note = NOTES.decode(stored.record.value)
        story.note(note)
        match note:
            case Refused():
                return Answer(
                    command_id=note.command_id, execution_id=note.execution_id, seq=note.seq, refusal=note.refusal
                )
            case Repeated():
                return note.answer
            case UnreadableCommand():
                return None

    def _answered(self, given: Given) -> None:
        key = (given.answer.execution_id, given.answer.command_id)
        before = self.answers.setdefault(key, [])
        if before and not given.answer.command_id.startswith("timer:"):
            law("same-answer", not given.acted, key, "acted again at", given.offset, "first at", before[0].offset)
            law("same-answer", given.gist == before[0].gist, key, before[0].gist, "then", given.gist)
        before.append(given)

    def _in_order(self, command_offset: str | None) -> None:
        if command_offset is None:
            return
        _, _, number = command_offset.rpartition("/")
        expected = int(self._decided.rpartition("/")[2]) + 1 if self._decided else 0
        law("commands-in-order", int(number) == expected, command_offset, "instead of", expected)
        self._decided = command_offset
