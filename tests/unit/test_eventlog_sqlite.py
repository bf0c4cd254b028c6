"""What is SQLite's own: the file, the disk, the lock, the group commit and the tail in memory."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest

from agentspan.eventlog import (
    CaughtUp,
    Change,
    Deposed,
    LogClosed,
    LogDamaged,
    LogLocked,
    LogMismatch,
    Outcome,
    Ownership,
    Position,
    Record,
    StaleEpoch,
    Stamp,
    StorageFull,
    Stored,
)
from agentspan.eventlog._sqlite_store import ROWS_AT_ONCE, Store, Transaction
from agentspan.eventlog._tail import Tail
from agentspan.eventlog.sqlite import SqliteLog

RECORD = Record("x", "exec-1", b'{"n": 1}', {"seq": "1"})


@asynccontextmanager
async def opened(path: Path, partitions: int = 1, *, max_page_count: int | None = None) -> AsyncIterator[SqliteLog]:
    log = SqliteLog.open(path, partitions, max_page_count=max_page_count)
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def test_a_log_is_the_same_after_reopening(path: Path) -> None:
    async with opened(path, 2) as log:
        id_ = log.id
        first = await log.partition(1).take_over("a")
        released = [await first.append([RECORD] * size) for size in (1, 3)]
    async with opened(path, 2) as log:
        assert log.id == id_
        second = await log.partition(1).take_over("b")
        assert second.epoch == first.epoch + 1
        assert [read async for read in log.partition(1).follow(until=second.position)] == released
        assert await log.partition(0).end() == 0


async def test_two_logs_have_two_identities(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as a, opened(tmp_path / "b.db") as b:
        assert a.id != b.id


async def test_a_second_server_on_the_same_data_is_refused(path: Path) -> None:
    async with opened(path):
        with pytest.raises(LogLocked, match=f"in use by process {os.getpid()}: stop that server"):
            SqliteLog.open(path, 1)
    async with opened(path):
        pass


async def test_another_number_of_partitions_is_refused(path: Path) -> None:
    async with opened(path, 2):
        pass
    with pytest.raises(LogMismatch, match="2 partitions, not 3"):
        SqliteLog.open(path, 3)
    async with opened(path, 2):
        pass


async def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(LogMismatch, match="schema 99"):
        SqliteLog.open(path, 1)


def test_a_file_that_is_no_log_is_refused(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)
    with pytest.raises(LogMismatch, match="not the file of a log"):
        SqliteLog.open(path, 1)


def damage(path: Path, first: int) -> None:
    """Every page from that one on."""
    raw = path.read_bytes()
    path.write_bytes(raw[: first * 4096] + b"\xff" * (len(raw) - first * 4096))


async def read_all(path: Path) -> int:
    async with opened(path) as log:
        until = Position(await log.partition(0).end(), 1, 500)
        return len([outcome async for outcome in log.partition(0).follow(until=until)])


@pytest.mark.parametrize("first", [1, 8])
async def test_a_damaged_log_is_told_as_one(path: Path, first: int) -> None:
    """As it is opened, or as it is read."""
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        await owner.append([RECORD] * 500)
    assert await read_all(path) == 1
    damage(path, first)
    with pytest.raises(LogDamaged, match="put the last copy of it in its place"):
        await read_all(path)


async def test_the_commit_refuses_a_stale_epoch_and_commits_what_stands_beside_it(path: Path) -> None:
    async with opened(path) as log:
        partition = log.partition(0)
        await partition.take_over("a")
        owner = await partition.take_over("b")
        stale = partition.raw.append([(Stamp(1, 1, True, 0), RECORD)])
        void = partition.raw.append([(Stamp(owner.epoch, 0, True, 0), RECORD)])
        released = owner.append([RECORD])
        for refused in (stale, void):
            with pytest.raises(StaleEpoch, match="partition 0 is in epoch 2"):
                await refused
        assert (await released).position.offset == await partition.end() == 3


async def test_a_record_that_cannot_be_written_stops_no_later_one(path: Path) -> None:
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        unwritable = Record("x", "k", b"{}", {"seq": object()})  # type: ignore[dict-item]
        with pytest.raises(Deposed, match="take over again"):
            await owner.append([unwritable])
        again = await log.partition(0).take_over("a")
        assert (await again.append([RECORD])).position.offset == 3


async def test_what_is_written_in_one_turn_of_the_loop_is_one_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[Store] = []
    real = Store.transaction

    def counted(store: Store) -> AbstractContextManager[Transaction]:
        commits.append(store)
        return real(store)

    async with opened(path, 2) as log:
        owners = [await log.partition(number).take_over("a") for number in range(2)]
        monkeypatch.setattr(Store, "transaction", counted)
        put = log.table("t").put("k", RECORD)
        await asyncio.gather(put, *[owner.append([RECORD]) for owner in owners for _ in range(100)])
        assert len(commits) == 1


@pytest.mark.parametrize(("records", "statements"), [(3, 1), (ROWS_AT_ONCE, 1), (ROWS_AT_ONCE + 1, 4)])
def test_what_fits_into_one_statement_is_a_transaction_by_itself(path: Path, records: int, statements: int) -> None:
    store = Store(path)
    store.open_for_writing(1, None)
    said: list[str] = []
    store.connection.set_trace_callback(said.append)
    with store.transaction() as transaction:
        transaction.insert(0, [Stored(at, Stamp(1, at, True, 0), RECORD) for at in range(records)])
    store.close()
    assert len(said) == statements
    again = Store(path)
    assert again.head(0).end == records
    again.close()


async def test_closing_commits_what_was_written_just_before(path: Path) -> None:
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        last = owner.append([RECORD])
        put = log.table("t").put("k", RECORD)
    assert put.done()
    assert (await last).position.offset == 2
    with pytest.raises(LogClosed):
        await log.table("t").put("k", RECORD)
    async with opened(path) as log:
        assert await log.partition(0).end() == 2


async def fill(owner: Ownership, record: Record, released: list[Outcome]) -> None:
    for _ in range(50):
        released.append(await owner.append([record]))


async def test_a_full_disk_refuses_work_and_goes_on_when_there_is_room(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE filler AS SELECT zeroblob(200 * 4096) AS x")
        [pages] = other.execute("PRAGMA page_count").fetchone()
    released: list[Outcome] = []
    async with opened(path, max_page_count=pages + 20) as log:
        owner = await log.partition(0).take_over("a")
        large = Record("x", "k", b"x" * 6000)
        with pytest.raises(Deposed) as full:
            await fill(owner, large, released)
        assert isinstance(full.value.__cause__, StorageFull)
        assert "free some space" in str(full.value.__cause__)
        assert len(released) > 5
        with pytest.raises(StorageFull):
            await log.table("settings").put("large", large)
        with other:
            other.execute("DROP TABLE filler")
        other.close()
        owner = await log.partition(0).take_over("a")
        assert [read async for read in log.partition(0).follow(until=owner.position)] == released
        await fill(owner, large, released)


async def test_a_closed_log_acknowledges_what_was_queued_and_refuses_the_rest(path: Path) -> None:
    log = SqliteLog.open(path, 1)
    owner = await log.partition(0).take_over("a")
    queued = [owner.append([RECORD]) for _ in range(20)]
    await log.close()
    assert [(await released).position.n for released in queued] == list(range(1, 21))
    with pytest.raises(Deposed) as late:
        await owner.append([RECORD])
    assert isinstance(late.value.__cause__, LogClosed)


async def test_tables_stand_after_reopening_in_the_order_they_were_put(path: Path) -> None:
    async with opened(path) as log:
        agents = log.table("agents")
        for key in ("a", "b", "c", "a"):
            await agents.put(key, Record("agent", key, b"{}", {"from": "here"}))
        await agents.put("b", None)
        await log.table("settings").put("a", RECORD)
    async with opened(path) as log:
        following = log.table("agents").follow()
        assert [await anext(following) for _ in range(3)] == [
            Change(0, "c", Record("agent", "c", b"{}", {"from": "here"})),
            Change(0, "a", Record("agent", "a", b"{}", {"from": "here"})),
            CaughtUp(),
        ]


async def test_a_follower_beside_the_owner_gets_the_objects_it_made(path: Path) -> None:
    made = Record("x", "k", b"{}", message=object())
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        await owner.append([made])
        [read] = [outcome async for outcome in log.partition(0).follow(until=(await owner.append([RECORD])).position)][
            :1
        ]
        assert read.records[0].record.message is made.message
    async with opened(path) as log:
        [_, stored] = await log.partition(0).raw.read(0, 2)
        assert stored.record == made
        assert stored.record.message is None


async def test_what_is_no_longer_in_the_tail_is_read_from_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentspan.eventlog.sqlite.Tail", lambda: Tail(max_records=3))
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        released = [await owner.append([Record("x", str(i), b"{}")]) for i in range(20)]
        read = [outcome async for outcome in log.partition(0).follow(until=released[-1].position)]
        assert read == released


async def test_a_read_of_large_records_stops_early(path: Path) -> None:
    async with opened(path) as log:
        owner = await log.partition(0).take_over("a")
        await owner.append([Record("x", "k", b"x" * 1024 * 1024)] * 30)
    async with opened(path) as log:
        assert 5 < len(await log.partition(0).raw.read(0, 500)) < 15


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [({"max_records": 4}, [6, 7, 8, 9]), ({"max_bytes": 25}, [8, 9]), ({"max_bytes": 5}, [])],
)
def test_the_tail_is_bounded(bounds: dict[str, int], kept: list[int]) -> None:
    tail = Tail(**bounds)
    for offset in range(10):
        tail.push([Stored(offset, Stamp(1, offset + 1, True, 0), Record("x", "k", b"x" * 10))])
    first = kept[0] if kept else 9
    assert [stored.offset for stored in tail.read(first, 100)] == kept
    assert tail.read(first - 1, 100) == []


# Killed at any moment, over and over, on one file: what it said it had released must be there, and in order.

CHILD = """
import asyncio, sys
from pathlib import Path
from agentspan.eventlog import Record
from agentspan.eventlog.sqlite import SqliteLog

