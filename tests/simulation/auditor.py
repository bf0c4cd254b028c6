"""The auditor: reads the raw log by itself, is told of all that leaves an owner, a sender or a tool, and judges it.

It is asked synchronously, inside the very call that lets something out, so what it compares with is what stands on the
log at that moment. The first broken law ends the run; the code that broke it is not told.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from agentspan.eventlog import Log, Position, Record, partition_for
from agentspan_orchestrator.domain import Execution
from agentspan_orchestrator.ports import Row
from agentspan_schemas import events as e
from agentspan_schemas.answers import Answer
from agentspan_schemas.codec import TASKS
from agentspan_schemas.commands import Command
from agentspan_schemas.tasks import ToolTask
from tests.simulation.account import Account
from tests.simulation.agents import GATED
from tests.simulation.effects import Effect
from tests.simulation.laws import LawBroken, law
from tests.simulation.story import CallStory, Story


class Auditor:
    """Judges one run."""

    def __init__(self, log: Log) -> None:
        self.accounts = [Account(log.partition(number).raw) for number in range(log.partitions)]
        self.broken: asyncio.Future[LawBroken] = asyncio.get_running_loop().create_future()
        """Done with the first law that does not hold."""

    def catch_up(self) -> None:
        """Read all that has landed."""
        with self._watching():
            for account in self.accounts:
                account.catch_up()

    def story(self, execution_id: str) -> Story | None:
        """What counts about an execution, as of the last time the log was read."""
        return self._account(execution_id).stories.get(execution_id)

    def stories(self) -> Iterator[Story]:
        """All executions that exist."""
        stories = (story for account in self.accounts for story in account.stories.values())
        return (story for story in stories if story.state is not None)

    # What leaves an owner

    def task_put(self, owner: str, key: str, record: Record | None, now: datetime) -> None:
        """An owner publishes a task, or buries one."""
        with self._watching():
            story = self._read(key.partition("/")[0])
            if record is None:
                buried = story is not None and key in story.closed
                law("released-first", buried, owner, "buries", key, "which was never closed")
                return
            open_before = story is not None and key in story.opened
            law("released-first", open_before, owner, "publishes", key, "which no outcome opened that counts")
            assert story is not None
            not_before = story.opened[key]
            law("task-true", not_before is None or not_before <= now, owner, "publishes", key, "before its time")
            _check_task(story, record)

    def state_kept(
        self, owner: str, number: int, rows: Iterable[Row], position: Position, command_offset: str | None
    ) -> None:
        """An owner writes states to its cache."""
        with self._watching():
            account = self.accounts[number]
            account.catch_up()
            end = (position.offset, position.epoch, position.n)
            law("released-first", end in account.ends, owner, "keeps states as of", position, "where none ends")
            decided = account.ends[end]
            law("state-is-the-fold", command_offset == decided, owner, "at", command_offset, "not", decided)
            for row in rows:
                _check_state(owner, account, row.state, position)

    def restored(self, owner: str, number: int, states: Iterable[Execution], position: Position) -> None:
        """An owner has restored a partition: these are all its states."""
        with self._watching():
            account = self.accounts[number]
            account.catch_up()
            found = {state.execution_id: state for state in states}
            for state in found.values():
                _check_state(owner, account, state, position)
            for story in account.stories.values():
                missing = story.execution_id not in found and story.state_at(position.offset) is not None
                law("state-is-the-fold", not missing, owner, position, "has no", story.execution_id)

    # What a sender hears, and what a tool does

    def answered(self, command: Command, answer: Answer) -> None:
        """A sender heard the answer to its command."""
        with self._watching():
            account = self._account(command.execution_id)
            account.catch_up()
            given = account.answers.get((command.execution_id, command.command_id), ())
            at = int((answer.position or ":-1").partition(":")[2])
            true = any(g.offset == at and g.gist == (answer.seq, answer.refusal) for g in given)
            law("answer-true", true, command.command_id, "heard", answer, "the log has", given)

    def ran(self, effect: Effect) -> None:
        """A tool's code runs."""
        with self._watching():
            story = self._read(effect.execution_id)
            call = story.calls.get(effect.call_id) if story else None
            law("seen-before-run", call is not None, effect, "of a call that does not count")
            assert call is not None
            if effect.tool in GATED:
                approved = isinstance(call.decision, e.Approved)
                law("approved-before-run", approved, effect, "with decision", call.decision)
                law("approved-before-run", effect.args == call.args, effect, "instead of", call.args)
            law("seen-before-run", effect.args == call.args, effect, "instead of", call.args)
            if call.proposed.effects == "once":
                _check_grant(call, effect)

    def crashed(self, process: str, error: BaseException) -> None:
        """A process ended by an error of its own."""
        self.judge(LawBroken("nobody-crashes", f"{process}: {error!r} {_leaves(error)}"))

    def judge(self, broken: LawBroken) -> None:
        """This law is broken; only the first one counts."""
        if not self.broken.done():
            self.broken.set_result(broken)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except LawBroken as broken:
            self.judge(broken)

    def _account(self, execution_id: str) -> Account:
        return self.accounts[partition_for(execution_id, len(self.accounts))]

    def _read(self, execution_id: str) -> Story | None:
        account = self._account(execution_id)
        account.catch_up()
        return account.stories.get(execution_id)


def _check_task(story: Story, record: Record) -> None:
    task = TASKS.decode(record.value)
    if not isinstance(task, ToolTask):
        return
    call = story.calls[task.call_id]
    given = (task.tool, task.args, task.effects)
    wanted = (call.proposed.tool, call.args, call.proposed.effects)
    law("task-true", given == wanted, task.task_key, given, "instead of", wanted)
    ready = task.tool not in GATED or isinstance(call.decision, e.Approved)
    law("released-first", ready, task.task_key, "is published before its approval")


def _check_state(owner: str, account: Account, state: Execution, position: Position) -> None:
    story = account.stories.get(state.execution_id)
    truth = story.state_at(position.offset) if story else None
    law("state-is-the-fold", state == truth, owner, "at", position, state, "instead of", truth)


def _check_grant(call: CallStory, effect: Effect) -> None:
    grant = next((g for g in call.grants if (g.attempt, g.worker) == (effect.attempt, effect.worker)), None)
    law("granted-before-run", grant is not None and grant.claim_id not in call.declined, effect, "under no grant")
    assert grant is not None
    late = effect.at - grant.at >= timedelta(seconds=grant.grant_s)
    law("granted-before-run", not late, effect, "under a grant of", grant.at)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
