"""What every state cache must do: keep rows with the position they reflect, and be of no use rather than wrong."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentspan.eventlog import BEGINNING, Position, WriteError
from agentspan_orchestrator.adapters import sqlite_file
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.adapters.sqlite_cache import PIECE_ROWS, SqliteStateCache
from agentspan_orchestrator.domain import Execution, decide, dump_state
from agentspan_orchestrator.ports import Row, Snapshot, StateCache
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENT = AgentDefinition(name="support", model="replay/support")
HERE = Position(7, 2, 5)
ROOT = Path(__file__).resolve().parents[2]

Open = Callable[[], StateCache]


def started(execution_id: str) -> Execution:
    start = c.Start(
        command_id="start",
        execution_id=execution_id,
        agent=AGENT.name,
        agent_version=AGENT.version,
        prompt="My invoice is wrong",
        requested_by="user:ana",
        source="test",
        key=execution_id,
        content_hash="0" * 64,
    )
    state = decide(None, start, NOON, AGENT).state
    assert state is not None
    return state


def row(execution_id: str, *, due: datetime | None = None, busy: bool = False) -> Row:
    return Row(started(execution_id), due, busy)


def snapshot(execution_id: str, reflects: int, *, agent: str = "support") -> Snapshot:
    state = replace(started(execution_id), agent=agent)
    return Snapshot(execution_id, dump_state(state), reflects, NOON, busy=True, parked=False)


@pytest.fixture(params=["memory", "stored"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateCache]:
    if request.param == "memory":
        yield MemoryStateCache()
        return
    stored = SqliteStateCache(tmp_path / "state.sqlite3")
    yield stored
    stored.close()


def test_a_new_cache_stands_at_the_beginning(cache: StateCache) -> None:
    assert cache.open("log-1") == (BEGINNING, None)
    assert cache.get("exec-a") is None


def test_what_was_put_is_read_at_once(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, "inbox/3")
    assert cache.get("exec-a") == started("exec-a")


def test_the_position_stands_with_the_rows(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, "inbox/3")
    assert cache.open("log-1") == (HERE, "inbox/3")


def test_of_another_log_it_is_empty(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, None)
    assert cache.open("log-2") == (BEGINNING, None)
    assert cache.get("exec-a") is None


def test_a_cleared_cache_stands_at_the_beginning(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, None)
    cache.clear()
    assert cache.get("exec-a") is None
    assert cache.open("log-1")[0] == BEGINNING


def test_a_pinned_cache_stands_there_whatever_is_put_until_it_is_opened_or_cleared(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, "inbox/3")
    cache.pin(HERE, "inbox/3")
    cache.put([row("exec-b")], Position(9, 2, 7), "inbox/4")
    assert cache.find("exec-b") == (started("exec-b"), 9)
    assert cache.open("log-1") == (HERE, "inbox/3")
    cache.put([], Position(9, 2, 7), "inbox/4")
    assert cache.open("log-1") == (Position(9, 2, 7), "inbox/4")
    cache.pin(HERE, "inbox/3")
    cache.clear()
    cache.put([], Position(9, 2, 7), "inbox/4")
    assert cache.open("log-1") == (Position(9, 2, 7), "inbox/4")


def test_after_a_clear_rows_of_the_same_log_are_kept(cache: StateCache) -> None:
    cache.open("log-1")
    cache.clear()
    cache.put([row("exec-a")], HERE, None)
    assert cache.open("log-1") == (HERE, None)


def test_it_names_what_has_work_and_what_is_due(cache: StateCache) -> None:
    due = NOON + timedelta(microseconds=1)
    cache.open("log-1")
    cache.put([row("exec-a", busy=True), row("exec-b", due=due), row("exec-c")], HERE, None)
    assert [state.execution_id for state in cache.busy()] == ["exec-a"]
    assert list(cache.due()) == [(due, "exec-b")]
    cache.put([row("exec-a")], HERE, None)
    assert list(cache.busy()) == []


def test_a_row_reflects_the_log_up_to_where_it_was_put(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, None)
    assert cache.find("exec-a") == (started("exec-a"), 7)
    assert cache.find("exec-b") is None


def test_what_is_filled_in_replaces_what_reflects_less(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a"), row("exec-b")], HERE, "inbox/3")
    cache.fill([snapshot("exec-a", 6, agent="older"), snapshot("exec-b", 9, agent="newer"), snapshot("exec-c", 8)])
    cache.fill([snapshot("exec-b", 8, agent="between")])
    assert cache.find("exec-a") == (started("exec-a"), 7)
    assert cache.find("exec-b") == (replace(started("exec-b"), agent="newer"), 9)
    assert [state.execution_id for state in cache.busy()] == ["exec-b", "exec-c"]
    assert list(cache.due()) == [(NOON, "exec-b"), (NOON, "exec-c")]


def test_filling_in_does_not_change_where_it_stands(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, "inbox/3")
    cache.fill([snapshot("exec-b", 9)])
    assert cache.open("log-1") == (HERE, "inbox/3")
    assert cache.find("exec-b") == (started("exec-b"), 9)


def test_it_names_what_may_have_changed_since(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a")], Position(3, 1, 2), None)
    cache.open("log-1")  # in the file by now
    cache.put([row("exec-b")], HERE, None)
    cache.fill([snapshot("exec-c", 9)])
    assert sorted(cache.changed_since(0)) == ["exec-a", "exec-b", "exec-c"]
    assert sorted(cache.changed_since(3)) == ["exec-b", "exec-c"]
    assert sorted(cache.changed_since(7)) == ["exec-c"]


def test_a_stored_cache_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    first = SqliteStateCache(path)
    first.open("log-1")
    first.put([row("exec-a")], HERE, "inbox/3")
    first.close()
    second = SqliteStateCache(path)
    assert second.open("log-1") == (HERE, "inbox/3")
    assert second.get("exec-a") == started("exec-a")
    second.close()


@pytest.mark.parametrize("harm", ["damaged", "of another shape"])
def test_a_file_that_is_of_no_use_is_made_anew(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "state.sqlite3"
    if harm == "damaged":
        path.write_bytes(b"no database" * 1000)
    else:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE executions (other TEXT)")
            db.execute("PRAGMA user_version = 999")
        db.close()
    cache = SqliteStateCache(path)
    assert cache.open("log-1") == (BEGINNING, None)
    cache.put([row("exec-a")], HERE, None)
    cache.close()


def test_a_file_that_turns_out_to_be_damaged_is_of_no_use_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    kept = SqliteStateCache(path)
    kept.open("log-1")
    kept.put([row(f"exec-{number}", busy=True) for number in range(200)], HERE, None)
    kept.close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))  # its first page stays
    cache = SqliteStateCache(path)
    with pytest.raises(WriteError, match="is damaged"):
        cache.open("log-1")
    assert cache.open("log-1") == (BEGINNING, None)
    cache.put([row("exec-a", busy=True)], HERE, None)
    assert [state.execution_id for state in cache.busy()] == ["exec-a"]
    cache.close()
    again = SqliteStateCache(path)
    assert again.open("log-1") == (HERE, None)
    again.close()


def test_a_state_that_nobody_can_read_is_never_one_that_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    cache = SqliteStateCache(path)
    cache.open("log-1")
    cache.put([row("exec-a")], HERE, None)
    assert cache.open("log-1") == (HERE, None)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE executions SET state = 'x'")
    with pytest.raises(WriteError, match="is damaged"):
        cache.get("exec-a")
    assert cache.open("log-1") == (BEGINNING, None)
    assert cache.get("exec-a") is None
    cache.close()


def test_what_cannot_be_written_now_is_read_and_written_later_and_no_takeover_passes_it_over(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    cache = SqliteStateCache(path)
    cache.open("log-1")
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE standing")
    cache.put([row("exec-a", busy=True)], HERE, None)
    for asked in (cache.busy, cache.due, lambda: cache.changed_since(0), lambda: cache.open("log-1")):
        with pytest.raises(WriteError, match="no such table: standing"):  # never an answer that lacks what is queued
            asked()
    assert cache.get("exec-a") == started("exec-a")
    other.execute("CREATE TABLE standing (one INTEGER PRIMARY KEY, log_id TEXT, position TEXT, command_offset TEXT)")
    other.commit()
    other.close()
    assert cache.open("log-1") == (HERE, None)
    assert [state.execution_id for state in cache.busy()] == ["exec-a"]
    cache.close()


def test_where_states_could_not_be_filled_in_no_position_is_put_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    cache = SqliteStateCache(path)
    cache.open("log-1")
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE executions")
    other.close()
    cache.fill([snapshot("exec-a", 6)])
    with pytest.raises(WriteError, match="no such table: executions"):
        cache.put([], HERE, "inbox/3")
    cache.close()
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT * FROM standing").fetchall() == []
    other.close()


def filled(path: Path) -> SqliteStateCache:
    """One of which nothing was there before."""
    cache = SqliteStateCache(path)
    cache.open("log-1")
    cache.fill([snapshot("exec-a", 6), snapshot("exec-b", 7)])
    cache.fill([snapshot("exec-b", 9, agent="newer")])
    return cache


def test_what_was_filled_in_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    first = filled(path)
    first.put([], HERE, "inbox/3")
    first.close()
    second = SqliteStateCache(path)
    assert second.open("log-1") == (HERE, "inbox/3")
    assert second.find("exec-b") == (replace(started("exec-b"), agent="newer"), 9)
    assert sorted(second.changed_since(0)) == ["exec-a", "exec-b"]
    second.close()


def test_what_is_filled_in_goes_on_being_written_with_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, fill = threading.Semaphore(0), sqlite_file.fill

    def filling(db: sqlite3.Connection, rows: Sequence[sqlite_file.Columns]) -> None:
        fill(db, rows)
        done.release()

    monkeypatch.setattr(sqlite_file, "fill", filling)
    path = tmp_path / "state.sqlite3"
    cache = filled(path)
    assert all(done.acquire(timeout=30) for _ in range(2))
    assert file_says(path, "journal_mode") == "off"
    cache.put([row("exec-c")], HERE, "inbox/3")
    cache.open("log-1")
    assert file_says(path, "journal_mode") == "wal"
    assert [state.execution_id for state in cache.busy()] == ["exec-a", "exec-b"]
    assert cache.get("exec-c") == started("exec-c")
    cache.close()


DIES = """
import os, signal, sys
from pathlib import Path
from agentspan_orchestrator.adapters import sqlite_file
from tests.contract.test_state_cache import HERE, filled
cache = filled(Path(sys.argv[1]))
if sys.argv[2] == "before it is on the disk":
    sqlite_file.kept = lambda path: None
    cache.put([], HERE, "inbox/3")
    cache.open("log-1")
