"""The embedded ClickHouse, asked by the client that a real one is asked by; then killed, starved and orphaned."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.errors import HistoryFailed, HistoryUnavailable
from tests.support.query_history import running_child

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def database(child: ClickHouseChild, threads: Executor) -> AsyncIterator[Database]:
    database = Database(child.address, threads, name="tried")
    await database.create()
    await database.call(lambda client: client.command("DROP TABLE IF EXISTS t"))
    await database.call(
        lambda client: client.command(
            "CREATE TABLE t (n UInt32, s String) ENGINE = MergeTree ORDER BY n"
            " SETTINGS non_replicated_deduplication_window = 10"
        )
    )
    yield database
    database.close()


ODD = ["", "it's", 'a "b"', "tab\there", "line\nbreak", "back\\slash", "\\'", "é🙂", "{x:String}", "a" * 20_000]


@pytest.mark.parametrize("text", ODD)
async def test_a_bound_text_arrives_as_it_is(database: Database, text: str) -> None:
    assert await database.query("SELECT {x:String}, {many:Array(String)}", {"x": text, "many": [text, "b"]}) == [
        (text, [text, "b"])
    ]


async def test_rows_are_inserted_and_read(database: Database) -> None:
    rows = [(n, text) for n, text in enumerate(ODD)]
    await database.insert("t", ["n", "s"], rows, token="all")
    assert await database.query("SELECT n, s FROM t ORDER BY n", {}) == rows


async def test_a_repeated_token_writes_nothing(database: Database) -> None:
    for token, n in (("one", 1), ("one", 1), ("two", 2)):
        await database.insert("t", ["n", "s"], [(n, "x")], token=token)
    assert await database.query("SELECT n FROM t ORDER BY n", {}) == [(1,), (2,)]


async def test_a_setting_holds_for_its_statement_alone(database: Database) -> None:
    default = await database.query("SELECT getSetting('max_threads')", {})
    changed = await database.call(
        lambda client: client.query("SELECT getSetting('max_threads')", settings={"max_threads": 7}).result_rows
    )
    assert changed == [(7,)]
    for _ in range(4):  # whichever connection answers
        assert await database.query("SELECT getSetting('max_threads')", {}) == default


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT nothing_of_this_name", 47), ("SELECT 1 FROM no_such_table", 60), ("SELEC 1", 62)],
)
async def test_an_error_has_clickhouses_number_and_text(database: Database, sql: str, code: int) -> None:
    with pytest.raises(HistoryFailed, match="refused a statement") as failed:
        await database.query(sql, {})
    assert failed.value.code == code


async def test_a_broken_insert_is_refused_whole_and_the_next_one_works(
    child: ClickHouseChild, database: Database
) -> None:
    answer = await _post(child, b"INSERT INTO tried.t (n, s) FORMAT Native\n" + b"\x02\x01broken")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "33")
    await database.insert("t", ["n", "s"], [(1, "x")], token="after")
    assert await database.query("SELECT count() FROM t", {}) == [(1,)]


async def test_a_read_does_not_wait_for_a_write(database: Database) -> None:
    slow = "INSERT INTO t SELECT number, toString(sleepEachRow(0.5)) FROM numbers(4) SETTINGS max_block_size = 1"
    writing = asyncio.create_task(database.call(lambda client: client.command(slow)))
    while not await database.query("SELECT 1 FROM system.processes WHERE query LIKE 'INSERT INTO t SELECT%'", {}):
        assert not writing.done()
    assert await database.query("SELECT count() < 4 FROM t", {}) == [(1,)]
    assert not writing.done()
    await writing
    assert await database.query("SELECT count() FROM t", {}) == [(4,)]


async def test_ping_needs_no_password(child: ClickHouseChild) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{child.address.port}/ping")
    assert (answer.status_code, answer.text) == (200, "Ok.\n")


@pytest.mark.parametrize("header", [None, "Basic !!!", "Bearer x", "Basic ZGVmYXVsdDo="])
async def test_nobody_gets_in_without_the_password(child: ClickHouseChild, header: str | None) -> None:
    async with httpx.AsyncClient(headers={"Authorization": header} if header else {}) as client:
        answer = await client.post(f"http://127.0.0.1:{child.address.port}/", content=b"SELECT 1")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")


async def test_a_wrong_password_is_an_error_that_names_itself(child: ClickHouseChild, threads: Executor) -> None:
    database = Database(replace(child.address, password="guessed"), threads)
    with pytest.raises(HistoryFailed, match="Authentication failed") as failed:
        await database.create()
    assert failed.value.code == 516


async def test_nobody_there_is_unavailable(threads: Executor, child: ClickHouseChild) -> None:
    with pytest.raises(HistoryUnavailable, match="try again"):
        await Database(replace(child.address, port=1), threads).query("SELECT 1", {})


async def test_the_password_is_in_no_list_of_processes(child: ClickHouseChild) -> None:
    process = psutil.Process(child.pid)
    assert child.address.password not in " ".join([*process.cmdline(), *process.environ().values()])
    assert child.address.password not in repr(child.address)


async def test_a_killed_child_comes_back_at_the_same_address_with_its_rows(tmp_path: Path, threads: Executor) -> None:
    async with running_child(tmp_path) as child:
        database = Database(child.address, threads)
        await database.create()
        await database.call(lambda client: client.command("CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n"))
        await database.insert("t", ["n"], [(1,)], token="1")
        first = child.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, [_process(first)], 10)
        assert await database.query("SELECT n FROM t", {}) == [(1,)]
        await child.ready()
        assert child.pid != first
        database.close()


async def test_a_query_over_the_memory_limit_fails_alone(tmp_path: Path, threads: Executor) -> None:
    async with running_child(tmp_path, memory_bytes=400 * 1024 * 1024) as child:
        database, pid = Database(child.address, threads, name="default"), child.pid
        with pytest.raises(HistoryFailed) as failed:
            await database.query("SELECT groupArray(toString(number) || repeat('x', 100)) FROM numbers(10000000)", {})
        assert failed.value.code == 241
        assert await database.query("SELECT 1", {}) == [(1,)]
        assert child.pid == pid
        database.close()


async def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    async with running_child(tmp_path) as child:
        pid = child.pid
        assert pid
    assert child.pid is None
    assert not psutil.pid_exists(pid)


PARENT = """
import asyncio, sys
from pathlib import Path
from agentspan_query.adapters.clickhouse_child import ClickHouseChild

