"""A view of the requests that was lost comes back from the topic on which they are published: it is what the log says,
and where the topic may say something else, the log is folded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from agentspan.eventlog import BEGINNING, Position, Record, partition_for
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.decision_ids import DecisionId
from agentspan_approvals.publisher import AGAIN_S, OFFERED_S
from agentspan_approvals.service import Approvals
from agentspan_schemas.approvals import ApprovalRecord
from tests.support.approvals import PARTITIONS, Office
from tests.support.orchestration import EXECUTION, Process, approve, ask, claim, result, start

CALL = f"{EXECUTION}.1-0"
AT = partition_for(EXECUTION, PARTITIONS)
NEIGHBOURS = [
    name for letter in "bcdefghijklmnopq" if partition_for(name := f"exec-{letter * 16}", PARTITIONS) == AT
]  # fmt: skip
"""Executions of the same partition."""

NEW = NEIGHBOURS.pop(3)
"""One that is not there yet."""


async def request(office: Office, here: Process, execution_id: str = EXECUTION) -> None:
    await here.send(start(execution_id))
    await here.send(ask("refund", execution_id=execution_id))
    await office.record(f"{execution_id}.1-0", lambda r: r.state == "pending")


async def worked(office: Office) -> None:
    """One that is approved, and others that wait, each published before the next one comes."""
    async with office.open() as here:
        await request(office, here)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        for execution_id in NEIGHBOURS:
            await request(office, here, execution_id)


async def refused(office: Office, here: Process) -> None:
    """Another service comes too late; its attempt stands on the request."""
    late = DecisionId("1-0", "service:risk", "d-1")
    await here.send(approve("1-0", by=late.by, command_id=str(late)))
    await office.record(CALL, lambda r: r.attempts_total == 1)


def everything(store: SqliteApprovalStore) -> Mapping[str, ApprovalRecord]:
    return {record.approval_id: record for number in range(PARTITIONS) for record in store.of(number)}


class Folded:
    """Counts the outcomes of the partition that a view folds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = Approvals._fold

        def fold(approvals: Approvals, number: int, outcome: object) -> None:
            self.count += number == AT
            real(approvals, number, outcome)  # type: ignore[arg-type]

        monkeypatch.setattr(Approvals, "_fold", fold)


async def reopened(office: Office, *, restores: bool) -> Mapping[str, ApprovalRecord]:
    """What a process without a view of its own has, once it has read all that the log says."""
    office.store, office.restores = SqliteApprovalStore(":memory:"), restores
    end = await office.world.log.partition(AT).end()
    async with office.open() as here:
        approvals = office.approvals
        assert approvals is not None
        await here.until(lambda: approvals._positions[AT].offset >= end - 1)
        return everything(office.store)


async def test_a_lost_view_is_restored_without_folding_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    await worked(office)
    folded = Folded(monkeypatch)
    restored = await reopened(office, restores=True)
    tail = folded.count
    assert restored == await reopened(office, restores=False)
    assert {record.state for record in restored.values()} == {"approved", "pending"}
    assert len(restored) == 1 + len(NEIGHBOURS)
    assert 0 < tail < (folded.count - tail) // 2, "only what came after the topic was known to have everything"


async def test_what_stands_further_than_the_topic_is_known_to_is_not_folded_twice() -> None:
    office = Office()
    async with office.open() as here:
        await request(office, here)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        await refused(office, here)
    assert (await reopened(office, restores=True))[CALL].attempts_total == 1


async def test_a_view_that_ends_before_it_reached_what_was_restored_is_restored_again() -> None:
    office = Office(restores=True)
    async with office.open() as here:
        await request(office, here)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        await refused(office, here)
    office.store = SqliteApprovalStore(":memory:")
    approvals = Approvals(log=office.world.log, commands=None, store=office.store, table=office.table)  # type: ignore[arg-type]
    await approvals._begin(AT)
    assert office.store.get(CALL) is not None
    assert office.store.position(AT) == BEGINNING, "its last decision is ahead of where the topic is known to be whole"
    async with office.open() as here:
        end = await office.world.log.partition(AT).end()
        again = office.approvals
        assert again is not None
        await here.until(lambda: again._positions[AT].offset >= end - 1)
        record = office.store.get(CALL)
    assert record is not None
    assert record.attempts_total == 1


async def test_what_happens_after_a_restore_is_seen_and_published() -> None:
    office = Office()
    await worked(office)
    office.store, office.restores = SqliteApprovalStore(":memory:"), True
    async with office.open() as here:
        await here.until(lambda: office.store.get(CALL))
        await here.send(claim("1-0"))
        await here.send(result("1-0", claim_id="claim-1"))
        await refused(office, here)
        found = office.store.get(CALL)
    assert found is not None
    assert found.attempts_total == 1
    assert found == (await reopened(office, restores=False))[CALL]


def _stale(office: Office) -> Record:
    """The request as somebody wrote it who was frozen then: it waits."""
    [first] = [record for key, _, record in office.table.writes if key == CALL][:1]
    assert first is not None
    return first


