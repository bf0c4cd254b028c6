"""ClickHouse goes away, hangs, and answers too late: the log waits, nothing is lost or doubled, and it is said."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from agentspan.eventlog.memory import MemoryLog
from agentspan_query.adapters.clickhouse import Address, Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.errors import HistoryUnavailable
from agentspan_query.projection import LONGEST_PAUSE_S
from tests.support.eventually import WITHIN_S
from tests.support.orchestration import EXECUTION, World, process, start
from tests.support.query_history import running_child
from tests.support.query_reading import reading, soon, whole_run

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = ExecutionFilter()
DATABASES = count(1)
Fault = Literal["none", "closed before", "closed after", "silent after", "502"]


@dataclass
class Proxy:
    """Between a client and a ClickHouse: one request a connection, and what is to go wrong with inserts."""

    upstream: Address
    port: int = 0
    fault: Fault = "none"
    inserts: int = 0
    faults: int = 0
    server: asyncio.Server | None = None
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await _body(reader, head)
        is_insert = b"INSERT INTO" in body[:200] or b"INSERT" in head.split(b"\r\n")[0]
        self.inserts += is_insert
        fault = self.fault if is_insert else "none"
        self.faults += fault != "none"
        if fault == "closed before":
            writer.close()
            return
        if fault == "502":
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        answer = await self._asked(head, body)
        match fault:
            case "closed after":
                writer.close()
            case "silent after":
                self.held.append(writer)
            case _:
                writer.write(answer)
                await writer.drain()
                writer.close()

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        lines = [
            line for line in head[:-4].split(b"\r\n") if not line.lower().startswith((b"connection:", b"transfer-"))
        ]
        lines = [line for line in lines if not line.lower().startswith(b"content-length")]
        lines += [b"Connection: close", b"Content-Length: %d" % len(body)]
        reader, writer = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        return answer


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    headers = dict(line.lower().split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
    if headers.get(b"transfer-encoding") != b"chunked":
        return await reader.readexactly(int(headers.get(b"content-length", b"0")))
    body = b""
    while size := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


@asynccontextmanager
async def proxied(child: ClickHouseChild) -> AsyncIterator[Proxy]:
    proxy = Proxy(child.address)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        for writer in proxy.held:
            writer.close()
        server.close()


class Pauses:
    """Of a projection that ClickHouse refuses: told, and cut short."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._taken = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        if seconds >= 0.5:
            async with self._taken:
                self.taken.append(seconds)
                self._taken.notify_all()
        await soon(seconds)

    async def until(self, times: int = 1) -> None:
        """Return when it was refused so often."""
        async with asyncio.timeout(WITHIN_S), self._taken:
            await self._taken.wait_for(lambda: len(self.taken) >= times)


async def raw_rows(database: Database) -> tuple[int, int]:
    """Rows as they were written, those that a merge would fold included."""
    [(events,)] = await database.query("SELECT count() FROM events", {})
    [(executions,)] = await database.query("SELECT count() FROM executions", {})
    return events, executions


@pytest.mark.parametrize("fault", ["closed before", "closed after", "silent after", "502"])
async def test_an_insert_whose_answer_is_lost_is_made_again_and_doubles_nothing(
    child: ClickHouseChild, threads: Executor, fault: Fault
) -> None:
    world = World(MemoryLog(1))
    async with proxied(child) as proxy, process(world) as here:
        address = Address(host="127.0.0.1", port=proxy.port, password=child.address.password)
        name = f"away_{next(DATABASES)}"
        plain = Database(child.address, threads, name=name)
        await migrate(plain)
        database = Database(address, threads, name=name, answer_within_s=1)
        await whole_run(here)
        proxy.fault = fault
        pauses = Pauses()
        async with reading(world, database, sleep=pauses.sleep) as read:
            await pauses.until(3)
            assert "ClickHouse at 127.0.0.1" in (read.projection.trouble or "")
            proxy.fault = "none"
            await read.projected()
            assert read.projection.trouble is None
            stored = await ClickHouseHistory(plain).events(EXECUTION)
        assert proxy.faults >= 3
        assert [event.seq for event in stored] == list(range(1, 12))
        assert await raw_rows(plain) == (11, 1)
        database.close()
        plain.close()


