"""An answer to a write follows its commit, and a commit follows its sync: docs/durability.md shows the system calls."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from agentspan.eventlog._sqlite_store import Store
from tests.support.server import Server, turn

MEANWHILE_S = 0.5
FULL = 2
"""SQLite's number for it: in every commit the write-ahead log is synced."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        running.record("answer", turn("Done."))
        assert running.http.put("/agents", json={"name": "desk", "model": "replay/shop"}).is_success
        yield running


def test_a_write_is_not_answered_before_its_commit(server: Server) -> None:
    with (
        closing(sqlite3.connect(server.data / "log.sqlite3", isolation_level=None)) as other,
        ThreadPoolExecutor() as pool,
    ):
        other.execute("BEGIN IMMEDIATE")  # nobody else can commit meanwhile
        started = pool.submit(server.begin, "answer", agent="desk")
        assert not wait([started], timeout=MEANWHILE_S).done, "answered, although nothing could be committed"
        other.execute("ROLLBACK")
        execution_id = started.result()
    assert server.await_end(execution_id)["type"] == "done"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def damage(path: Path) -> None:
    """All but the first page of a database, which still says that it is one; of ClickHouse's files all."""
    if path.is_dir():
        for file in path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                file.write_bytes(b"\xff" * file.stat().st_size)
    elif path.suffix == ".sqlite3":
        sqlite3.connect(path).close()  # what stands in the write-ahead log goes into the file
        raw = path.read_bytes()
        path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))


@pytest.mark.parametrize("harm", [remove, damage])
def test_whatever_stands_beside_the_log_is_made_again_from_it(server: Server, harm: Callable[[Path], None]) -> None:
    server.record("ask", turn("", ("refund", {})), turn("Done."))
    gated = {"name": "refund", "input_schema": {"type": "object"}, "approval_required": True, "effects": "once"}
    definition = {"name": "till", "model": "replay/shop", "tools": [gated]}
    assert server.http.put("/agents", json=definition).is_success
    execution_id = server.begin("ask", agent="till")
    server.await_event(execution_id, "waiting")
    before = [server.get(path) for path in ("/approvals", f"/executions/{execution_id}")]
    server.kill()
    for path in sorted(server.data.iterdir()):
        if path.exists() and not path.name.startswith("log.sqlite3"):
            harm(path)
    server.start()
    assert [server.get(path) for path in ("/approvals", f"/executions/{execution_id}")] == before
    assert server.decide(execution_id, "1-0", "reject").is_success
    assert server.await_end(execution_id)["type"] == "done"


def test_every_commit_of_the_log_is_synced(tmp_path: Path) -> None:
    store = Store(tmp_path / "log.sqlite3")
    store.open_for_writing(1, None)
    with closing(store.connection) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (FULL,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_disk_without_room_is_said_at_the_doors_and_leaves_the_metrics_to_be_scraped(server: Server) -> None:
    server.record("ask", turn("", ("refund", {})), turn("Done."))
    gated = {"name": "refund", "input_schema": {"type": "object"}, "approval_required": True, "effects": "once"}
    assert server.http.put("/agents", json={"name": "till", "model": "replay/shop", "tools": [gated]}).is_success
    execution_id = server.begin("ask", agent="till")
    server.await_event(execution_id, "waiting")
    psutil.Process(server.pid).rlimit(psutil.RLIMIT_FSIZE, (1, -1))  # no file of it may grow any more
    refused = server.http.get("/approvals", params={"state": "pending"})
    assert refused.status_code == 503, refused.text
    assert "make room" in refused.json()["detail"]
    scraped = httpx.get(f"{server.url}/metrics")
    assert scraped.is_success
    assert "agentspan_ready" in scraped.text
    psutil.Process(server.pid).rlimit(psutil.RLIMIT_FSIZE, (-1, -1))
    assert server.get("/approvals", state="pending")["items"][0]["execution_id"] == execution_id
