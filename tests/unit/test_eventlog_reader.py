"""The rule of which records count, against the sentence that defines it, over random logs of honest but unlucky owners.

The machine writes raw logs as they can come to be: owners act on old views of the log, takeovers race, records are lost
or land late. `counts` then says of each record, straight from DESIGN.md section 5 and looking at the whole log, whether
it counts; the Reader must agree wherever it starts.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from agentspan.eventlog import BEGINNING, Outcome, Position, Reader, Record, Stamp, Stored

OWNERS = st.integers(0, 2)


def valid_takeover_before(log: list[Stored], offset: int) -> Stored | None:
    """The last takeover before the offset that was higher than all takeovers before itself."""
    last = None
    for stored in log[:offset]:
        if stored.stamp.n == 0 and (last is None or stored.stamp.epoch > last.stamp.epoch):
            last = stored
    return last


def counts(log: list[Stored], stored: Stored) -> bool:
    """Whether a record carries the last valid takeover's epoch, and every number before its own stands in between."""
    takeover = valid_takeover_before(log, stored.offset)
    if takeover is None or stored.stamp.n == 0 or stored.stamp.epoch != takeover.stamp.epoch:
        return False
    since = [s.stamp for s in log[takeover.offset + 1 : stored.offset + 1]]
    numbers = [stamp.n for stamp in since if stamp.epoch == stored.stamp.epoch and stamp.n > 0]
    return numbers == list(range(1, stored.stamp.n + 1))


def outcomes(log: list[Stored]) -> list[tuple[int, ...]]:
    """The offsets of each whole outcome."""
    whole: list[tuple[int, ...]] = []
    unfinished: list[int] = []
    for stored in log:
        if stored.stamp.n == 0 and valid_takeover_before(log, stored.offset + 1) is stored:
            unfinished = []
        elif counts(log, stored):
            unfinished.append(stored.offset)
            if stored.stamp.last:
                whole.append(tuple(unfinished))
                unfinished = []
    return whole


def read(log: list[Stored], position: Position = BEGINNING) -> list[Outcome]:
    reader = Reader(position)
    return [outcome for stored in log[position.offset :] if (outcome := reader.feed(stored)) is not None]


def offsets(read: list[Outcome]) -> list[tuple[int, ...]]:
    return [tuple(stored.offset for stored in outcome.records) for outcome in read]


@dataclass
class Writer:
    """An owner: what it has under way, and the takeover that it found valid."""

    under_way: list[Stamp] = field(default_factory=list)
    takeover: Stored | None = None
    n: int = 0


class Owners(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Stored] = []
        self.writers = [Writer() for _ in range(3)]

    @rule(who=OWNERS, view=st.integers(0, 40))
    def take_over(self, who: int, view: int) -> None:
        """On a view of the log that may be old by now."""
        known = valid_takeover_before(self.log, min(view, len(self.log)))
        epoch, offset = (known.stamp.epoch, known.offset) if known else (0, 0)
        writer = self.writers[who]
        writer.takeover = None
        writer.under_way.append(Stamp(epoch + 1, 0, last=True, takeover=offset))

    @rule(who=OWNERS, size=st.integers(1, 3))
    def append(self, who: int, size: int) -> None:
        writer = self.writers[who]
        if writer.takeover is not None:
            for i in range(size):
                writer.n += 1
                writer.under_way.append(
                    Stamp(writer.takeover.stamp.epoch, writer.n, i == size - 1, writer.takeover.offset)
                )

    @precondition(lambda self: any(writer.under_way for writer in self.writers))
    @rule(
        who=OWNERS, fates=st.lists(st.sampled_from(["lands", "lands", "lands", "lost", "late"]), min_size=1, max_size=4)
    )
    def deliver(self, who: int, fates: list[str]) -> None:
        writer = self.writers[who]
        for fate in fates[: len(writer.under_way)]:
            stamp = writer.under_way.pop(0)
            match fate:
                case "lands":
                    self.land(writer, stamp)
                case "late":
                    writer.under_way.append(stamp)

    def land(self, writer: Writer, stamp: Stamp) -> None:
        stored = Stored(len(self.log), stamp, Record("x", "k", b"{}"))
        self.log.append(stored)
        if valid_takeover_before(self.log, len(self.log)) is stored:
            writer.takeover, writer.n = stored, 0

    def teardown(self) -> None:
        whole = read(self.log)
        assert offsets(whole) == outcomes(self.log)
        for at, outcome in enumerate(whole):
            assert read(self.log, outcome.position) == whole[at + 1 :]
        for start in range(1, len(self.log) + 1):
            back = Position(self.log[start - 1].stamp.takeover, 0, 0)
            from_middle = [outcome for outcome in read(self.log, back) if outcome.position.offset > start]
            assert from_middle == [outcome for outcome in whole if outcome.position.offset > start]


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def stored(*stamps: tuple[int, int, bool]) -> list[Stored]:
    return [Stored(i, Stamp(epoch, n, last, 0), Record("x", "k", b"{}")) for i, (epoch, n, last) in enumerate(stamps)]


@pytest.mark.parametrize(
    ("why", "log", "counted"),
    [
        ("no owner yet", stored((1, 1, True)), []),
        ("an outcome of two", stored((1, 0, True), (1, 1, False), (1, 2, True)), [(1, 2)]),
        ("unfinished", stored((1, 0, True), (1, 1, False)), []),
        ("torn by a takeover", stored((1, 0, True), (1, 1, False), (2, 0, True), (1, 2, True), (2, 1, True)), [(4,)]),
        ("a ghost between", stored((2, 0, True), (2, 1, False), (1, 7, True), (2, 2, True)), [(1, 3)]),
        ("a void takeover", stored((2, 0, True), (2, 1, False), (2, 0, True), (2, 2, True)), [(1, 3)]),
        ("a hole", stored((1, 0, True), (1, 1, True), (1, 3, True), (1, 2, True), (1, 3, True)), [(1,)]),
        ("a hole, then an owner", stored((1, 0, True), (1, 2, True), (2, 0, True), (2, 1, True)), [(3,)]),
        ("twice the same number", stored((1, 0, True), (1, 1, True), (1, 1, True), (1, 2, True)), [(1,)]),
    ],
)
def test_what_counts(why: str, log: list[Stored], counted: list[tuple[int, ...]]) -> None:
    assert offsets(read(log)) == counted, why


@pytest.mark.parametrize("position", [BEGINNING, Position(1042, 3, 17)])
def test_a_position_survives_as_text(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "1.-2.3", "a.b.c", "1.2.", "\u0661.2.3"])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        Position.parse(text)
