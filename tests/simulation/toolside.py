"""The tool-runners with their gateways, and the workers with their way to them: real ones over requests that get lost,
late, or are answered to nobody.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from agentspan.agents import NotFound, ServerUnavailable, Tool
from agentspan.agents.worker import ToolRunner as ToolCode
from agentspan.agents.worker import ToolThreads, Worker
from agentspan.eventlog.commands import CommandLog
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.http import ReportAnswer, SessionGrant, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask
from agentspan_tool_runner.models import Providers
from agentspan_tool_runner.service import Draining, Gateway, ToolRunner, UnknownSession
from tests.simulation.agents import AGENT, TOOL_HASHES, VERSION, Script
from tests.simulation.auditor import Auditor
from tests.simulation.owners import LEASE_S, Broker
from tests.simulation.ports import AuditedCommands
from tests.simulation.process import Process

T = TypeVar("T")

Line = ToolTask | Exception | None
"""What a stream of tasks carries: a task, why there are none, or a sign of life."""

_END = Exception("the stream ended")

SUBMIT_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_S = 5.0


def commands_of(process: Process, broker: Broker, auditor: Auditor) -> AuditedCommands:
    """A process's way to send commands, followed for as long as the process lives."""
    commands = CommandLog(broker.log.over(process.link), broker.inbox.over(process.link), timeout_s=SUBMIT_TIMEOUT_S)
    process.start(commands.run())
    return AuditedCommands(commands, auditor)


class Runner:
    """One tool-runner: the model lane, and a gateway that workers find as long as it lives."""

    def __init__(self, process: Process, broker: Broker, auditor: Auditor, script: Script) -> None:
        self.process = process
        runner = ToolRunner(
            tasks=broker.tasks.over(process.link),
            workers=broker.workers.over(process.link),
            commands=commands_of(process, broker, auditor),
            providers=Providers({"script": lambda: script}),
            definition_of=_definition_of,
            now=process.now,
            sleep=process.sleep,
            new_id=process.new_id,
            chance=process.chance,
            lease_s=LEASE_S,
        )
        self.gateway: Gateway = runner.gateway
        process.start(runner.run())


async def _definition_of(name: str, version: str) -> AgentDefinition | None:
    return AGENT.definition if (name, version) == (AGENT.name, VERSION) else None


class Wire:
    """`WorkerTransport` to whichever runner is there when a session is opened."""

    def __init__(self, process: Process, runners: Callable[[], list[Runner]], chances: random.Random) -> None:
        self._process = process
        self._runners = runners
        self._chances = chances
        self._address: dict[str, str] = {}

    async def open_session(self, request: SessionRequest) -> SessionGrant:
        """Say hello to one of the runners."""
        runners = self._runners()
        if not runners:
            raise ServerUnavailable("no gateway is up")
        runner = self._chances.choice(runners)

        async def hello() -> SessionGrant:
            return runner.gateway.hello(request)

        grant = await self._ask(runner, hello)
        self._address[grant.session_id] = runner.process.name
        return grant

    async def tasks(self, session_id: str) -> AsyncGenerator[ToolTask | None, None]:
        """The session's tasks."""
        runner = self._runner(session_id)
        arrived: asyncio.Queue[Line] = asyncio.Queue()
        await self._process.link.cross()
        serving = runner.process.start(_serve(runner, session_id, arrived))
        serving.add_done_callback(lambda done: arrived.put_nowait(_END))
        try:
            while (line := await arrived.get()) is not _END:
                await self._process.link.cross()
                if isinstance(line, Exception):
                    raise line
                yield line
        finally:
            serving.cancel()

    async def report(self, session_id: str, report: WorkerReport) -> ReportAnswer:
        """Claims, declines and results."""
        runner = self._runner(session_id)
        return await self._ask(runner, lambda: runner.gateway.report(session_id, report))

    async def close(self, session_id: str) -> None:
        """Good-bye."""
        runner = self._runner(session_id)

        async def leave() -> None:
            runner.gateway.leave(session_id)

        await self._ask(runner, leave)

    def _runner(self, session_id: str) -> Runner:
        """Whoever answers at the address where the session was opened, be it a new one that does not know it."""
        for runner in self._runners():
            if runner.process.name == self._address[session_id]:
                return runner
        raise ServerUnavailable("the gateway is down")

    async def _ask(self, runner: Runner, handle: Callable[[], Awaitable[T]]) -> T:
        """One request: it may be lost before or after it was handled, and neither is told apart by who asks."""
        answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._process.link.cross()
                if not runner.process.alive or self._lost():
                    raise ServerUnavailable("the request was lost")
                runner.process.start(_handle(runner, handle, answered))
                answer = await answered
                await self._process.link.cross()
                if self._lost():
                    raise ServerUnavailable("the answer was lost")
                return answer
        except TimeoutError:
            raise ServerUnavailable("no answer in time") from None
        except UnknownSession as error:
            raise NotFound(str(error)) from error
        except Draining as error:
            raise ServerUnavailable(str(error)) from error

    def _lost(self) -> bool:
        faults = self._process.link.faults
        return faults.happens(faults.lose)


async def _handle(runner: Runner, handle: Callable[[], Awaitable[T]], answered: asyncio.Future[T]) -> None:
    try:
        await runner.process.link.cross()
        answer = await handle()
        await runner.process.link.cross()
    except Exception as error:
        if not answered.done():
            answered.set_exception(error)
        return
    if not answered.done():
        answered.set_result(answer)


async def _serve(runner: Runner, session_id: str, arrived: asyncio.Queue[Line]) -> None:
    try:
        with runner.gateway.stream(session_id) as stream:
            async for batch in stream:
                await runner.process.link.cross()
                for task in batch:
                    arrived.put_nowait(None if task is None else ToolTask.model_validate_json(task))
    except UnknownSession as error:
        arrived.put_nowait(NotFound(str(error)))


class Hand:
    """A worker process with the agent's tools."""

    def __init__(self, process: Process, wire: Wire) -> None:
        self.process = process
        code = ToolCode(_find, ToolThreads())

        self.worker = Worker(wire, process, process.new_id, code, name=process.name, sleep=process.sleep)
        self.worker.offer({AGENT.name: TOOL_HASHES})
        process.start(self.worker.run())


def _find(agent: str, tool: str) -> Tool[..., Any] | None:
    return AGENT.tool(tool) if agent == AGENT.name else None
