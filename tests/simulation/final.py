"""What must hold once everything has come to rest: every effect is accounted for, every result is one that happened."""

from agentspan_schemas import events as e
from tests.simulation.auditor import Auditor
from tests.simulation.effects import Effect, Ledger
from tests.simulation.laws import law
from tests.simulation.story import CallStory


def audit_end(auditor: Auditor, ledger: Ledger) -> None:
    """Compare the ledger with the log. Raises LawBroken."""
    for story in auditor.stories():
        for call_id, call in story.calls.items():
            _audit_call(f"{story.execution_id} {call_id}", call, ledger.of(story.execution_id, call_id))


def _audit_call(what: str, call: CallStory, effects: list[Effect]) -> None:
    once = call.proposed.effects == "once"
    law("once", not once or len(effects) <= 1, what, "happened", len(effects), "times:", effects)
    if isinstance(call.decision, e.Rejected | e.Expired) or (call.waiting and call.decision is None):
        law("rejected-never-ran", not effects, what, "was not approved:", effects)
    result = call.result
    if result is None:
        return
    if result.ok:
        law("result-true", any(result.value == effect.value for effect in effects), what, result, "of", effects)
    elif result.error is not None and result.error.kind in ("not_run", "rejected", "expired"):
        law("rejected-never-ran", not effects, what, "ended as", result.error.kind, effects)
