"""One partition in its owner's hands: commands become outcomes, outcomes are appended, and only what is released
has effects.

Deciding is synchronous, so commands and timers never interleave; the log's ordered acknowledgements do the rest.
"""

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections import deque
from collections.abc import Container, Sequence
from datetime import datetime
from typing import NamedTuple

from agentspan.eventlog import Outcome as Released
from agentspan.eventlog import Ownership, Record
from agentspan.eventlog.messages import log_record
from agentspan_orchestrator.alarms import Alarms
from agentspan_orchestrator.definitions import Definitions
from agentspan_orchestrator.domain import Draft, Execution, Outcome, decide, due_commands, has_work, next_due
from agentspan_orchestrator.ports import UNOBSERVED, Now, Observer, OnRelease, Row, StateCache
from agentspan_orchestrator.snapshots import Snapshots
from agentspan_orchestrator.states import States
from agentspan_orchestrator.taskbook import TaskBook
from agentspan_schemas import Failure, TooLarge
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Refusal, Refused, UnreadableCommand
from agentspan_schemas.tasks import ModelTask

RELEASED_AT_ONCE = 500
"""How many released outcomes go into one write of the cache."""

FIRED_AT_ONCE = 100
"""After so many timers or losses commands get their turn."""

KEPT_BYTES = 512 * 1024
"""So much of an unreadable command is kept on the log: in base64 it still fits into a message."""

KEPT_WORDS = 2_000
"""So many characters of what is wrong with it."""

MOST_UNDER_WAY = 1_000
"""So many outcomes are on their way to the log at most: commands wait in the inbox meanwhile."""

logger = logging.getLogger(__name__)


class _UnderWay(NamedTuple):
    """A decided outcome that is not released yet."""

    execution_id: str
    state: Execution | None
    command_offset: str | None
    released: asyncio.Future[Released]
    on_release: OnRelease


