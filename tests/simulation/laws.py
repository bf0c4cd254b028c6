"""The laws that the auditor holds every run to, by name; what a broken one raises.

Apart from the auditor so that a mutant can name the law it is expected to break, and docs can list them.
"""

from typing import Final

LAWS: Final[dict[str, str]] = {
    # what stands on the log
    "seq-gapless": "an execution's events that count are numbered from 1 without a gap, and time never runs back",
    "envelope-true": "status and totals on an event are those of the state after it",
    "terminal-is-final": "after a terminal event nothing moves, and none comes while a granted call is out",
    "commands-in-order": "every command of a partition is decided, once, in the inbox's order",
    "same-answer": "a command id always gets the same answer, and acts at most once",
    "answer-true": "the answer that a sender hears is the one on the log, and stood there before it was heard",
    # calls
    "one-result": "a call has at most one result, and only if it was proposed",
    "decided-once": "a call is decided at most once, and only if it waits",
    "decision-binds-args": "a decision names the hash of the args that were shown; the call's args follow from it",
    "one-grant": "a call is granted only when approved, and never while another grant is out",
    "never-blindly": "a granted call opens again only when its worker declined or somebody resolved it",
    "grant-was-doubted-late": "a call is in doubt no earlier than grant_s after its grant",
    # what left the owners
    "released-first": "what an owner lets out, be it a task, a tombstone or a cached state, follows from what counts",
    "state-is-the-fold": "an owner's state, kept or restored, is the fold of all that counts up to its position",
    "task-true": "a task has the args, the effects and the time that the log gives it",
    # effects
    "granted-before-run": "a once tool's code runs only under a grant of its worker that counts and is not too old",
    "approved-before-run": "a gated tool's code runs only after its approval, with the args that were approved",
    "seen-before-run": "a tool's code runs only after its tool_call counts, with that call's args",
    "once": "a once call has at most one effect in the whole world",
    "result-true": "a result is what one run of the call returned; done and ok is exactly one effect of a once call",
    "rejected-never-ran": "a rejected, expired or declined call has no effect",
    # the end
    "comes-to-rest": "when trouble ends every execution ends, without another takeover",
    "quiet-at-rest": "when every execution has ended, nothing more is written",
    "stops-when-told": "an owner from whom a partition is taken serves it no more",
    "nobody-crashes": "no process ends by an error of its own",
}
"""Name and meaning of every law."""


class LawBroken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, what: str) -> None:
        assert law in LAWS, law
        super().__init__(f"{law}: {what}")
        self.law = law
        self.what = what


def law(name: str, holds: bool, *what: object) -> None:
    """Raise LawBroken unless it holds; `what` is put into words only then."""
    if not holds:
        raise LawBroken(name, " ".join(map(str, what)))
