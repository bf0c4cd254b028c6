"""Decisions in: what other services answer on their topic goes to the core, and its outcome comes back on the request.

A decision that no request can show the outcome of is a dead letter with the reason.
"""

import difflib
import json

from pydantic import ValidationError

from agentspan.eventlog.commands import Commands
from agentspan.eventlog.intake import DeadLetters, Delivery, Intake, Rejected, Source, Work
from agentspan_approvals.decision_ids import DecisionId
from agentspan_approvals.ports import Now, Sleep
from agentspan_schemas import NameRepeated, NewerVersion, TooLarge, Unreadable
from agentspan_schemas import commands as c
from agentspan_schemas.answers import RefusalCode
from agentspan_schemas.approvals import Decision
from agentspan_schemas.cloudevents import read
from agentspan_schemas.codec import DECISIONS, describe
from agentspan_schemas.http import DecisionRequest
from agentspan_schemas.ids import split_approval_id
from agentspan_schemas.names import refuse_repeated

NOBODYS: frozenset[RefusalCode] = frozenset({"unknown_execution", "unknown_call", "not_gated"})
"""Refusals of a decision that is about no request at all."""

CHANNEL = "topic"

OTHER_ARGUMENTS = ("edited_args", "args", "arguments")
"""What a decision may have called the arguments to run the call with; the first is their name."""


class Decisions:
    """The decisions topic's reader in one process."""

    def __init__(
        self, *, source: Source, dead_letters: DeadLetters, commands: Commands, now: Now, sleep: Sleep
    ) -> None:
        self._commands = commands
        self._intake = Intake(source, dead_letters, self._read, service="approvals", now=now, sleep=sleep)

    async def run(self) -> None:
        """Take decisions, until cancelled."""
        await self._intake.run()

    def _read(self, delivery: Delivery) -> Work:
        command = decide_command(delivery)
        return Work(f"{command.execution_id}.{command.call_id}", lambda: self._decide(command))

    async def _decide(self, command: c.Decide) -> None:
        try:
            answer = await self._commands.submit(command)
        except TooLarge as error:
            raise Rejected("too_large", str(error)) from error
        if answer.refusal is not None and answer.refusal.code in NOBODYS:
            raise Rejected(answer.refusal.code, answer.refusal.message)


def decide_command(delivery: Delivery) -> c.Decide:
    """The command that a record asks for. Raises Rejected."""
    decision = _decision(delivery)
    try:
        execution_id, call_id = split_approval_id(decision.approval_id)
    except ValueError as error:
        raise Rejected("invalid", str(error)) from error
    asked = _checked(decision)
    by = f"service:{decision.by.removeprefix('service:')}"
    return c.Decide(
        command_id=str(DecisionId(call_id, by, decision.decision_id)),
        execution_id=execution_id,
        call_id=call_id,
        decision=asked.decision,
        args_hash=asked.args_hash,
        edited_args=asked.edited_args,
        reason=asked.reason,
        by=by,
        channel=CHANNEL,
    )


def _decision(delivery: Delivery) -> Decision:
    try:
        raw = read(delivery.headers, delivery.value).data
        decision = DECISIONS.decode(raw)
        refuse_repeated(raw)
        return decision
    except NameRepeated as error:
        raise Rejected("field_repeated", f"a decision is about exactly what was written: {error}") from error
    except NewerVersion as error:
        raise Rejected("newer_version", str(error)) from error
    except Unreadable as error:
        raise Rejected("invalid" if _is_object(error.raw) else "unreadable", str(error)) from error


def _checked(decision: Decision) -> DecisionRequest:
    """What the HTTP door would refuse is refused here, too; of fields that nobody knows, those that edit in vain."""
    for name in decision.model_extra or {} if decision.decision == "approve" else {}:
        if difflib.get_close_matches(name.lower(), OTHER_ARGUMENTS, n=1, cutoff=0.8):
            raise Rejected(
                "invalid",
                f"decision {decision.decision_id!r}: a decision has no {name!r}; other arguments are 'edited_args', "
                "and without them it would approve those that were asked for",
            )
    try:
        return DecisionRequest.model_validate(
            {name: getattr(decision, name) for name in ("decision", "args_hash", "reason", "edited_args")}
        )
    except ValidationError as error:
        raise Rejected("invalid", f"decision {decision.decision_id!r}: {describe(error)}") from error


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
