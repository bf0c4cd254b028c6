"""What a reconcile function says of a call in doubt: one whose worker was lost after it was allowed to run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call whose worker was lost, as a `reconcile` function found out.

    >>> CallOutcome.succeeded({"refund_id": "re_1"}).kind
    'succeeded'
    >>> CallOutcome.not_run("no refund has this idempotency key").reason
    'no refund has this idempotency key'
    """

    kind: Literal["succeeded", "failed", "not_run"]
    value: Any = None
    """What the tool would have returned."""
    error: str | None = None
    """What the model is to read of the failure."""
    reason: str | None = None
    """How you know; for the history."""

    @classmethod
    def succeeded(cls, value: Any = None, reason: str | None = None) -> "CallOutcome":
        """It ran; `value` is its result."""
        return cls("succeeded", value=value, reason=reason)

    @classmethod
    def failed(cls, error: str, reason: str | None = None) -> "CallOutcome":
        """It ran and failed, without an effect that counts."""
        return cls("failed", error=error, reason=reason)

    @classmethod
    def not_run(cls, reason: str | None = None) -> "CallOutcome":
        """It certainly did not run, and never will: it may be run again."""
        return cls("not_run", reason=reason)


Reconcile = Callable[..., CallOutcome | None]
"""Of the tool's own parameters; None: it cannot tell."""
