"""Sending a command and learning its outcome, for every service that sends some.

The answer is read from the log, where the owner has left it: so it is durable before anybody hears it, and a process
that does not own the partition learns it in the same way.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from agentspan.eventlog._errors import LogError, WriteError
from agentspan.eventlog._murmur2 import partition_for
from agentspan.eventlog._partition import Log
from agentspan.eventlog._ports import Inbox
from agentspan.eventlog._records import Outcome
from agentspan.eventlog._turns import Turns
from agentspan.eventlog.messages import answer_of, command_record
from agentspan_schemas import Unreadable
from agentspan_schemas.answers import Answer, UnreadableCommand
from agentspan_schemas.commands import Claim, Command, Deciding, SendMessage

GIVE_UP_S = 1.0
"""How soon a sender learns that its partition has stopped."""

_FIRST = (Deciding, SendMessage, Claim)
"""What a person waits for, and a claim, whose grant runs out: they do not queue behind what machines send."""


class OutcomeUnknown(LogError):
    """No outcome in time: the command may be decided yet. Send it again with the same id to learn what came of it."""


class Unavailable(LogError):
    """Nobody can decide the command now, and nothing came of it: the text says why. Send it again later."""


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
        """`timeout_s`: after so long a sender gives up, a second later at most, whatever it waited for."""
        self._log = log
        self._inbox = inbox
        self._unavailable = unavailable
        self._timeout_s = timeout_s
        self._waiting = [_Waiting() for _ in range(log.partitions)]
        self._turns = Turns()

    async def run(self) -> None:
        """Follow the log's end, for as long as commands are submitted."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._log.partitions):
                group.create_task(self._follow(number))
            group.create_task(self._give_up())

    async def submit(self, command: Command) -> Answer:
        """The command's answer, once its outcome is released. Raises OutcomeUnknown or Unavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout_s
        if not isinstance(command, _FIRST):
            await self._turn(until)
        partition = partition_for(command.execution_id, self._log.partitions)
        if reason := self._unavailable(partition):
            raise Unavailable(reason)
        waiting = self._waiting[partition]
        answered: asyncio.Future[Answer] = loop.create_future()
        key = waiting.begin(command, answered, until)
        try:
            sending = asyncio.ensure_future(self._inbox.send(partition, command_record(command)))
            if sending.done():
                _sent(answered, sending)
            else:
                sending.add_done_callback(partial(_sent, answered))
            return await answered
        finally:
            waiting.end(key, answered)

    async def _turn(self, until: float) -> None:
        try:
            await self._turns.mine(until)
        except TimeoutError:
            raise Unavailable(f"in {self._timeout_s:g} s the command was not sent: too many came before it") from None

    async def _follow(self, number: int) -> None:
        partition, waiting = self._log.partition(number), self._waiting[number]
        async for outcomes in partition.batches(await partition.end()):
            for outcome in outcomes:
                for answered in waiting.of(outcome):
                    _answer(answered, outcome, number)

    async def _give_up(self) -> None:
        """Nobody waits for ever, nor for a partition that has stopped: its sender learns why, and that it may be
        decided yet."""
        loop, late = asyncio.get_running_loop(), f"no outcome came in {self._timeout_s:g} s"
        while True:
            await asyncio.sleep(min(GIVE_UP_S, self._timeout_s))
            for number, waiting in enumerate(self._waiting):
                reason = self._unavailable(number)
                for answered in waiting.overdue(math.inf if reason else loop.time()):
                    _fail(answered, reason or late)


class _Waiting:
    """Those who wait for what a partition decides."""

    def __init__(self) -> None:
        self._answered: dict[str, list[asyncio.Future[Answer]]] = {}
        self._until: dict[asyncio.Future[Answer], float] = {}

    def begin(self, command: Command, answered: asyncio.Future[Answer], until: float) -> str:
        """Let one wait; its key ends it."""
        key = f"{command.execution_id}/{command.command_id}"
        self._answered.setdefault(key, []).append(answered)
        self._until[answered] = until
        return key

    def end(self, key: str, answered: asyncio.Future[Answer]) -> None:
        del self._until[answered]
        others = self._answered[key]
        others.remove(answered)
        if not others:
            del self._answered[key]

    def of(self, outcome: Outcome) -> Iterable[asyncio.Future[Answer]]:
        """Those whose command it is of."""
        first = outcome.records[0].record
        return self._answered.get(f"{first.key}/{first.attributes.get('commandid', '')}", ())

    def overdue(self, now: float) -> Iterable[asyncio.Future[Answer]]:
        """Those whose time is over by `now`."""
        return [answered for answered, until in self._until.items() if until <= now]


def _answer(answered: asyncio.Future[Answer], outcome: Outcome, number: int) -> None:
    try:
        _tell(answered, answer_of(outcome, number))
    except Unreadable as error:
        _fail(answered, f"what came of it can't be read here ({error}): upgrade this process")


def _tell(answered: asyncio.Future[Answer], said: Answer | UnreadableCommand) -> None:
    if answered.done():
        return
    if isinstance(said, UnreadableCommand):  # as between two releases: nothing is remembered under its id
        why = f"its orchestrator can't read all that it takes ({said.error}); upgrade the orchestrators first"
        answered.set_exception(Unavailable(f"the command was not decided: {why}, then send it again as it is"))
    else:
        answered.set_result(said)


def _sent(answered: asyncio.Future[Answer], sending: "asyncio.Future[object]") -> None:
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
