"""Approvals out: what another team reads on the table, after everything that can happen to who writes it."""

import asyncio
import zlib
from collections.abc import Sequence
from functools import partial

from agentspan.eventlog import Position, Record, partition_for
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.publisher import AGAIN_S, SWEEP_S
from agentspan_approvals.publishing import KEPT
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.codec import encode
from tests.support.approvals import PARTITIONS, Office, Writing
from tests.support.orchestration import ARGS, EXECUTION, Process, approve, ask, claim, result, start

CALL = f"{EXECUTION}.1-0"
AT = partition_for(EXECUTION, PARTITIONS)


async def request(here: Process) -> None:
    await here.send(start())
    await here.send(ask("refund"))


def entry(record: ApprovalRecord) -> Record:
    return Record("approval", record.execution_id, encode(record))


async def test_a_request_and_each_of_its_later_states_are_published_in_its_executions_partition() -> None:
    office = Office()
    async with office.open() as here:
        await request(here)
        pending = await office.record(CALL, lambda r: r.state == "pending")
        await here.send(approve("1-0"))
        approved = await office.record(CALL, lambda r: r.state == "approved")
        await here.send(claim("1-0"))
        await here.send(result("1-0", claim_id="claim-1"))
        await office.record(CALL, lambda r: r.state == "approved")
    assert (pending.args, pending.tool, pending.decided_by) == (ARGS, "refund", None)
    assert (approved.decided_by, approved.ended_at) == ("user:bo", office.world.clock.at)
    [(_, _, first), (key, partition, last)] = office.table.writes
    assert first is not None
    assert last is not None
    assert (key, partition) == (CALL, AT)
    assert (last.type, last.key) == ("approval", EXECUTION)
    assert approved.ended_at is not None
    how_far = {name: last.attributes[name] for name in ("position", "published")}
    assert last.attributes == how_far | {
        "seq": str(approved.seq), "state": "approved", "agent": "support", "tool": "refund", "attempts": "0",
        "requestedat": approved.requested_at.isoformat(), "endedat": approved.ended_at.isoformat(),
        "schemaversion": "1", "crc32": f"{zlib.crc32(last.value):08x}", "logid": office.world.log.id,
    }  # fmt: skip
    assert Position.parse(how_far["published"]).offset < Position.parse(how_far["position"]).offset


async def test_what_changed_while_nobody_published_is_published_later() -> None:
    office = Office()
    async with office.open() as here:
        await request(here)
        await office.record(CALL, lambda r: r.state == "pending")
    office.table.fail = 10**6
    async with office.open() as here:
        await here.send(approve("1-0"))
    office.table.fail = 0
    async with office.open():
        await office.record(CALL, lambda r: r.state == "approved")


async def test_a_view_that_is_folded_anew_publishes_nothing_twice() -> None:
    office = Office()
    async with office.open() as here:
        await request(here)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
    before = len(office.table.writes)
    office.store = SqliteApprovalStore(":memory:")
    async with office.open() as here:
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
        await here.send(ask("refund", execution_id="exec-bbbbbbbbbbbbbbbb"))
        await office.record("exec-bbbbbbbbbbbbbbbb.1-0", lambda r: r.state == "pending")
        await here.until(lambda: office.store.get(CALL))
    assert [key for key, *_ in office.table.writes[before:]] == ["exec-bbbbbbbbbbbbbbbb.1-0"]


async def test_what_a_writer_that_woke_up_late_wrote_over_is_put_right() -> None:
    office = Office()
    async with office.open() as here:
        await request(here)
        pending = await office.record(CALL, lambda r: r.state == "pending")
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        await office.table.put(CALL, entry(pending), partition=AT)
        assert (await office.record(CALL, lambda r: r.state == "approved")).seq > pending.seq
        await office.table.put(CALL, Record("approval", EXECUTION, b"{}"), partition=AT)
        await office.record(CALL, lambda r: r.state == "approved")
        await office.table.put(CALL, None, partition=AT)
        await office.record(CALL, lambda r: r.state == "approved")


async def test_what_somebody_wrote_who_has_read_further_stays() -> None:
    office = Office()
    async with office.open() as here:
        await request(here)
        pending = await office.record(CALL, lambda r: r.state == "pending")
        further = pending.model_copy(update={"seq": pending.seq + 5})
        await office.table.put(CALL, entry(further), partition=AT)
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
        await here.send(ask("refund", execution_id="exec-bbbbbbbbbbbbbbbb"))
        await office.record("exec-bbbbbbbbbbbbbbbb.1-0", lambda r: True)
        assert (await office.record(CALL, lambda r: True)).seq == further.seq


async def test_after_a_write_that_was_not_acknowledged_all_is_compared_again() -> None:
    office, pauses = Office(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if seconds == SWEEP_S:
            await asyncio.Event().wait()

    office.table.fail = 2
    async with office.open(sleep) as here:
        await request(here)
        await office.record(CALL, lambda r: r.state == "pending")
    assert pauses.count(AGAIN_S) == 2


async def test_a_request_is_forgotten_90_days_after_its_end_and_never_comes_back() -> None:
    office, hour = Office(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == SWEEP_S
        await hour.wait()
        hour.clear()

    async with office.open(sleep) as here:
        await request(here)
        await here.send(start("exec-bbbbbbbbbbbbbbbb"))
        await here.send(ask("refund", execution_id="exec-bbbbbbbbbbbbbbbb"))
        await office.record("exec-bbbbbbbbbbbbbbbb.1-0", lambda r: True)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        office.world.clock.advance(KEPT.total_seconds())
        hour.set()
        await here.until(lambda: office.table.writes[-1] == (CALL, AT, None))
    before = len(office.table.writes)
    office.store = SqliteApprovalStore(":memory:")
    async with office.open(sleep) as here:
        await here.until(lambda: office.store.get(CALL))
        await office.record("exec-bbbbbbbbbbbbbbbb.1-0", lambda r: True)
    assert len(office.table.writes) == before


class Slow(Writing):
    """From when it is told on, what is written stays on its way."""

    slow = False

    def put(self, key: str, record: Record | None, *, partition: int | None = None) -> asyncio.Future[Sequence[None]]:
        if not self.slow:
            return super().put(key, record, partition=partition)
        self.writes.append((key, partition, record))
        return asyncio.get_running_loop().create_future()


def _all_wait(hours: list[float], times: int) -> bool:
    return len(hours) == PARTITIONS * times


async def test_what_is_on_its_way_to_a_request_is_not_written_over_by_the_next_look() -> None:
    table = Slow()
    office, hour, hours = Office(table=table), asyncio.Event(), list[float]()

    async def sleep(seconds: float) -> None:
        hours.append(seconds)
        await hour.wait()
        hour.clear()

    async with office.open(sleep) as here:
        await request(here)
        await here.send(approve("1-0"))
        await office.record(CALL, lambda r: r.state == "approved")
        office.world.clock.advance(KEPT.total_seconds())
        table.slow = True
        for looks in (1, 2):
            hour.set()
            await here.until(partial(_all_wait, hours, 1 + looks))
    assert table.writes.count((CALL, AT, None)) == 1