def _without_marks(office: Office) -> Record:
    record = _stale(office)
    return record._replace(attributes={name: record.attributes[name] for name in ("seq", "state", "agent")})


def _of_another_log(office: Office) -> Record:
    record = _stale(office)
    return record._replace(attributes={**record.attributes, "logid": "another", "position": "999.9.9"})


def _unreadable(office: Office) -> Record:
    return _stale(office)._replace(value=b"{}")


@pytest.mark.parametrize("doubt", [_stale, _without_marks, _of_another_log, _unreadable])
async def test_an_entry_that_may_hide_a_newer_one_has_the_log_folded(doubt: Callable[[Office], Record]) -> None:
    office = Office()
    await worked(office)
    await office.table.put(CALL, doubt(office), partition=AT)  # and nobody lives who would put it right
    assert (await reopened(office, restores=True))[CALL].state == "approved"


async def test_a_topic_of_before_has_the_log_folded_until_it_says_how_far_it_reaches() -> None:
    office = Office()
    await worked(office)
    for key, at, record in list(office.table.writes):
        if record is not None:
            plain = {name: record.attributes[name] for name in ("seq", "state", "agent")}
            await office.table.put(key, record._replace(attributes=plain), partition=at)
    restored = await reopened(office, restores=True)
    assert restored == await reopened(office, restores=False)


async def test_a_topic_that_is_ahead_of_its_log_has_the_log_folded() -> None:
    """The log was restored from an older copy, under the same id."""
    office = Office()
    await worked(office)
    [*_, (key, at, last)] = office.table.writes
    assert last is not None
    far = str(Position(9_999, 9, 9))
    ahead = last._replace(attributes={**last.attributes, "position": far, "published": far})
    await office.table.put(key, ahead, partition=at)
    restored = await reopened(office, restores=True)
    assert restored == await reopened(office, restores=False)


@asynccontextmanager
async def restored(office: Office, **how: Any) -> AsyncIterator[Process]:
    """A process without a view of its own, when it has restored it."""
    office.store, office.restores = SqliteApprovalStore(":memory:"), True
    office.table.writes.clear()
    office.table.followed.clear()
    end = await office.world.log.partition(AT).end()
    async with office.open(**how) as here:
        approvals = office.approvals
        assert approvals is not None
        await here.until(lambda: approvals._positions[AT].offset >= end - 1)
        yield here


async def test_what_a_view_was_restored_from_is_neither_read_nor_written_again() -> None:
    office = Office()
    await worked(office)
    async with restored(office) as here:
        await request(office, here, NEW)
        assert office.table.followed.count(AT) == 1
        assert [key for key, _, _ in office.table.writes] == [f"{NEW}.1-0"]
        assert office.table.writes[0][2] is not None
        assert "published" in office.table.writes[0][2].attributes


async def test_a_late_write_over_what_was_restored_is_put_right() -> None:
    office = Office()
    await worked(office)
    late = _stale(office)
    async with restored(office):
        await office.table.put(CALL, late, partition=AT)
        await office.record(CALL, lambda r: r.state == "pending")
        await office.record(CALL, lambda r: r.state == "approved")


async def test_what_happened_before_somebody_was_to_publish_it_is_published() -> None:
    office, assigned = Office(), asyncio.Event()
    await worked(office)
    async with restored(office, assigned=assigned) as here:
        decision = approve("1-0", command_id="d-1").model_copy(update={"execution_id": NEIGHBOURS[0]})
        await here.send(decision)
        await here.until(lambda: office.store.get(f"{NEIGHBOURS[0]}.1-0").state == "approved")  # type: ignore[union-attr]
        assert office.table.writes == []
        assigned.set()
        await office.record(f"{NEIGHBOURS[0]}.1-0", lambda r: r.state == "approved")
        assert office.table.followed.count(AT) == 1


async def test_what_nobody_came_to_publish_is_let_go_of_and_read_again() -> None:
    office, assigned, waited = Office(), asyncio.Event(), asyncio.Event()
    await worked(office)

    async def sleep(seconds: float) -> None:
        await (waited.wait() if seconds == OFFERED_S else asyncio.Event().wait())

    async with restored(office, assigned=assigned, sleep=sleep) as here:
        waited.set()
        await here.until(lambda: not office.table._compacted._followers)
        assigned.set()
        await request(office, here, NEW)
        assert office.table.followed.count(AT) == 2


async def test_after_a_write_that_failed_what_was_restored_is_read_and_compared_again() -> None:
    office = Office()
    await worked(office)
    async with restored(office, sleep=_soon) as here:
        office.table.fail = 1
        await request(office, here, NEW)
        assert office.table.followed.count(AT) == 2


async def _soon(seconds: float) -> None:
    await (asyncio.sleep(0) if seconds == AGAIN_S else asyncio.Event().wait())


def test_the_neighbours_are_neighbours() -> None:
    assert len(NEIGHBOURS) == 3
    assert set(map(partial(partition_for, partitions=PARTITIONS), (*NEIGHBOURS, NEW))) == {AT}