async def test_pauses_grow_up_to_a_bound_while_clickhouse_is_away(child: ClickHouseChild, threads: Executor) -> None:
    world = World(MemoryLog(1))
    async with proxied(child) as proxy, process(world) as here:
        address = Address(host="127.0.0.1", port=proxy.port, password=child.address.password)
        database = Database(address, threads, name=f"away_{next(DATABASES)}")
        await migrate(database)
        await here.send(start())
        proxy.fault = "closed before"
        pauses = Pauses()
        async with reading(world, database, sleep=pauses.sleep) as read:
            await pauses.until(8)
            proxy.fault = "none"
            await read.projected()
        assert pauses.taken[:4] == [0.5, 1.0, 2.0, 4.0]
        assert max(pauses.taken) == LONGEST_PAUSE_S
        database.close()


async def test_a_clickhouse_that_is_stopped_and_killed_under_load_lacks_nothing_afterwards(
    tmp_path: Path, threads: Executor
) -> None:
    world = World(MemoryLog(1))
    async with running_child(tmp_path) as child, process(world) as here:
        database = Database(child.address, threads, answer_within_s=1)
        await migrate(Database(child.address, threads))
        pauses = Pauses()
        async with reading(world, database, sleep=pauses.sleep) as read:
            for number in range(60):
                match number:
                    case 15:
                        os.kill(_pid(child), signal.SIGSTOP)
                    case 30:
                        await pauses.until()
                        os.kill(_pid(child), signal.SIGCONT)
                    case 45:
                        os.kill(_pid(child), signal.SIGKILL)
                await here.send(start(f"exec-{number:02}"))
            await child.ready()
            await read.projected()
            page = await read.query.executions(ALL, cursor=None, limit=100)
        assert [item.execution_id for item in page.items] == sorted((f"exec-{n:02}" for n in range(60)), reverse=True)
        [(rows, distinct)] = await database.query("SELECT count(), uniqExact(execution_id, seq) FROM events FINAL", {})
        assert rows == distinct == 120
        database.close()


async def test_memory_is_bounded_and_lists_say_how_old_they_are_while_the_projection_is_far_behind(
    child: ClickHouseChild, threads: Executor
) -> None:
    world = World(MemoryLog(1))
    async with proxied(child) as proxy, process(world) as here:
        address = Address(host="127.0.0.1", port=proxy.port, password=child.address.password)
        database = Database(address, threads, name=f"away_{next(DATABASES)}")
        await migrate(database)
        pauses = Pauses()
        async with reading(world, database, sleep=pauses.sleep, most=1000, most_bytes=20_000, keep=10) as read:
            await here.send(start("exec-first"))
            await read.projected()
            known = world.clock.at
            proxy.fault = "closed before"
            world.clock.advance(60)
            for number in range(100):
                await here.send(start(f"exec-{number:02}"))
            await pauses.until()
            kept = [item for number in range(100) for item in read.tail.events(f"exec-{number:02}")]
            assert 0 < sum(len(item.raw) for item in kept) <= 20_000
            assert (await read.query.executions(ALL, cursor=None, limit=1)).as_of == known
            with pytest.raises(HistoryUnavailable):
                async with asyncio.timeout(WITHIN_S):
                    await read.query.execution("exec-00")
            proxy.fault = "none"
            await read.projected()
            assert (await read.query.executions(ALL, cursor=None, limit=1)).as_of == world.clock.at
            assert await read.query.execution("exec-00") is not None
        database.close()


def _pid(child: ClickHouseChild) -> int:
    assert child.pid is not None
    return child.pid
