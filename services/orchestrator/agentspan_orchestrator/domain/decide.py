"""The one place where something is decided: a command, the state it meets, the time; and what comes of it.

Pure: no clock, no random, no I/O. Deciding the same command twice gives the same answer and no second event.
"""

from datetime import datetime
from typing import assert_never

from agentspan_orchestrator.domain import calls, control, timers, turns
from agentspan_orchestrator.domain.outcome import Draft, Outcome, refuse
from agentspan_orchestrator.domain.state import Execution, Remembered
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Refusal, verdict


def decide(state: Execution | None, command: c.Command, now: datetime, definition: AgentDefinition | None) -> Outcome:
    """What comes of `command` at `now` (UTC). `state` is None before the execution's first event.

    `definition` is the one that the execution was started with, found by its agent and version; None is refused.
    """
    draft = Draft(state, command, now)
    if state is not None and (given := state.answers.get(command.command_id)):
        return draft.repeated(given)
    if isinstance(command, c.Start):
        return _start(draft, command, definition)
    if refusal := _gone(state, command):
        return draft.refused(refusal)
    if definition is None:
        return draft.refused(_unknown_agent(draft.state.agent, draft.state.agent_version))
    if refusal := _handle(draft, command, definition):
        return draft.refused(refusal)
    turns.proceed(draft, definition)
    return draft.accepted()


def _start(draft: Draft, command: c.Start, definition: AgentDefinition | None) -> Outcome:
    if draft.before is not None:
        if draft.before.content_hash == command.content_hash:
            return draft.repeated(Remembered(draft.before.seq))
        message = (
            f"{command.key!r} of {command.source!r} was started before with other content as"
            f" {command.execution_id}; use a new id for new work"
        )
        return draft.refused(refuse("id_reused", message))
    if definition is None:
        return draft.refused(_unknown_agent(command.agent, command.agent_version))
    turns.start(draft, command, definition)
    return draft.accepted()


def _gone(state: Execution | None, command: c.Command) -> Refusal | None:
    """Why a command meets nothing that it could move."""
    if state is None:
        message = f"there is no execution {command.execution_id!r}; `agentspan agent list` shows what there is"
        return refuse("unknown_execution", message)
    if not state.terminal:
        return None
    ended = f"execution {state.execution_id!r} is {state.status}"
    if not isinstance(command, c.Decide | c.Resolve) or (winner := state.winners.get(command.call_id)) is None:
        return refuse("finished", ended)
    if isinstance(command, c.Decide):
        return calls.already_decided(command.call_id, winner)
    return refuse("finished", f"{ended}; call {command.call_id!r} {verdict(winner.decision, winner.by)}", winner)


def _handle(draft: Draft, command: c.Command, definition: AgentDefinition) -> Refusal | None:
    match command:
        case c.Start():
            return None
        case c.ModelReply():
            return turns.model_replied(draft, command, definition)
        case c.ModelFailed():
            return turns.model_failed(draft, command)
        case c.ReportLost():
            lost = turns.model_lost if command.step.startswith("model-") else calls.lost
            return lost(draft, command)
        case c.Decide():
            return calls.decided(draft, command, definition)
        case c.Claim():
            return calls.claimed(draft, command)
        case c.Decline():
            return calls.declined(draft, command)
        case c.ReturnResult():
            return calls.returned(draft, command)
        case c.Resolve():
            return calls.resolved(draft, command)
        case c.SendMessage():
            return control.message_sent(draft, command)
        case c.Pause():
            return control.paused(draft, command)
        case c.Resume():
            return control.resumed(draft, command)
        case c.Cancel():
            return control.cancelled(draft, command)
        case c.FireTimer():
            return timers.fired(draft, command)
        case _:
            assert_never(command)


def _unknown_agent(name: str, version: str) -> Refusal:
    return refuse("unknown_agent", f"agent {name!r} has no version {version!r}; register it with `serve` first")
