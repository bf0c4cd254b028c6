"""The command line's upkeep of a ClickHouse that others run, and what a server says of one that it can't use."""

import asyncio
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from agentspan.cli import main
from agentspan.eventlog.memory import MemoryLog
from agentspan_query.adapters.clickhouse import Address, Database
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import known, migrate
from agentspan_query.adapters.retention import expire
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.aside import Aside
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.projection import Projection
from agentspan_standalone import upkeep
from agentspan_standalone.health import Health, router
from agentspan_standalone.history import HistoryServices
from agentspan_standalone.settings import Settings
from tests.support.clickhouse import ClickHouse
from tests.support.eventually import until
from tests.support.intake import MemoryDeadLetters
from tests.support.query_history import History, store

ALL = ExecutionFilter()
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = [migration.name for migration in known()]


@pytest.fixture
def clickhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouse]:
    with ClickHouse(tmp_path / "clickhouse") as serving:
        monkeypatch.setenv("AGENTSPAN_CLICKHOUSE_PASSWORD", serving.password)
        yield serving


def address(clickhouse: ClickHouse) -> Address:
    port = int(clickhouse.address.rpartition(":")[2])
    return Address(host="127.0.0.1", port=port, password=clickhouse.password)


def test_migrate_runs_what_is_missing_once_and_check_tells_what_that_is(
    clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["query", "migrate", "--clickhouse", clickhouse.address]
    assert main([*line, "--check"]) == 1
    assert capsys.readouterr().out.split() == NAMES
    assert main([*line, "--check"]) == 1, "a check changes nothing"
    capsys.readouterr()
    assert main(line) == 0
    assert capsys.readouterr().out.split() == NAMES
    assert main([*line, "--check"]) == 0
    assert main(line) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "the tables are this release's" in said.err


def test_two_that_migrate_at_once_do_no_harm(clickhouse: ClickHouse) -> None:
    with ThreadPoolExecutor(2) as threads:
        found = [threads.submit(upkeep.migrate_tables, clickhouse.address) for _ in range(2)]
        assert all(each.result().applied for each in found)
    assert upkeep.migrate_tables(clickhouse.address, check=True).names == ()


def test_a_clickhouse_that_does_not_answer_or_let_in_is_told_apart(
    clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["query", "migrate"]) == 2
    assert "AGENTSPAN_CLICKHOUSE" in capsys.readouterr().err
    assert main(["query", "migrate", "--clickhouse", "http://127.0.0.1:1"]) == 3
    assert "refused" in capsys.readouterr().err
    monkeypatch.setenv("AGENTSPAN_CLICKHOUSE_PASSWORD", "wrong")
    assert main(["query", "migrate", "--clickhouse", clickhouse.address]) == 1
    assert "Authentication failed" in capsys.readouterr().err


def test_a_server_refuses_a_clickhouse_without_its_tables_and_says_which_command_makes_them(
    clickhouse: ClickHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["server", "start", "--data", str(tmp_path / "data"), "--port", "0", "--clickhouse", clickhouse.address]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "0001_history.sql" in said
    assert "agentspan query migrate" in said
    assert "AGENTSPAN_CLICKHOUSE_MIGRATE=true" in said


def test_a_rebuild_needs_a_log(clickhouse: ClickHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["query", "rebuild", "--data", str(tmp_path), "--clickhouse", clickhouse.address]
    assert main(line) == 2
    assert "there is no log" in capsys.readouterr().err
    sqlite3.connect(tmp_path / "log.sqlite3").close()
    assert main(line) == 0
    assert "0 events of 0 executions" in capsys.readouterr().err


ASIDE = Aside(MemoryDeadLetters(), "agentspan.events", now=lambda: NOW)


async def test_history_says_what_it_waits_for_and_begins_once_it_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agentspan_standalone.history.FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr("agentspan_standalone.history.LONGEST_PAUSE_S", 0.2)
    log = MemoryLog(1)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    away = f"http://127.0.0.1:{port}"
    waiting = HistoryServices(Settings(data=tmp_path, clickhouse=away), log, ASIDE, lambda: NOW)
    async with serving(waiting):
        await until(lambda: "refused" in (waiting.trouble or ""))
        assert _readyz(waiting) == {"status": "ok", "history": waiting.trouble, "approvals": None, "executions": None}
    with ClickHouse(tmp_path / "clickhouse") as clickhouse:
        monkeypatch.setenv("AGENTSPAN_CLICKHOUSE_PASSWORD", clickhouse.password)
        history = HistoryServices(Settings(data=tmp_path, clickhouse=clickhouse.address), log, ASIDE, lambda: NOW)
        async with serving(history):
            await until(lambda: "agentspan query migrate" in (history.trouble or ""))
            await asyncio.to_thread(upkeep.migrate_tables, clickhouse.address)
            await until(lambda: history.trouble is None)
            assert _readyz(history) == {"status": "ok", "history": None, "approvals": None, "executions": None}
            page = await history.query.executions(ALL, cursor=None, limit=10)
            assert (page.items, page.as_of) == ((), NOW)


def _readyz(history: HistoryServices) -> object:
    app = FastAPI()
    app.include_router(router(lambda: None, lambda: Health(history=history.trouble)))
    return TestClient(app).get("/readyz").json()


@asynccontextmanager
async def serving(history: HistoryServices) -> AsyncIterator[None]:
    running = asyncio.create_task(history.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
        history.close()


async def test_what_ended_long_ago_leaves_history_and_what_has_not_ended_never_does(clickhouse: ClickHouse) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    old, older, young = (now - timedelta(days=days) for days in (100, 400, 10))
    with ThreadPoolExecutor(2) as threads:
        database = Database(address(clickhouse), threads)
        await migrate(database)
        sink, history = ClickHouseSink(database, "log-1"), ClickHouseHistory(database)
        # written step by step, so that rows of the ended one's earlier states still stand in other parts
        ended = History("exec-ended", started_at=old).started().waiting()
        offset = await store(sink, [ended])
        offset = await store(sink, [ended.done()], offset=offset)
        await store(
            sink,
            [
                History("exec-young", started_at=young).started().done(),
                History("exec-waiting", started_at=older).started().waiting(),
                History("exec-running", started_at=older).started(),
            ],
            offset=offset,
        )
        assert await expire(database, now, 365) == 0
        assert await expire(database, now, 90) == 1
        page = await history.executions(ALL)
        assert [item.execution_id for item in page.items] == ["exec-young", "exec-waiting", "exec-running"]
        assert await history.events("exec-ended") == []
        assert await history.status_counts(ALL) == {"completed": 1, "waiting": 1, "running": 1}
        assert len(await history.events("exec-waiting")) == 2
        await database.command("OPTIMIZE TABLE executions FINAL")
        assert len((await history.executions(ALL)).items) == 3
        assert await expire(database, now, 90) == 0
        assert await expire(database, now, 5) == 1
        database.close()


async def test_more_than_one_statement_can_let_go_of_leaves_too(
    clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    with ThreadPoolExecutor(2) as threads:
        database = Database(address(clickhouse), threads)
        await migrate(database)
        many = [History(f"exec-{n}", started_at=now - timedelta(days=100 + n)).started().done() for n in range(40)]
        await store(ClickHouseSink(database, "log-1"), many)
        monkeypatch.setattr("agentspan_query.adapters.retention.AT_ONCE", 7)
        assert await expire(database, now, 90) == 40
        assert await database.query("SELECT count() FROM events FINAL", {}) == [(0,)]
        database.close()


def test_check_prints_how_analysts_are_let_in(clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "migrate", "--clickhouse", clickhouse.address, "--check", "--analysts"]) == 1
    printed = capsys.readouterr().out
    assert "CREATE ROLE IF NOT EXISTS agentspan_analyst;" in printed
    assert json.dumps(NAMES[0])[1:-1] in printed


def test_history_that_lacks_events_says_so_and_where_to_look(tmp_path: Path) -> None:
    aside = Aside(MemoryDeadLetters(), "agentspan.events", now=lambda: NOW)
    history = HistoryServices(
        Settings(data=tmp_path, clickhouse="http://127.0.0.1:9"), MemoryLog(1), aside, lambda: NOW
    )
    history._waits = None
    assert history.trouble is None
    aside.count = 2
    said = str(history.trouble)
    assert "events that ClickHouse refused, 2 since this process began" in said
    assert "`agentspan dlq list --topic events`" in said
    assert _readyz(history) == {"status": "ok", "history": said, "approvals": None, "executions": None}
    history.close()


def test_history_that_waits_for_a_later_release_says_so_and_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = Aside(MemoryDeadLetters(), "agentspan.events", now=lambda: NOW)
    settings = Settings(data=tmp_path, clickhouse="http://127.0.0.1:9")
    history = HistoryServices(settings, MemoryLog(3), aside, lambda: NOW)
    history._waits = None
    monkeypatch.setattr(Projection, "waits_for", {1: "'done' of 'exec-a' at 1:7 of the log: upgrade this one"})
    said = "history of 1 of 3 partitions waits: 'done' of 'exec-a' at 1:7 of the log: upgrade this one"
    assert _readyz(history) == {"status": "ok", "history": said, "approvals": None, "executions": None}
    history.close()
