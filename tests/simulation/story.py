"""One execution as the auditor reads it: its events in order, its calls, and the laws that each event must keep.

States come from the product's own fold, as the laws are about what an owner does with them; everything that a call
may do is checked here against the events alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentspan_orchestrator.domain import Execution, evolve, evolve_note
from agentspan_schemas import JsonObject
from agentspan_schemas import events as e
from agentspan_schemas.answers import Note
from agentspan_schemas.canonical import args_hash
from tests.simulation.laws import law

Decision = e.Approved | e.Rejected | e.Expired


@dataclass(slots=True)
class CallStory:
    """What the log says about one call."""

    proposed: e.ToolCall
    waiting: e.Waiting | None = None
    decision: Decision | None = None
    grants: list[e.ToolStarted] = field(default_factory=list)
    out: bool = False
    """Whether the last grant is neither answered nor declined."""
    doubted: bool = False
    declined: list[str] = field(default_factory=list)
    result: e.ToolResult | None = None

    @property
    def args(self) -> JsonObject:
        """The effective ones."""
        return self.decision.args if isinstance(self.decision, e.Approved) else self.proposed.args


class Story:
    """All that counts about one execution."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self.state: Execution | None = None
        self.history: list[tuple[int, Execution]] = []
        """After each outcome: the log's offset just after it, and the state."""
        self.calls: dict[str, CallStory] = {}
        self.opened: dict[str, datetime | None] = {}
        """Every task key that was ever open, with the time before which it was not due."""
        self.closed: dict[str, None] = {}
        """Every task key that was closed or withheld at some time after it was open."""
        self._open: dict[str, datetime | None] = {}

    def note(self, note: Note) -> None:
        """A record beside the events."""
        self.state = evolve_note(self.state, note)

    def event(self, event: e.Event) -> None:
        """The next event."""
        before = self.state
        last = before.seq if before else 0
        law("seq-gapless", event.seq == last + 1, _At(event), "after", last)
        law("seq-gapless", before is None or event.at >= before.at, _At(event), "time runs back")
        law("terminal-is-final", before is None or not before.terminal, _At(event), "after the end")
        after = evolve(before, event)
        shown = (event.status, event.totals)
        law("envelope-true", shown == (after.status, after.totals), _At(event), shown)
        self._check(event)
        self.state = after

    def ended(self, offset: int) -> None:
        """An outcome is complete; the next record has that offset."""
        if self.state is None:
            return
        self.history.append((offset, self.state))
        self._note_tasks(self.state)

    def state_at(self, offset: int) -> Execution | None:
        """The state after all outcomes that end up to there."""
        for end, state in reversed(self.history):
            if end <= offset:
                return state
        return None

    def _note_tasks(self, s: Execution) -> None:
        now_open = _open_keys(s)
        self.closed.update({key: None for key in self._open if key not in now_open})
        self.opened.update(now_open)
        self._open = now_open

    def _check(self, event: e.Event) -> None:
        match event:
            case e.ToolCall():
                law("one-result", event.call_id not in self.calls, _At(event), "proposed twice")
                self.calls[event.call_id] = CallStory(event)
            case e.Waiting():
                self._waiting(self._call(event, event.call_id), event)
            case e.Approved() | e.Rejected() | e.Expired():
                self._decided(self._call(event, event.call_id), event)
            case e.ToolStarted():
                self._granted(self._call(event, event.call_id), event)
            case e.InDoubt():
                self._doubted(self._call(event, event.call_id), event)
            case e.RetryScheduled(call_id=str() as call_id):
                self._retried(self._call(event, call_id), event)
            case e.ToolResult():
                self._returned(self._call(event, event.call_id), event)
            case e.Done() | e.Failed() | e.Cancelled():
                out = [call_id for call_id, call in self.calls.items() if call.out]
                law("terminal-is-final", not out, _At(event), "while out:", out)
            case _:
                pass

    def _call(self, event: e.Event, call_id: str) -> CallStory:
        call = self.calls.get(call_id)
        law("one-result", call is not None, _At(event), "of a call never proposed")
        assert call is not None
        law("one-result", call.result is None, _At(event), "of a call that has its result")
        return call

    def _waiting(self, call: CallStory, event: e.Waiting) -> None:
        law("decided-once", call.waiting is None and call.proposed.approval_required, _At(event))
        right = event.args == call.proposed.args and event.args_hash == args_hash(event.args)
        law("decision-binds-args", right, _At(event), "shows other args than were proposed")
        call.waiting = event

    def _decided(self, call: CallStory, event: Decision) -> None:
        first = call.decision
        law("decided-once", first is None, _At(event), "was decided before:", first)
        waiting = call.waiting
        law("decided-once", waiting is not None, _At(event), "nobody was asked")
        assert waiting is not None
        call.decision = event
        if isinstance(event, e.Expired):
            return
        law("decision-binds-args", event.seen_args_hash == waiting.args_hash, _At(event), "saw other args")
        if isinstance(event, e.Approved):
            wanted = waiting.args if event.edited_args is None else event.edited_args
            right = event.args == wanted and event.args_hash == args_hash(wanted)
            law("decision-binds-args", right, _At(event), "instead of", wanted)

    def _granted(self, call: CallStory, event: e.ToolStarted) -> None:
        approved = not call.proposed.approval_required or isinstance(call.decision, e.Approved)
        law("one-grant", approved, _At(event), "before it was approved")
        law("one-grant", not call.out, _At(event), "while another grant is out")
        known = [grant.claim_id for grant in call.grants]
        law("one-grant", event.claim_id not in known, _At(event), "of a claim that was granted before")
        call.grants.append(event)
        call.out, call.doubted = True, False

    def _doubted(self, call: CallStory, event: e.InDoubt) -> None:
        law("one-grant", call.out, _At(event), "while no grant is out")
        grant = call.grants[-1]
        due = grant.at + timedelta(seconds=grant.grant_s)
        law("grant-was-doubted-late", event.at >= due, _At(event), "of a grant of", grant.at)
        call.doubted = True

    def _retried(self, call: CallStory, event: e.RetryScheduled) -> None:
        if call.proposed.effects == "idempotent":
            return
        allowed = event.reason == "declined" or (event.reason == "resolved" and call.doubted)
        law("never-blindly", call.out and allowed, _At(event), "opens again for", event.reason)
        call.declined.append(call.grants[-1].claim_id)
        call.out = False

    def _returned(self, call: CallStory, event: e.ToolResult) -> None:
        if event.ok and call.proposed.approval_required:
            law("one-result", isinstance(call.decision, e.Approved), _At(event), "without approval")
        if event.ok and call.proposed.effects == "once":
            held = [grant.claim_id for grant in call.grants if grant.claim_id not in call.declined]
            law("one-grant", event.claim_id in held, _At(event), "under no grant of", held)
        call.result, call.out = event, False


@dataclass(frozen=True, slots=True)
class _At:
    """Says which event it is, when somebody asks."""

    event: e.Event

    def __str__(self) -> str:
        return f"{self.event.execution_id}#{self.event.seq}: {self.event!r}"


def _open_keys(s: Execution) -> dict[str, datetime | None]:
    """The keys of the tasks that the state has open, each with its time."""
    if s.terminal or s.paused or s.ending is not None:
        return {}
    found = {f"{s.execution_id}/{c.call_id}/{c.attempt}": c.not_before for c in s.calls if c.phase == "open"}
    if s.model_step is not None:
        found[f"{s.execution_id}/model-{s.model_step.turn}/{s.model_step.attempt}"] = s.model_step.not_before
    return found
