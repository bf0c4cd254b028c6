"""A client's stream of many executions: what was and what comes, without a gap, whatever the client's pace.

On a real orchestrator and tail; history is read from the log itself, as if ClickHouse had it all.
"""

import asyncio

import pytest

from agentspan_query import service as query_service
from agentspan_query.errors import BadPosition, HistoryUnavailable, TooManyFollowed, UnknownExecution
from agentspan_query.streams import At, Broken, Ended, EventStream, Following, Logged, Passing
from agentspan_schemas.http import Delta
from tests.support.orchestration import say, start
from tests.support.stream_room import Client, room

FIRST, SECOND = "exec-aaaaaaaaaaaaaaaa", "exec-bbbbbbbbbbbbbbbb"
LAST = 4
"""The last event of a run that answers at once: started, model_called, model_replied, done."""


async def test_many_runs_come_over_one_stream_each_in_order_and_to_its_end() -> None:
    async with room() as one:
        await one.begin(FIRST, SECOND)
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST))
        client.stream.follow(Following(SECOND))
        reading = asyncio.create_task(client.until(2 * LAST))
        await one.finish(FIRST, SECOND)
        await reading
        assert client.seqs(FIRST) == client.seqs(SECOND) == [1, 2, 3, 4]
        assert len(client.stream) == 0  # what has ended is not followed any more


async def test_a_run_that_is_on_the_tail_is_not_read_from_history() -> None:
    async with room() as one:
        await one.whole_run(FIRST)
        await one.seen()
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, after=1))
        await client.until(3)
        assert client.seqs(FIRST) == [2, 3, 4]
        assert one.history.reads == []


async def test_one_that_was_just_written_is_waited_for_and_not_looked_for_in_history() -> None:
    async with room() as one:
        answer = await one.here.send(start(FIRST))
        partition, offset = map(int, (answer.position or "").split(":"))
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, at=At(partition, offset)))
        await client.until(2)
        assert client.seqs(FIRST) == [1, 2]
        assert one.history.reads == []


async def test_what_the_tail_let_go_of_comes_from_history_and_goes_on_live() -> None:
    async with room(keep=0) as one:
        await one.here.send(start(FIRST))
        await one.seen()
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST))
        await client.until(2)
        assert one.history.reads == [FIRST]
        await one.here.send(say("Hello.", turn=1, execution_id=FIRST))
        await client.until(LAST)
        assert client.seqs(FIRST) == [1, 2, 3, 4]


async def test_what_comes_live_does_not_wait_for_a_history_that_is_not_there_yet() -> None:
    async with room(keep=0) as one:
        await one.here.send(start(FIRST))
        await one.seen()
        one.history.gate = asyncio.Event()
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, after=2))
        reading = asyncio.create_task(client.until(2))
        await one.history.asked.wait()
        await one.here.send(say("Hello.", turn=1, execution_id=FIRST))
        await reading
        one.history.gate.set()
        assert client.seqs(FIRST) == [3, 4]
        assert len(client.stream) == 0


async def test_one_that_is_parked_is_asked_for_once_and_goes_on_live() -> None:
    async with room(keep=0) as one:
        await one.here.send(start(FIRST))
        await one.seen()
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, after=2))
        client.stream.follow(Following("exec-none"))
        await client.until(1)  # that there is no such one, read after it
        await one.here.send(say("Hello.", turn=1, execution_id=FIRST))
        await client.until(3)
        assert client.seqs(FIRST) == [3, 4]
        assert one.history.reads.count(FIRST) == 1


async def test_a_client_that_does_not_read_is_kept_a_bounded_buffer_and_gets_all_later() -> None:
    async with room() as one:
        stream = EventStream(one.tail, one.query, most=3)
        client = Client(stream)
        others = [f"exec-{number:016d}" for number in range(10)]
        await one.begin(*others)
        for execution_id in others:
            stream.follow(Following(execution_id))
        await client.until(1)
        await one.finish(*others)
        await one.seen()
        assert len(stream._waiting) <= 3
        await client.until(10 * LAST)
        assert all(client.seqs(execution_id) == [1, 2, 3, 4] for execution_id in others)


async def test_events_larger_than_the_buffer_still_come_one_after_the_other() -> None:
    async with room() as one:
        client = Client(EventStream(one.tail, one.query, most_bytes=1))
        client.stream.follow(Following(FIRST))
        await one.whole_run(FIRST)
        await client.until(LAST)
        assert client.seqs(FIRST) == [1, 2, 3, 4]


async def test_one_that_is_over_before_what_the_client_has_says_so() -> None:
    async with room() as one:
        await one.whole_run(FIRST)
        await one.seen()
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, after=LAST))
        assert await client.until(1) == [Ended(FIRST)]
        assert len(client.stream) == 0
    async with room(keep=0) as one:
        await one.whole_run(FIRST)
        await one.seen()
        later = Client(one.query.open_stream())
        later.stream.follow(Following(FIRST, after=LAST))
        assert await later.until(1) == [Ended(FIRST)]


async def test_what_cannot_be_followed_says_why_and_does_not_disturb_the_rest() -> None:
    async with room() as one:
        client = Client(one.query.open_stream())
        client.stream.follow(Following("exec-none"))
        client.stream.follow(Following(SECOND, at=At(9, 0)))
        [unknown, wrong] = await client.until(2)
        assert isinstance(unknown, Broken)
        assert isinstance(unknown.error, UnknownExecution)
        assert isinstance(wrong, Broken)
        assert isinstance(wrong.error, BadPosition)
        client.stream.follow(Following(FIRST))
        reading = asyncio.create_task(client.until(2 + LAST))
        await one.whole_run(FIRST)
        await reading
        assert client.seqs(FIRST) == [1, 2, 3, 4]