else:
    assert cache._file._filling[-1].result() is None
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["while it is filled", "before it is on the disk"])
def test_a_cache_that_was_left_half_filled_is_not_trusted(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "state.sqlite3"
    died = subprocess.run([sys.executable, "-c", DIES, str(path), moment], cwd=ROOT, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert file_says(path, "user_version") == sqlite_file.HALF_FILLED
    cache = filled(path)
    assert sorted(cache.changed_since(0)) == ["exec-a", "exec-b"]
    cache.put([], HERE, None)
    cache.close()
    again = SqliteStateCache(path)
    assert again.open("log-1") == (HERE, None)
    again.close()


def test_one_that_ends_while_it_is_filled_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    filled(path).close()
    cache = SqliteStateCache(path)
    assert list(cache.changed_since(0)) == []
    assert cache.open("log-1") == (BEGINNING, None)
    cache.close()


def test_after_a_filling_in_that_failed_it_is_filled_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    cache = filled(path)
    assert cache.get("exec-a")
    cache.clear()
    cache.fill([snapshot("exec-a", 6)])
    bad = snapshot("exec-b", 6)
    cache.fill([bad._replace(state=None)])  # type: ignore[arg-type]
    with pytest.raises(WriteError, match="NOT NULL"):
        cache.put([], HERE, None)
    assert cache.open("log-1") == (BEGINNING, None)
    assert list(cache.changed_since(0)) == []
    cache.fill([snapshot("exec-b", 6)])
    cache.put([], HERE, None)
    assert cache.open("log-1") == (HERE, None)
    assert list(cache.changed_since(0)) == ["exec-b"]
    cache.close()


def test_a_file_that_somebody_else_has_open_is_filled_with_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    SqliteStateCache(path).close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT * FROM standing").fetchall() == []
        cache = filled(path)
        assert cache.get("exec-a") == started("exec-a")
        assert file_says(path, "user_version") == sqlite_file.SHAPE
        cache.close()


def file_says(path: Path, pragma: str) -> object:
    """`off` is no property of the file: so it is called that is neither in the write-ahead log."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(f"PRAGMA {pragma}").fetchone()[0]
    return "off" if found == "delete" else found


def test_those_that_wait_are_counted(cache: StateCache) -> None:
    cache.open("log-1")
    cache.put([row("exec-a", busy=True), row("exec-b"), row("exec-c")], HERE, None)
    state = started("exec-d")
    cache.fill([Snapshot("exec-d", dump_state(state), HERE.offset + 1, None, busy=False, parked=True)])
    cache.busy()  # returns when what was put can be counted
    assert cache.parked() == 3
    cache.put([row("exec-b", busy=True)], HERE, None)
    cache.busy()
    assert cache.parked() == 2


def test_who_writes_many_rows_lets_others_run_meanwhile_unless_they_wait_for_it(tmp_path: Path) -> None:
    breaths: list[float] = []
    breathed = threading.Event()

    def sleep(seconds: float) -> None:
        breaths.append(seconds)
        breathed.set()

    cache = SqliteStateCache(tmp_path / "state.sqlite3", sleep=sleep)
    cache.open("log-1")
    cache.put([row(f"exec-{number}") for number in range(2 * PIECE_ROWS)], HERE, None)
    assert breathed.wait(30), "it wrote all at once"
    cache.open("log-1")  # waits until all of it stands in the file
    breaths.clear()
    cache.put([row(f"exec-{number}") for number in range(2 * PIECE_ROWS)], HERE, None)
    cache.close()
    assert breaths == []
    with closing(SqliteStateCache(tmp_path / "state.sqlite3")) as again:
        assert again.open("log-1") == (HERE, None)
        assert again.get(f"exec-{2 * PIECE_ROWS - 1}") is not None