class OwnedPartition:
    """Decides, appends, and acts on what is released. Gone with its ownership."""

    def __init__(
        self,
        ownership: Ownership,
        cache: StateCache,
        tasks: TaskBook,
        definitions: Definitions,
        *,
        now: Now,
        command_offset: str | None,
        snapshots: Snapshots | None = None,
        observer: Observer = UNOBSERVED,
        unread: Container[str] = (),
    ) -> None:
        """`unread`: the executions whose states are not known, though the cache has what they were."""
        self._ownership = ownership
        self._cache = cache
        self._tasks = tasks
        self._definitions = definitions
        self._now = now
        self._states = States(cache)
        self._under_way: deque[_UnderWay] = deque()
        self._appended = asyncio.Event()
        self._acted = asyncio.Event()
        self._alarms = Alarms()
        self.command_offset = command_offset
        """Of the last command whose outcome is released."""
        self._snapshots = snapshots
        self._observer = observer
        self._unread = unread

    def restore(self) -> None:
        """Publish what is to be done and set the timers, from the cache as it was folded up to the takeover."""
        for state in self._cache.busy():
            if state.execution_id not in self._unread:
                self._tasks.update(state)
        self._alarms = Alarms((due, name) for due, name in self._cache.due() if name not in self._unread)

    def version_for(self, command: c.Command) -> tuple[str, str] | None:
        """The agent and version that the command is about; None for an execution that does not exist."""
        if isinstance(command, c.Start):
            return command.agent, command.agent_version
        state = self._states.get(command.execution_id)
        return (state.agent, state.agent_version) if state else None

    def decide(self, command: c.Command, command_offset: str | None = None) -> None:
        """Decide one command and append what comes of it."""
        version = self.version_for(command)
        definition = self._definitions.get(*version) if version else None
        outcome = self._decided(command, definition)
        records, outcome = self._records(command, outcome, definition, command_offset)
        released = self._ownership.append(records)
        self._states.decided(command.execution_id, outcome.state)
        on_release = self._observer.appending(command.type, _answer(outcome))
        self._send(_UnderWay(command.execution_id, outcome.state, command_offset, released, on_release))

    def unreadable(self, record: Record, why: str, command_offset: str) -> None:
        """Keep the bytes of what can't be decided beside the events: whole, where a message can hold them."""
        kept, why = record.value[:KEPT_BYTES], why[:KEPT_WORDS]
        if len(kept) < len(record.value):
            digest = hashlib.sha256(record.value).hexdigest()
            why = f"{why} (of {len(record.value)} bytes, SHA-256 {digest}, the first {len(kept)} are kept)"
        note = UnreadableCommand(
            execution_id=record.key,
            command_id=record.attributes.get("commandid", ""),
            at=self._now(),
            error=why,
            raw_base64=b64encode(kept).decode(),
        )
        released = self._ownership.append([log_record(note, command_offset)])
        self._states.decided(record.key, None)
        on_release = self._observer.appending("unreadable", "unreadable")
        self._send(_UnderWay(record.key, None, command_offset, released, on_release))

    async def room(self) -> None:
        """Return when another outcome may be sent on its way."""
        while len(self._under_way) >= MOST_UNDER_WAY:
            self._acted.clear()
            await self._acted.wait()

    async def release(self) -> None:
        """Act on outcomes as they are released, in order. Raises what ended the ownership."""
        while True:
            while not self._under_way:
                self._appended.clear()
                await self._appended.wait()
            await self._under_way[0].released
            self._act(self._released())
            self._acted.set()

    def _send(self, item: _UnderWay) -> None:
        self._under_way.append(item)
        self._appended.set()

    def _released(self) -> Sequence[_UnderWay]:
        """Those that are released by now, from the oldest on."""
        batch: list[_UnderWay] = []
        while self._under_way and len(batch) < RELEASED_AT_ONCE and self._under_way[0].released.done():
            batch.append(self._under_way.popleft())
        return batch

    async def fire_due(self) -> None:
        """Decide the timers that are due, so many at a time; a retry opens its task by itself."""
        now = self._now()
        for number, execution_id in enumerate(self._alarms.take(now), 1):
            self._fire(execution_id, now)
            await self._pause_after(number)

    async def alarmed(self) -> None:
        """Return when a timer may become due."""
        await self._alarms.some()

    async def report_lost(self) -> None:
        """Decide what becomes of the tasks that nobody holds any more, so many at a time."""
        for number, key in enumerate(self._tasks.lost(), 1):
            execution_id, step, attempt = key.split("/")
            command_id = f"lost:{key}:{self._now().isoformat()}"
            self.decide(c.ReportLost(command_id=command_id, execution_id=execution_id, step=step, attempt=int(attempt)))
            await self._pause_after(number)

    async def _pause_after(self, number: int) -> None:
        if number % FIRED_AT_ONCE == 0:
            await self.room()
            await asyncio.sleep(0)

    def _decided(self, command: c.Command, definition: AgentDefinition | None) -> Outcome:
        """What comes of the command. One that cannot be carried out fails by itself and stops no other: it would be
        read again after every restart."""
        try:
            return decide(self._states.get(command.execution_id), command, self._now(), definition)
        except Exception as error:
            logger.exception("command %r of %r could not be decided", command.command_id, command.execution_id)
            why = f"the server could not carry this out ({type(error).__name__}); its log has the details"
            return self._instead(command, Failure(kind="internal", message=why), definition)

    def _records(
        self, command: c.Command, outcome: Outcome, definition: AgentDefinition | None, command_offset: str | None
    ) -> tuple[Sequence[Record], Outcome]:
        """The outcome's records; where one is too large for any message, those of a failure that says so."""
        try:
            return [log_record(message, command_offset) for message in outcome.messages], outcome
        except TooLarge as error:
            smaller = self._instead(command, Failure(kind="too_large", message=str(error)), definition)
            return [log_record(message, command_offset) for message in smaller.messages], smaller

    def _instead(self, command: c.Command, failure: Failure, definition: AgentDefinition | None) -> Outcome:
        """What comes of a command that can't be carried out as it is: its step fails, or it is refused."""
        state, failed = self._states.get(command.execution_id), _failed(command, failure)
        if failed is None:
            return Draft(state, command, self._now()).refused(Refusal(code="invalid_args", message=failure.message))
        return decide(state, failed, self._now(), definition)

    def _act(self, batch: Sequence[_UnderWay]) -> None:
        now = self._now()
        states: dict[str, Execution] = {}
        for item in batch:
            item.on_release()
            self.command_offset = item.command_offset or self.command_offset
            if item.state is not None:
                states[item.execution_id] = item.state
        position = batch[-1].released.result().position
        rows = [Row(state, next_due(state, now), has_work(state)) for state in states.values()]
        self._cache.put(rows, position, self.command_offset)
        if self._snapshots is not None:
            records = sum(len(item.released.result().records) for item in batch)
            self._snapshots.released(states, records, position, self.command_offset)
        for row in rows:
            self._tasks.update(row.state)
            self._alarms.set(row.state.execution_id, row.next_due)
        for item in batch:
            self._states.released(item.execution_id)
        self._fail_too_large()

    def _fire(self, execution_id: str, now: datetime) -> None:
        state = self._states.get(execution_id)
        if state is None or state.terminal:
            return
        if self._definitions.get(state.agent, state.agent_version) is not None:  # else its news are on their way here
            for command in due_commands(state, now):
                self.decide(command)
        released = self._cache.get(execution_id)
        if released is not None:  # what was decided and is not released yet must not open a task
            self._tasks.update(released)
        self._alarms.set(execution_id, next_due(self._states.get(execution_id) or state, now))

    def _fail_too_large(self) -> None:
        """A conversation that fits no message can't be handed to a model; its execution fails, and says why."""
        tasks, self._tasks.too_large = self._tasks.too_large, []
        why = "the conversation is over 1 MiB; return less from tools, or split the work"
        for task in tasks:
            if isinstance(task, ModelTask):
                failure = Failure(kind="too_large", message=why)
                self.decide(_model_failed(task, f"{task.task_key}/too-large", failure))


def _answer(outcome: Outcome) -> str:
    if isinstance(outcome.note, Refused):
        return outcome.note.refusal.code
    return "accepted" if outcome.note is None else outcome.note.type


def _failed(command: c.Command, failure: Failure) -> c.Command | None:
    """The command that says so of the same step; None where nothing is under way that could fail."""
    match command:
        case c.ModelReply():
            return _model_failed(command, command.command_id, failure)
        case c.ReturnResult() if failure.kind == "too_large":
            # of any other failure nobody knows what it did: refused, it is kept, and its call will be in doubt
            return command.model_copy(update={"ok": False, "value": None, "error": failure})
        case _:
            return None


def _model_failed(call: c.ModelReply | ModelTask, command_id: str, failure: Failure) -> c.ModelFailed:
    return c.ModelFailed(
        command_id=command_id,
        execution_id=call.execution_id,
        turn=call.turn,
        attempt=call.attempt,
        error=failure,
        retryable=False,
    )
