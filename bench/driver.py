"""The driver: a process of its own that does the job over and over, as many at a time as it is told.

It takes one command a line on stdin and gives one answer a line on stdout, so that whoever measures the processes knows
when the work began and ended. `python -m bench.driver --url http://localhost:6767`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvloop
from pydantic import BaseModel

from . import job
from .client import Clients
from .errors import BenchError, WrongResult
from .reviewer import Reviewer
from .watch import Request, Started

Do = Literal["job", "park", "finish", "flood", "review"]
"""`job`: from start to end. `park`: until it waits. `finish`: approve what was parked, and see it end.
`flood`: only send the ticket. `review`: approve whatever waits, until so many have completed."""


class Command(BaseModel):
    """Work for the driver: the tickets `<prefix>-<first>` and on."""

    do: Do
    prefix: str
    first: int = 0
    count: int
    concurrency: int
    patience_s: float = 60.0
    """An execution that has not come as far as it should after so long is missing."""


class Answer(BaseModel):
    """What came of it."""

    took_s: float
    executions: list[str]
    start_to_waiting_ms: list[float] = []
    approve_to_completed_ms: list[float] = []
    done_at: list[float] = []
    """By the machine's monotonic clock."""
    decision_ms: list[float] = []
    resolved: int = 0
    wrong: list[str] = []


@dataclass(slots=True)
class Driver:
    """Two clients, and what is parked by them."""

    clients: Clients
    effects: Path
    parked: dict[str, tuple[Started, Request]] = field(default_factory=dict)
    """Ticket to execution and request."""

    async def obey(self, command: Command) -> Answer:
        """Do the work."""
        answer = Answer(took_s=0.0, executions=[])
        began = time.perf_counter()
        if command.do == "review":
            await self._review(command, answer)
        else:
            await self._loop(command, answer)
        answer.took_s = time.perf_counter() - began
        return answer

    async def _review(self, command: Command, answer: Answer) -> None:
        reviewer = Reviewer(self.clients.approver, self.effects)
        async with asyncio.timeout(command.patience_s):
            await reviewer.until_completed(command.count)
        answer.decision_ms, answer.resolved = reviewer.decision_ms, reviewer.resolved

    async def _loop(self, command: Command, answer: Answer) -> None:
        """Closed: whoever has finished one begins the next."""
        does = {"job": self.job, "park": self.park, "finish": self.finish, "flood": self.flood}[command.do]
        names = iter([f"{command.prefix}-{number}" for number in range(command.first, command.first + command.count)])
        async with asyncio.TaskGroup() as group:
            for _ in range(command.concurrency):
                group.create_task(_each(names, does, answer, command.patience_s))

    async def job(self, name: str, answer: Answer) -> None:
        """One ticket, from start to end."""
        began = time.perf_counter()
        started = await self.clients.customer.start(name)
        with self.clients.watch.follow(started) as followed:
            request = await followed.until_waiting()
            waiting = time.perf_counter()
            await self.clients.approver.approve(request)
            output = await followed.until_done()
            done = time.perf_counter()
        if not job.is_right(followed.types):
            raise WrongResult(f"{started.execution_id} has the events {followed.types}, not {list(job.EVENTS)}")
        _check_output(started.execution_id, name, output)
        answer.executions.append(started.execution_id)
        answer.done_at.append(done)
        answer.start_to_waiting_ms.append((waiting - began) * 1000)
        answer.approve_to_completed_ms.append((done - waiting) * 1000)

    async def park(self, name: str, answer: Answer) -> None:
        """One ticket, until it waits."""
        started = await self.clients.customer.start(name)
        with self.clients.watch.follow(started) as followed:
            self.parked[name] = started, await followed.until_waiting()
        answer.executions.append(started.execution_id)

    async def flood(self, name: str, answer: Answer) -> None:
        """One ticket sent, and no more."""
        answer.executions.append(await self.clients.customer.hand_in(name))

    async def finish(self, name: str, answer: Answer) -> None:
        """One parked ticket, to its end; the server may be away at first."""
        started, request = self.parked.pop(name)
        began = time.perf_counter()
        with self.clients.watch.follow(started, request.seq) as followed:
            await self.clients.approver.approve(request)
            output = await followed.until_done()
        _check_output(started.execution_id, name, output)
        answer.executions.append(started.execution_id)
        answer.approve_to_completed_ms.append((time.perf_counter() - began) * 1000)


async def _each(
    names: Iterable[str], does: Callable[[str, Answer], Awaitable[None]], answer: Answer, patience_s: float
) -> None:
    for name in names:
        try:
            async with asyncio.timeout(patience_s):
                await does(name, answer)
        except BenchError as error:
            answer.wrong.append(str(error))
        except TimeoutError:
            answer.wrong.append(f"{name}: nothing came of it in {patience_s:g} s")


def _check_output(execution_id: str, name: str, output: object) -> None:
    if output != job.right_answer(name):
        raise WrongResult(f"{execution_id} ended with {output!r}, not with {job.right_answer(name)!r}")


async def _serve(url: str, effects: Path) -> None:
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Clients(url) as clients:
        driver = Driver(clients, effects)
        while line := await reader.readline():
            answer = await driver.obey(Command.model_validate_json(line))
            print(answer.model_dump_json(), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve commands until the end of stdin."""
    parser = argparse.ArgumentParser(prog="python -m bench.driver")
    parser.add_argument("--url", required=True)
    parser.add_argument("--effects", type=Path, required=True, help="what the tools have done")
    options = parser.parse_args(argv)
    uvloop.run(_serve(options.url, options.effects))


if __name__ == "__main__":
    main()