async def main():
    log = SqliteLog.open(Path(sys.argv[1]), 1)
    owner = await log.partition(0).take_over("child")

    async def appending(who):
        for i in range(1_000_000):
            key = f"{sys.argv[2]}.{who}.{i}"
            outcome = await owner.append([Record("x", key, b"x" * 500)] * (1 + i % 3))
            print(outcome.position, key, flush=True)

    await asyncio.gather(*[appending(who) for who in range(8)])

asyncio.run(main())
"""


def killed_after(path: Path, life: int, lines: int) -> list[tuple[str, str]]:
    """The positions and keys that a child printed before it was killed in the middle of its work."""
    command = [sys.executable, "-c", CHILD, str(path), str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        printed += child.stdout.readlines()
    whole = [line.split() for line in printed if line.endswith("\n")]
    return [(position, key) for position, key in whole]


async def test_nothing_released_is_lost_when_the_process_is_killed(path: Path) -> None:
    chances = random.Random(6)
    released: list[tuple[str, str]] = []
    for life in range(10):
        printed = killed_after(path, life, chances.randrange(1, 400))
        assert printed
        released += printed
        async with opened(path) as log:
            owner = await log.partition(0).take_over("auditor")
            read = {
                str(outcome.position): outcome.records[0].record.key
                async for outcome in log.partition(0).follow(until=owner.position)
            }
        missing = [line for line in released if read.get(line[0]) != line[1]]
        assert not missing
