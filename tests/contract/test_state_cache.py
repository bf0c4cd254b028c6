"""What every state cache must do: keep rows with the position they reflect, and be of no use rather than wrong."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentspan.eventlog import BEGINNING, Position
from agentspan_orchestrator.adapters.memory_cache import MemoryStateCache
from agentspan_orchestrator.adapters.sqlite_cache import SqliteStateCache
from agentspan_orchestrator.domain import Execution, decide, dump_state
from agentspan_orchestrator.ports import Row, Snapshot, StateCache
from agentspan_schemas import commands as c
from agentspan_schemas.agents import AgentDefinition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENT = AgentDefinition(name="support", model="replay/support")
HERE = Position(7, 2, 5)

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
