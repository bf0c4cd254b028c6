"""What is measured, whole: a server on a fresh folder, a worker, a driver, and a broker where the log is Kafka's.

Apart from the benchmarks because all of them need the same site; they differ in what they do with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from . import job, model, worker
from .driver import Answer, Command
from .errors import BenchError, WrongResult
from .processes import ROOT, Processes, Started, free_port
from .usage import children

READY_WITHIN_S: Final = 600.0
TOPIC_PREFIX: Final = "bench"
LOOK_S: Final = 0.02
SEEN_WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a site is made."""

    folder: Path
    log: str = ""
    """`kafka://…`; empty: the file of the embedded log."""
    bootstrap: str = ""
    """Of the cluster, where there is one."""
    broker_pid: int | None = None
    worker: str = "bench.worker"
    """The program that serves the tools."""
    model_s: float = 0.0
    tool_s: float = 0.0
    roles: str = ""
    """Of the server; empty: all. Without history there is no driver, which follows it."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of the server, as `{"AGENTSPAN_MODEL_CALLS": "1000"}`."""

    @property
    def effects(self) -> Path:
        """The file of what the tools did."""
        return self.folder / "effects"

    @property
    def environment(self) -> dict[str, str]:
        """Of all its processes."""
        plugin = model.plugin(self.folder / "plugins")
        return {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(plugin), os.environ.get("PYTHONPATH", "")]),
            model.DELAY_S: str(self.model_s),
            worker.DELAY_S: str(self.tool_s),
            worker.EFFECTS: str(self.effects),
            "AGENTSPAN_AUTOSTART": "0",
            **self.settings,
        }


class Site:
    """Running processes. The server may be killed and started again; the folder and the address stay."""

    def __init__(self, plan: Plan, processes: Processes, session: aiohttp.ClientSession, port: int) -> None:
        self.plan = plan
        self.url = f"http://localhost:{port}"
        self.data = plan.folder / "data"
        self._effects = plan.effects
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
            if not plan.roles:
                await site.until_history()
                await site.start_driver()
            await site.start_worker()
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
        """The seconds until it takes work."""
        began = time.perf_counter()
        arguments = ["start", "--data", str(self.data), "--port", str(self._port)]
        arguments += ["--log", self.plan.log] if self.plan.log else []
        arguments += ["--roles", self.plan.roles] if self.plan.roles else []
        self._running["server"] = await self._processes.start("server", "agentspan_standalone", *arguments)
        await self.until(self._is_ready, "the server takes work", READY_WITHIN_S)
        return time.perf_counter() - began

    async def until_history(self) -> None:
        """Return when ClickHouse answers."""
        await self.until(self._has_history, "history can be read", READY_WITHIN_S)
        self._clickhouse = next(iter(children(self._running["server"].pid)), None)

    async def start_worker(self, name: str = "worker") -> None:
        """Return when the server knows it."""
        started = self._running[name] = await self._processes.start(name, self.plan.worker)
        await self.until(lambda: self._knows(started), f"the {name} is known to the server", READY_WITHIN_S)

    async def start_driver(self, name: str = "driver") -> None:
        """A process to do the driving; more than one can drive at the same time."""
        arguments = ["--url", self.url, "--effects", str(self._effects)]
        self._running[name] = await self._processes.start(name, "bench.driver", *arguments, talks=True)

    async def kill(self, *names: str) -> None:
        """SIGKILL to each at once; the server's ClickHouse is one of them where it is named."""
        for pid in [self.pids[name] for name in names]:
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*(self._running.pop(name).kill() for name in names if name in self._running))

    async def end(self, *names: str) -> None:
        """As a supervisor ends them."""
        for name in names:
            await self._processes.end(self._running.pop(name))

    def lose_caches(self) -> None:
        """As on another machine: on a cluster, what a server needs is on the topics. Its ClickHouse is kept, as one
        that many share would be."""
        for path in self.data.iterdir():
            if path.is_file():
                path.unlink()

    async def drive(self, command: Command, by: str = "driver") -> Answer:
        """Have a driver do it. Raises WrongResult with everything that was wrong."""
        driver = self._running[by].process
        assert driver.stdin
        assert driver.stdout
        driver.stdin.write(command.model_dump_json().encode() + b"\n")
        line = await driver.stdout.readline()
        self._processes.check()
        if not line:
            raise BenchError(f"the {by} ended; see {self._running[by].log}")
        answer = Answer.model_validate_json(line)
        if answer.wrong:
            first = "\n".join(answer.wrong[:5])
            raise WrongResult(f"{len(answer.wrong)} of {command.count} executions are wrong or missing:\n{first}")
        if command.do != "review" and len(set(answer.executions)) != command.count:
            raise WrongResult(f"{len(set(answer.executions))} executions ended, not {command.count}")
        return answer

    def effects(self) -> int:
        """How many refunds were made."""
        return self._effects.read_bytes().count(b"\n") if self._effects.exists() else 0

    def check_effects(self, executions: Iterable[str]) -> None:
        """Each of these executions was refunded exactly once, and nobody else. Raises WrongResult."""
        made = Counter(self._effects.read_text().split())
        due = {f"{execution_id}.{job.REFUND_CALL}" for execution_id in executions}
        twice = [key for key, times in made.items() if times > 1]
        if twice or made.keys() != due:
            missing, foreign = len(due - made.keys()), len(made.keys() - due)
            raise WrongResult(
                f"refunds: {len(twice)} made twice (as {twice[:1]}), {missing} missing, {foreign} of nobody;"
                f" see {self._effects}"
            )

    async def until_history_has(self, status: str, count: int, within_s: float = SEEN_WITHIN_S) -> float:
        """The seconds until ClickHouse has so many executions in this status. Raises WrongResult when it never has."""
        began = time.perf_counter()

        async def has_them() -> bool:
            return int((await self.get("/executions/counts"))["counts"].get(status, 0)) == count

        try:
            await self.until(has_them, "", within_s)
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

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a write; BenchError when it was refused."""
        async with self._session.post(f"{self.url}/api/v1{path}", json=body) as response:
            if response.status >= 400:
                raise BenchError(f"POST {path}: {response.status} {await response.text()}")
            return await response.json()

    async def metrics(self, *names: str) -> dict[str, float]:
        """What the server says of itself: of each of these, the sum of all its series."""
        async with self._session.get(f"{self.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        sums = dict.fromkeys(names, 0.0)
        for line in lines:
            name = line.partition("{")[0].partition(" ")[0]
            if name in sums:
                sums[name] += float(line.rpartition(" ")[2])
        return sums

    async def until(self, there: Callable[[], Awaitable[bool]], what: str, within_s: float) -> None:
        """Look again and again. Raises BenchError when a process has ended meanwhile, or the time is up."""
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

    async def _knows(self, worker: Started) -> bool:
        """By its name, which ends with its process: one that is gone may be listed for a while."""
        sessions = (await self.get("/gateway/workers", agent=job.AGENT))["items"]
        return any(session["worker"].endswith(f"/{worker.pid}") for session in sessions)