async def test_without_history_the_client_is_told_and_can_follow_it_again() -> None:
    async with room(keep=0) as one:
        await one.whole_run(FIRST)
        await one.seen()
        one.history.away = True
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST))
        [told] = await client.until(1)
        assert isinstance(told, Broken)
        assert isinstance(told.error, HistoryUnavailable)
        one.history.away = False
        client.stream.follow(Following(FIRST))
        await client.until(1 + LAST)
        assert client.seqs(FIRST) == [1, 2, 3, 4]


async def test_whoever_has_just_written_is_told_to_ask_again_and_not_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As while the brokers are away: a start was answered, and its events cannot be read yet."""
    monkeypatch.setattr(query_service, "SEEN_WITHIN_S", 0.05)
    async with room() as one:
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST, at=At(0, 99)))
        [told] = await client.until(1)
        assert isinstance(told, Broken)
        assert isinstance(told.error, HistoryUnavailable)
        await one.begin(FIRST)
        client.stream.follow(Following(FIRST, at=At(0, 99)))
        await client.until(1 + 2)
        assert client.seqs(FIRST) == [1, 2]


async def test_following_again_begins_again_and_unfollowing_ends() -> None:
    async with room() as one:
        await one.here.send(start(FIRST))
        client = Client(one.query.open_stream())
        client.stream.follow(Following(FIRST))
        await client.until(2)
        client.stream.follow(Following(FIRST, after=1))
        await client.until(3)
        assert client.seqs(FIRST) == [1, 2, 2]
        client.stream.unfollow(FIRST)
        await one.finish(FIRST)
        await one.whole_run(SECOND)
        client.stream.follow(Following(SECOND))
        await client.until(3 + LAST)
        assert client.seqs(FIRST) == [1, 2, 2]


async def test_deltas_come_to_those_who_asked_and_are_kept_for_nobody() -> None:
    async with room() as one:
        await one.here.send(start(FIRST))
        curious, calm = Client(one.query.open_stream()), Client(one.query.open_stream())
        curious.stream.follow(Following(FIRST, deltas=True))
        calm.stream.follow(Following(FIRST))
        await curious.until(2)
        await calm.until(2)
        assert (one.query.wanted(FIRST), one.query.wanted(SECOND)) == (True, False)
        delta = Delta(execution_id=FIRST, turn=1, attempt=1, offset=0, text="Hel")
        one.query.publish(delta)
        one.query.publish(Delta(execution_id=SECOND, turn=1, attempt=1, offset=0, text="nobody follows this"))
        await one.here.send(say("Hello.", turn=1, execution_id=FIRST))
        sent = await curious.until(5)
        assert isinstance(sent[2], Passing)
        assert Delta.model_validate_json(sent[2].raw) == delta
        await calm.until(4)
        assert not any(isinstance(other, Passing) for other in calm.sent)
        late = [event async for event in one.query.stream(Following(FIRST, deltas=True))]
        assert [type(event) for event in late] == [Logged] * LAST


async def test_a_closed_stream_lets_go_of_everything() -> None:
    async with room() as one:
        stream = one.query.open_stream()
        stream.follow(Following(FIRST))
        stream.follow(Following(SECOND))
        stream.close()
        await one.whole_run(FIRST)
        await one.seen()
        assert len(stream) == 0
        assert stream._waiting == []


async def test_a_stream_follows_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentspan_query.streams.MOST_FOLLOWED", 1)
    async with room() as one:
        stream = one.query.open_stream()
        stream.follow(Following(FIRST))
        with pytest.raises(TooManyFollowed, match="open another, or unfollow some"):
            stream.follow(Following(SECOND))
        stream.follow(Following(FIRST, after=1))


async def test_while_nothing_happens_nothing_runs_for_a_thousand_executions() -> None:
    async with room() as one:
        client = Client(one.query.open_stream())
        ids = [f"exec-{number:016d}" for number in range(1000)]
        for execution_id in ids[:20]:
            await one.here.send(start(execution_id))
        for execution_id in ids:
            client.stream.follow(Following(execution_id, after=2))
        await one.seen()
        reading = asyncio.create_task(client.until(980))  # those that are not there say so
        await reading
        before = asyncio.all_tasks()
        waiting = asyncio.create_task(client.until(982))
        await one.here.send(say("Hello.", turn=1, execution_id=ids[7]))
        await waiting
        assert client.seqs(ids[7]) == [3, 4]
        assert len(asyncio.all_tasks()) <= len(before)


async def test_a_client_that_was_late_is_told_of_an_event_that_history_lacks_and_goes_on_behind_it() -> None:
    async with room(keep=0) as here:
        here.history.lacks = frozenset({2})
        stream = EventStream(here.tail, here.query, most=1)
        stream.follow(Following(FIRST))
        await here.begin(FIRST)
        await here.seen()
        client = Client(stream)
        await client.until(1)
        await client.until(2)
        missing = client.sent.pop()
        assert isinstance(missing, Broken)
        assert str(missing.error).startswith(f"event 2 of {FIRST!r} is missing")
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(here.history.reads) <= 2
        stream.follow(Following(FIRST, after=2))
        waiting = asyncio.create_task(client.until(3))
        await here.finish(FIRST)
        await here.seen()
        await waiting
        assert client.seqs(FIRST) == [1, 3, 4]
        stream.close()
