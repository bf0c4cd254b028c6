"""What every table promises: the last record of each key, for those who come late and for those who follow."""

from collections.abc import Callable

import pytest

from agentspan.eventlog import CaughtUp, Change, Record, Table
from tests.contract.reading import record, take

Tables = Callable[[], Table]


async def standing(table: Table, partition: int | None = None) -> dict[str, Record | None]:
    """What stands, as a newcomer is told."""
    found: dict[str, Record | None] = {}
    async for change in table.follow(partition):
        match change:
            case CaughtUp():
                break
            case Change(key=key, record=stands):
                assert key not in found
                found[key] = stands
    return found


async def test_a_newcomer_gets_what_stands_then_each_change(tables: Tables) -> None:
    table = tables()
    for key in ("a", "b", "c", "a"):
        await table.put(key, record(key))
    await table.put("b", None)
    follower = tables().follow()
    first = await take(follower, 3)
    assert first[-1] == CaughtUp()
    assert {change.key for change in first if isinstance(change, Change)} == {"a", "c"}
    await table.put("c", None)
    await table.put("d", record("d"))
    # of two keys, which may be in two partitions, nobody promises which comes first
    later = [change for change in await take(follower, 2) if isinstance(change, Change)]
    assert {change.key: change.record for change in later} == {"c": None, "d": record("d")}


async def test_an_empty_table_is_caught_up_with_at_once(tables: Tables) -> None:
    assert await standing(tables()) == {}


async def test_writes_of_one_process_stand_in_their_order(tables: Tables) -> None:
    table = tables()
    written = [table.put("x", record(str(i))) for i in range(9)] + [
        table.put("x", None),
        table.put("x", record("last")),
    ]
    for put in written:
        await put
    assert await standing(tables()) == {"x": record("last")}


async def test_a_stale_write_stands_until_somebody_puts_it_right(tables: Tables) -> None:
    """Tables fence nobody: that is why a closed task that came back is buried again."""
    owner, stale = tables(), tables()
    await owner.put("exec-1/0-0/1", record("open"))
    await owner.put("exec-1/0-0/1", None)
    await stale.put("exec-1/0-0/1", record("open"))
    assert await standing(tables()) == {"exec-1/0-0/1": record("open")}
    await owner.put("exec-1/0-0/1", None)
    assert await standing(tables()) == {}


async def test_a_stale_write_under_its_own_epoch_hides_no_later_one(tables: Tables) -> None:
    """Snapshots: keyed by execution and epoch, so that a restorer can take the highest."""
    owner, stale = tables(), tables()
    await owner.put("exec-1/6", record("later"))
    await stale.put("exec-1/5", record("earlier"))
    found = await standing(tables())
    assert found[max(found, key=lambda key: int(key.split("/")[1]))] == record("later")


async def test_two_followers_see_the_same_changes_of_each_key(tables: Tables) -> None:
    followers = [tables().follow() for _ in range(2)]
    for follower in followers:
        assert await take(follower, 1) == [CaughtUp()]
    for key in ("a", "b"):
        await tables().put(key, record(key))
    await tables().put("a", None)
    for follower in followers:
        seen = [change for change in await take(follower, 3) if isinstance(change, Change)]
        assert [change.record for change in seen if change.key == "a"] == [record("a"), None]
        assert [change.record for change in seen if change.key == "b"] == [record("b")]


async def test_a_partition_that_was_chosen_is_kept(tables: Tables) -> None:
    table = tables()
    if table.partitions == 1:
        with pytest.raises(ValueError, match="one partition"):
            table.put("x", record("x"), partition=1)
        return
    await table.put("zero", record("zero"), partition=0)
    await table.put("one", record("one"), partition=1)
    assert await standing(tables(), 0) == {"zero": record("zero")}
    assert await standing(tables(), 1) == {"one": record("one")}
    assert set(await standing(tables())) == {"zero", "one"}
