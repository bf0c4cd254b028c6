"""What a state cache in a file must do beside that: survive its process, and be trusted only where it is whole."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agentspan.eventlog import BEGINNING, WriteError
from agentspan_orchestrator.adapters import sqlite_file
from agentspan_orchestrator.adapters.sqlite_cache import MOST_BREATHS, PIECE_ROWS, SqliteStateCache
from tests.contract.test_state_cache import HERE, row, snapshot, started

ROOT = Path(__file__).resolve().parents[2]


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
from tests.contract.test_state_cache_file import HERE, filled
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


def test_who_writes_more_than_ever_does_not_let_others_run_more_often(tmp_path: Path) -> None:
    """Each time takes as long as they want: of a burst more would come meanwhile than is written."""
    breaths: list[float] = []
    count, path = 3 * MOST_BREATHS * PIECE_ROWS, tmp_path / "state.sqlite3"
    with closing(SqliteStateCache(path, sleep=breaths.append)) as cache, closing(sqlite3.connect(path)) as db:
        cache.open("log-1")
        cache.put([row(f"exec-{number}") for number in range(count)], HERE, None)
        while db.execute("SELECT COUNT(*) FROM executions").fetchone() != (count,):
            time.sleep(0.01)
        assert 0 < len(breaths) <= MOST_BREATHS
