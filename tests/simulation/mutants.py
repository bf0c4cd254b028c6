"""Faults that we make ourselves, to prove that the auditor would see them: each patches one real function at run time,
and names the laws of which it must break one.

What is patched is found by name in the product; when a name is gone the patch fails, so no mutant dies unnoticed.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from agentspan.agents.worker import Worker
from agentspan.eventlog import Outcome, Ownership, Position, Reader, Record, Stamp, Stored
from agentspan_orchestrator import leases, owned, partition, states
from agentspan_orchestrator.domain import Draft, Execution, calls, evolve, turns
from agentspan_orchestrator.domain import decide as real_decide
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Refusal
from agentspan_schemas.tasks import ToolTask


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault."""

    name: str
    owner: Any
    """What holds the function: a class or a module."""
    function: str
    make: Callable[[Any], Any]
    """The mutated function, given the real one."""
    laws: tuple[str, ...]
    """The first law that a run breaks must be one of these."""

    @contextmanager
    def loose(self) -> Iterator[None]:
        """The fault is there while this is open."""
        real = getattr(self.owner, self.function)
        with patch.object(self.owner, self.function, self.make(real)):
            yield


def _no_claim(real: Any) -> Any:
    async def perform(self: Worker, task: ToolTask) -> object:
        return await real(self, task.model_copy(update={"effects": "idempotent"}))

    return perform


def _no_epoch_check(real: Any) -> Any:
    def feed(self: Reader, stored: Stored) -> Outcome | None:
        if stored.stamp.n == 0:
            return real(self, stored)  # type: ignore[no-any-return]
        self.n = stored.stamp.n - 1
        ours = Stored(stored.offset, stored.stamp._replace(epoch=self.epoch), stored.record)
        return real(self, ours)  # type: ignore[no-any-return]

    return feed


def _no_numbers(real: Any) -> Any:
    def feed(self: Reader, stored: Stored) -> Outcome | None:
        if stored.stamp.epoch == self.epoch and stored.stamp.n > 0:
            self.n = stored.stamp.n - 1
        return real(self, stored)  # type: ignore[no-any-return]

    return feed


