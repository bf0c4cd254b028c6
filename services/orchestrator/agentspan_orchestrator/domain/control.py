"""What people do to a whole execution: tell it something, pause it, let it go on, end it."""

from agentspan_orchestrator.domain.outcome import Draft, refuse
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.answers import Refusal


def message_sent(draft: Draft, command: c.SendMessage) -> Refusal | None:
    """The agent reads it before its next turn."""
    if draft.state.ending is not None:
        return refuse("finished", "the execution is ending; it reads no more messages")
    draft.emit(e.MessageAdded, text=command.text, by=command.by, channel=command.channel)
    return None


def paused(draft: Draft, command: c.Pause) -> Refusal | None:
    """Nothing new starts; decisions are kept."""
    if draft.state.paused:
        return refuse("nothing_to_do", "the execution is paused already")
    draft.emit(e.Paused, by=command.by, channel=command.channel, reason=command.reason)
    return None


def resumed(draft: Draft, command: c.Resume) -> Refusal | None:
    """It goes on."""
    if not draft.state.paused:
        return refuse("nothing_to_do", "the execution is not paused")
    draft.emit(e.Resumed, by=command.by, channel=command.channel, reason=command.reason)
    return None


def cancelled(draft: Draft, command: c.Cancel) -> Refusal | None:
    """It ends now, or with the result or resolution of the granted call that is out."""
    if draft.state.ending is not None:
        return refuse("nothing_to_do", "the execution is ending already; a granted call is still out")
    kind = e.CancelRequested if draft.state.out else e.Cancelled
    draft.emit(kind, by=command.by, channel=command.channel, reason=command.reason)
    return None
