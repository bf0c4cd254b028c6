"""What is measured, whole: a server on a fresh folder, a worker, a driver, and a broker where the log is Kafka's.

Apart from the benchmarks because all of them need the same site; they differ in what they do with it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from . import job, model, worker
from .driver import Answer, Command
from .errors import BenchError, WrongResult
from .processes import ROOT, Processes, Started, free_port
from .usage import children

READY_WITHIN_S: Final = 600.0
LOOK_S: Final = 0.01
SEEN_WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a site is made."""

    folder: Path
    log: str = ""
    """`kafka://…`; empty: the file of the embedded log."""
    broker_pid: int | None = None
    worker: str = "bench.worker"
    """The program that serves the tools."""
    model_s: float = 0.0
    tool_s: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    """Of the server, as `{"AGENTSPAN_MODEL_CALLS": "1000"}`."""

    @property
    def environment(self) -> dict[str, str]:
        """Of all its processes."""
        plugin = model.plugin(self.folder / "plugins")
        return {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(plugin), os.environ.get("PYTHONPATH", "")]),
            model.DELAY_S: str(self.model_s),
            worker.DELAY_S: str(self.tool_s),
            worker.EFFECTS: str(self.folder / "effects"),
            "AGENTSPAN_AUTOSTART": "0",
            **self.settings,
        }


class Site:
    """Running processes. The server may be killed and started again; the folder and the address stay."""

    def __init__(self, plan: Plan, processes: Processes, session: aiohttp.ClientSession, port: int) -> None:
        self.plan = plan
        self.url = f"http://localhost:{port}"
        self.data = plan.folder / "data"
        self._processes = processes
        self._session = session
        self._port = port
        self._running: dict[str, Started] = {}
        self._clickhouse: int | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, plan: Plan) -> AsyncIterator[Self]:
        """Started, with a worker that is known to the server."""
        port = free_port()
        environment = {**plan.environment, "AGENTSPAN_SERVER_URL": f"http://localhost:{port}"}
        timeout = aiohttp.ClientTimeout(total=SEEN_WITHIN_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            Processes(plan.folder, environment) as processes,
        ):
            site = cls(plan, processes, session, port)
            await site.start_server()
            await site.start_worker()
            site._running["driver"] = await processes.start("driver", "bench.driver", "--url", site.url, talks=True)
            yield site

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name, ClickHouse among them."""
        pids = {name: started.pid for name, started in self._running.items()}
        if self._clickhouse:
            pids["clickhouse"] = self._clickhouse
        if self.plan.broker_pid:
            pids["broker"] = self.plan.broker_pid
        return pids

    async def start_server(self) -> float:
        """The seconds until it takes work; then its history is waited for, too."""
        began = time.perf_counter()
        arguments = ["start", "--data", str(self.data), "--port", str(self._port)]
        arguments += ["--log", self.plan.log] if self.plan.log else []
        self._running["server"] = await self._processes.start("server", "agentspan_standalone", *arguments)
        await self._until(self._is_ready, "the server takes work", READY_WITHIN_S)
        ready_s = time.perf_counter() - began
        await self._until(self._has_history, "history can be read", READY_WITHIN_S)
        self._clickhouse = next(iter(children(self._running["server"].pid)), None)
        return ready_s

    async def start_worker(self, name: str = "worker") -> None:
        """Return when the server knows it."""
        known = len(await self._workers())
        self._running[name] = await self._processes.start(name, self.plan.worker)
        await self._until(lambda: self._has_workers(known + 1), "the worker is known to the server", READY_WITHIN_S)

    async def kill(self, *names: str) -> None:
        """SIGKILL; with the server its ClickHouse."""
        await asyncio.gather(*(self._running.pop(name).kill() for name in names))

    async def drive(self, command: Command) -> Answer:
        """Have the driver do it. Raises WrongResult with everything that was wrong."""
        driver = self._running["driver"].process
        assert driver.stdin
        assert driver.stdout
        driver.stdin.write(command.model_dump_json().encode() + b"\n")
        line = await driver.stdout.readline()
        self._processes.check()
        if not line:
            raise BenchError(f"the driver ended; see {self._running['driver'].log}")
        answer = Answer.model_validate_json(line)
        if answer.wrong:
            first = "\n".join(answer.wrong[:5])
            raise WrongResult(f"{len(answer.wrong)} of {command.count} executions are wrong or missing:\n{first}")
        if len(answer.executions) != command.count or len(set(answer.executions)) != command.count:
            raise WrongResult(f"{len(set(answer.executions))} executions ended, not {command.count}")
        return answer

    def check_effects(self, executions: Iterable[str]) -> None:
        """Each of these executions was refunded exactly once, and nobody else. Raises WrongResult."""
        path = self.plan.folder / "effects"
        made = Counter(path.read_text().split())
        due = {f"{execution_id}.{job.REFUND_CALL}" for execution_id in executions}
        twice = [key for key, times in made.items() if times > 1]
        if twice or made.keys() != due:
            missing, foreign = len(due - made.keys()), len(made.keys() - due)
            raise WrongResult(
                f"refunds: {len(twice)} made twice (as {twice[:1]}), {missing} missing, {foreign} of nobody; see {path}"
            )

    async def until_history_has(self, status: str, count: int, within_s: float = SEEN_WITHIN_S) -> float:
        """The seconds until ClickHouse has so many executions in this status. Raises WrongResult when it never has."""
        began = time.perf_counter()

        async def has_them() -> bool:
            return int((await self.get("/executions/counts"))["counts"].get(status, 0)) == count

        try:
            await self._until(has_them, "", within_s)
        except BenchError as error:
            found = (await self.get("/executions/counts"))["counts"]
            raise WrongResult(f"history has {found} after {within_s:g} s, not {count} {status}") from error
        return time.perf_counter() - began

    async def get(self, path: str, **params: str) -> Any:
        """The answer to a read; BenchError when there is none."""
        async with self._session.get(f"{self.url}/api/v1{path}", params=params) as response:
            if response.status >= 400:
                raise BenchError(f"GET {path}: {response.status} {await response.text()}")
            return await response.json()

    async def _until(self, there: Any, what: str, within_s: float) -> None:
        give_up = time.perf_counter() + within_s
        while not await there():
            self._processes.check()
            if time.perf_counter() > give_up:
                raise BenchError(f"not within {within_s:g} s: {what}; see {self.plan.folder}")
            await asyncio.sleep(LOOK_S)

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _has_history(self) -> bool:
        async with self._session.get(f"{self.url}/api/v1/executions/counts") as response:
            return response.status == 200

    async def _workers(self) -> list[Any]:
        return list((await self.get("/gateway/workers", agent=job.AGENT))["items"])

    async def _has_workers(self, count: int) -> bool:
        return len(await self._workers()) >= count


def with_settings(plan: Plan, **settings: str) -> Plan:
    """The plan with more settings of the server."""
    return replace(plan, settings={**plan.settings, **settings})