def _no_args_hash(real: Any) -> Any:
    class Agreeable(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

    def decided(draft: Draft, command: c.Decide, definition: AgentDefinition) -> Refusal | None:
        blind = command.model_copy(update={"args_hash": Agreeable(command.args_hash)})
        return real(draft, blind, definition)  # type: ignore[no-any-return]

    return decided


def _released_at_once(real: Any) -> Any:
    def append(self: Ownership, records: Sequence[Record]) -> asyncio.Future[Outcome]:
        real(self, records)
        at, n = self.position.offset + len(records), self.position.n + len(records)
        self.position = Position(at, self.epoch, n)
        stamp = Stamp(self.epoch, n, last=True, takeover=0)
        released: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        released.set_result(Outcome((Stored(at - 1, stamp, records[-1]),), self.position))
        return released

    return append


def _no_memory_of_commands(real: Any) -> Any:
    class Forgetful(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return default

    def decide(state: Execution | None, *rest: Any) -> Any:
        return real_decide(replace(state, answers=Forgetful(state.answers)) if state else None, *rest)

    return decide


def _doubt_runs_again(real: Any) -> Any:
    def granted_lost(draft: Draft, command: c.ReportLost, call: Any) -> None:
        draft.emit(
            e.RetryScheduled,
            turn=call.turn,
            call_id=call.call_id,
            tool=call.tool,
            attempt=call.attempt + 1,
            retry_at=draft.now,
            reason="lost",
        )

    return granted_lost


def _grants_never_end(real: Any) -> Any:
    return lambda self, claim: True


def _grants_to_anyone(real: Any) -> Any:
    def claimed(draft: Draft, command: c.Claim) -> Refusal | None:
        call = draft.state.call(command.call_id)
        if call is None or call.phase not in ("granted", "in_doubt"):
            return real(draft, command)  # type: ignore[no-any-return]
        draft.emit(
            e.ToolStarted,
            call_id=call.call_id,
            tool=call.tool,
            attempt=call.attempt,
            claim_id=command.claim_id,
            worker=command.worker,
            grant_s=5.0,
        )
        return None

    return claimed


def _no_gate(real: Any) -> Any:
    def propose(draft: Draft, turn: int, request: Any, error: str | None, definition: AgentDefinition) -> None:
        tools = tuple(tool.model_copy(update={"approval_required": False}) for tool in definition.tools)
        real(draft, turn, request, error, definition.model_copy(update={"tools": tools}))

    return propose


def _edits_are_lost(real: Any) -> Any:
    def approved(s: Execution, event: e.Approved) -> Execution:
        waiting = s.call(event.call_id)
        return real(s, event.model_copy(update={"args": waiting.args}) if waiting else event)  # type: ignore[no-any-return]

    return approved


def _no_gap_check(real: Any) -> Any:
    async def check_gap(self: Ownership, offset: int) -> None:
        """Whoever stands between, we go on."""

    return check_gap


def _no_twice_check(real: Any) -> Any:
    async def check_gap(self: Ownership, offset: int) -> None:
        """Whatever stands twice, we go on, unless somebody has taken over."""
        await self._check(self._expected, offset, None)

    return check_gap


def _skips_a_command(real: Any) -> Any:
    return lambda inbox_id, command_offset: real(inbox_id, command_offset) + bool(command_offset)


def _timers_let_out_what_is_decided(real: Any) -> Any:
    def fire(self: Any, execution_id: str, now: datetime) -> None:
        real(self, execution_id, now)
        state = self._states.get(execution_id)
        if state is not None:
            self._tasks.update(state)

    return fire


def _watched_for_ever(real: Any) -> Any:
    return lambda self, task_key: None


def _forgets_what_is_under_way(real: Any) -> Any:
    def forget_coldest(self: states.States) -> None:
        for kept, most in ((self._at_work, self._most_at_work), (self._parked, self._most_parked)):
            while len(kept) > most:
                kept.popitem(last=False)

    return forget_coldest


_NOT_THE_FOLD = ("state-is-the-fold", "released-first", "answer-true", "commands-in-order")

MUTANTS = (
    Mutant("runs once tools without a claim", Worker, "_perform", _no_claim, ("granted-before-run",)),
    Mutant("runs under grants that are over", Worker, "_admits", _grants_never_end, ("granted-before-run",)),
    Mutant("reads records of any epoch", Reader, "feed", _no_epoch_check, _NOT_THE_FOLD),
    Mutant("reads on after a hole", Reader, "feed", _no_numbers, _NOT_THE_FOLD),
    Mutant("does not look who took over between", Ownership, "_check_gap", _no_gap_check, _NOT_THE_FOLD),
    Mutant("does not look whether its own stands twice", Ownership, "_check_gap", _no_twice_check, _NOT_THE_FOLD),
    Mutant("releases what is not acknowledged", Ownership, "append", _released_at_once, ("released-first",)),
    Mutant("forgets which commands it had", owned, "decide", _no_memory_of_commands, ("same-answer",)),
    Mutant("forgets states that are under way", states.States, "_forget_coldest", _forgets_what_is_under_way,
           (*_NOT_THE_FOLD, "seq-gapless", "same-answer")),
    Mutant("begins after the command to come", partition, "_next_offset", _skips_a_command, ("commands-in-order",)),
    Mutant("lets timers open what is only decided", owned.OwnedPartition, "_fire", _timers_let_out_what_is_decided,
           ("released-first",)),
    Mutant("watches calls for ever", leases.Watch, "over", _watched_for_ever, ("quiet-at-rest",)),
    Mutant("takes decisions on other args", calls, "decided", _no_args_hash, ("decision-binds-args",)),
    Mutant("runs a call in doubt again", calls, "_granted_lost", _doubt_runs_again, ("never-blindly",)),
    Mutant("grants a call twice", calls, "claimed", _grants_to_anyone, ("one-grant",)),
    Mutant("asks nobody", turns, "_propose", _no_gate, ("released-first", "approved-before-run")),
    Mutant("loses an approver's edits", sys.modules[evolve.__module__], "_approved", _edits_are_lost, ("task-true",)),
)  # fmt: skip
"""All of them."""
