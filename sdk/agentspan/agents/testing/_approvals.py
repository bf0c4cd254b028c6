"""Reviewers for tests: who approves and who rejects, by tool, by args, or by a function of the call.

The same verdicts serve a mock run and a recording of a real one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentspan.agents._errors import ConfigurationError
from agentspan.agents.testing._args import args_match
from agentspan.agents.testing._script import Args, ArgsMatch


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for a decision."""

    tool: str
    args: dict[str, Any]
    call_id: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reviewer says, and of which calls: made by `approve` and `reject`."""

    decision: Literal["approve", "reject"]
    tool: str | None = None
    args: ArgsMatch | None = None
    reason: str | None = None
    edit: Args | None = None

    def covers(self, call: PendingCall) -> bool:
        """Whether it is about this call."""
        return self.tool in (None, call.tool) and args_match(call.args, self.args)


Approvals: TypeAlias = Verdict | Sequence[Verdict] | Callable[[PendingCall], "Verdict | bool | None"]
"""One verdict, several of which the first that covers a call counts, or a function (None: the call goes on waiting)."""


def approve(
    tool: str | None = None, *, args: ArgsMatch | None = None, reason: str | None = None, edit: Args | None = None
) -> Verdict:
    """Approve the calls of `tool` (None: of any) with such `args` (None: with any).

    Args:
        args: Some of the args with their values, or a function of them: `lambda args: args["amount_usd"] <= 25`.
        edit: What the call runs with instead, whole; validated as in production.

    >>> approve("refund", args={"customer_id": "c1"}).covers(PendingCall("refund", {"customer_id": "c2"}, "1-0"))
    False
    """
    _check("approve", tool, args, reason)
    if edit is not None and not isinstance(edit, Mapping):
        raise ConfigurationError(f"approve: edit is {edit!r}, not args; write edit={{'amount_usd': 5}}")
    return Verdict("approve", tool, args, reason, edit)


def reject(tool: str | None = None, reason: str | None = None, *, args: ArgsMatch | None = None) -> Verdict:
    """Reject the calls of `tool` (None: of any) with such `args` (None: with any); the agent reads the reason.

    >>> reject("refund", reason="too much").covers(PendingCall("refund", {}, "1-0"))
    True
    """
    _check("reject", tool, args, reason)
    return Verdict("reject", tool, args, reason)


def _check(what: str, tool: object, args: object, reason: object) -> None:
    if tool is not None and not isinstance(tool, str):
        raise ConfigurationError(f"{what}: tool is {tool!r}, not a tool's name; write {what}('refund')")
    if args is not None and not isinstance(args, Mapping) and not callable(args):
        raise ConfigurationError(
            f"{what}: args is {args!r}; give some args as a mapping, or a function of them: args=lambda args: ..."
        )
    if reason is not None and not isinstance(reason, str):
        raise ConfigurationError(f"{what}: reason is {reason!r}, not text; write reason='...'")


class Reviewer:
    """Decides by verdicts; checked when made, so that a slip is not taken for "nobody decides"."""

    def __init__(self, approvals: Approvals | None) -> None:
        self._decide = _function(approvals)

    def verdict(self, call: PendingCall) -> Verdict | None:
        """What is said of this call; None: it goes on waiting. Raises ConfigurationError for a wrong answer."""
        match self._decide(call):
            case None:
                return None
            case Verdict() as verdict:
                return verdict
            case bool() as yes:
                return Verdict("approve" if yes else "reject")
            case other:
                raise ConfigurationError(
                    f"approvals: the function answered {other!r} for a call of {call.tool!r}; "
                    "return approve(), reject(reason=...), True, False, or None to let it wait"
                )


def _function(approvals: Any) -> Callable[[PendingCall], object]:
    match approvals:
        case None:
            return lambda call: None
        case Verdict():
            return lambda call: approvals if approvals.covers(call) else None
        case list() | tuple():
            return _first_of(approvals)
        case Mapping():
            raise ConfigurationError(
                "approvals: a mapping does not say whether its values are reasons or args; "
                "write a list, as in [approve('refund'), reject('suspend', reason='...')]"
            )
        case _ if callable(approvals) and not isinstance(approvals, type):
            if approvals in (approve, reject):
                raise ConfigurationError(
                    f"approvals: {approvals.__name__} without brackets is no verdict; write {approvals.__name__}()"
                )
            function: Callable[[PendingCall], object] = approvals
            return function
        case _:
            raise ConfigurationError(
                f"approvals: {approvals!r} decides nothing; give approve(), reject(reason=...), a list of them, "
                "or a function of the PendingCall"
            )


def _first_of(verdicts: Sequence[Any]) -> Callable[[PendingCall], object]:
    for index, verdict in enumerate(verdicts):
        if not isinstance(verdict, Verdict):
            raise ConfigurationError(
                f"approvals[{index}]: {verdict!r} is no verdict; write approve('tool') or reject('tool', reason='...')"
            )
    return lambda call: next((verdict for verdict in verdicts if verdict.covers(call)), None)
