"""Sending a command and learning its outcome, for every service that sends some.

The answer is read from the log, where the owner has left it: so it is durable before anybody hears it, and a process
that does not own the partition learns it in the same way.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from agentspan.eventlog._errors import LogError, WriteError
from agentspan.eventlog._murmur2 import partition_for
from agentspan.eventlog._ports import Inbox, Log
from agentspan.eventlog.messages import answer_of, command_record
from agentspan_schemas.answers import Answer
from agentspan_schemas.commands import Command

GIVE_UP_S = 1.0
"""How soon a sender learns that its partition has stopped."""


class OutcomeUnknown(LogError):
    """No outcome in time: the command may be decided yet. Send it again with the same id to learn what came of it."""


class Unavailable(LogError):
    """Nobody can decide the command now, and nothing was sent: the text says why. Try again later."""


class Commands(Protocol):
    """Whoever takes commands."""

    async def submit(self, command: Command) -> Answer:
        """The command's answer, once its outcome is released. Raises OutcomeUnknown or Unavailable."""
        ...


class CommandLog:
    """Commands over an inbox, answered by the log.

    `unavailable` says why a partition cannot decide now, where this process can know; None: it can.
    """

    def __init__(
        self,
        log: Log,
        inbox: Inbox,
        *,
        unavailable: Callable[[int], str | None] = lambda partition: None,
        timeout_s: float = 30.0,
    ) -> None:
        self._log = log
        self._inbox = inbox
        self._unavailable = unavailable
        self._timeout_s = timeout_s
        self._awaited: dict[str, list[asyncio.Future[Answer]]] = {}

    async def run(self) -> None:
        """Follow the log's end, for as long as commands are submitted."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._follow(number))
            group.create_task(self._give_up())

    async def submit(self, command: Command) -> Answer:
        """The command's answer, once its outcome is released. Raises OutcomeUnknown or Unavailable."""
        partition = partition_for(command.execution_id, self._log.partitions)
        if reason := self._unavailable(partition):
            raise Unavailable(reason)
        key, loop = f"{command.execution_id}/{command.command_id}", asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        self._awaited.setdefault(key, []).append(answered)
        overdue = loop.call_later(self._timeout_s, _fail, answered, f"no outcome came in {self._timeout_s:g} s")
        try:
            sent = asyncio.ensure_future(self._inbox.send(partition, command_record(command)))
            sent.add_done_callback(lambda done: _sent(done, answered))
            return await answered
        finally:
            overdue.cancel()
            self._forget(key, answered)

    async def _follow(self, number: int) -> None:
        partition = self._log.partition(number)
        async for outcome in partition.follow(await partition.end()):
            first = outcome.records[0].record
            for answered in self._awaited.get(f"{first.key}/{first.attributes['commandid']}", ()):
                if not answered.done():
                    answered.set_result(answer_of(outcome, number))

    async def _give_up(self) -> None:
        """Nobody waits for a partition that has stopped: its sender learns why, and that it may be decided yet."""
        while True:
            await asyncio.sleep(GIVE_UP_S)
            for key, waiting in self._awaited.items():
                reason = self._unavailable(partition_for(key.partition("/")[0], self._log.partitions))
                for answered in waiting if reason else ():
                    _fail(answered, str(reason))

    def _forget(self, key: str, answered: asyncio.Future[Answer]) -> None:
        waiting = self._awaited.get(key, [])
        if answered in waiting:
            waiting.remove(answered)
        if not waiting:
            self._awaited.pop(key, None)


def _sent(sending: "asyncio.Future[object]", answered: asyncio.Future[Answer]) -> None:
    error = None if sending.cancelled() else sending.exception()
    if isinstance(error, WriteError):
        _fail(answered, f"it may not have arrived ({error})", error)
    elif error is not None and not answered.done():
        answered.set_exception(error)


def _fail(answered: asyncio.Future[Answer], why: str, cause: WriteError | None = None) -> None:
    if not answered.done():
        unknown = OutcomeUnknown(f"{why}; the command may be done yet: send it again as it is")
        unknown.__cause__ = cause
        answered.set_exception(unknown)