async def main():
    child = ClickHouseChild(Path(sys.argv[1]))
    task = asyncio.create_task(child.run())
    await child.ready()
    print(child.pid, flush=True)
    await task

asyncio.run(main())
"""


async def test_a_child_dies_with_a_killed_parent_and_the_next_parent_gets_its_folder(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    orphan = _process(int(await parent.stdout.readline()))
    parent.kill()
    async with running_child(tmp_path) as child:
        assert child.pid
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    await parent.wait()


async def test_what_a_killed_start_leaves_is_in_its_own_folder_and_gone_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    untouched = temporary.stat().st_mtime_ns
    left = tmp_path / "history" / "scratch" / "clickhouse-embedded-1"
    left.mkdir(parents=True)
    async with running_child(tmp_path / "history"):
        assert not left.exists()
    assert temporary.stat().st_mtime_ns == untouched


async def _post(child: ClickHouseChild, body: bytes) -> httpx.Response:
    credentials = base64.b64encode(f"default:{child.address.password}".encode()).decode()
    async with httpx.AsyncClient(headers={"Authorization": f"Basic {credentials}"}) as client:
        return await client.post(f"http://127.0.0.1:{child.address.port}/", content=body)


def _process(pid: int) -> psutil.Process:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid)
    raise AssertionError(f"process {pid} is gone already")
