"""One connection for all that a process follows: many handles, late ones, slow ones, a server that forgets or goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from agentspan.agents import (
    Agent,
    AgentDelta,
    AgentEvent,
    AgentHandle,
    AgentRuntime,
    InvalidRequest,
    NotFound,
    ServerError,
    ServerUnavailable,
    _streams,
    tool,
)
from agentspan.agents._http import Http
from agentspan.agents._streams import Streams
from agentspan_schemas import commands as c
from tests.support.eventually import until
from tests.unit.sdk_core import Reply
from tests.unit.sdk_server import SmallServer


@tool(approval_required=True)
def refund(amount_usd: float) -> dict[str, float]:
    """Pay back."""
    return {"paid": amount_usd}


AGENT = Agent("support", "test/model", tools=[refund])
SCRIPT: list[Reply] = [("", [("refund", {"amount_usd": 1})]), ("paid", [])]
TO_WAITING = 5
"""started, model_called, model_replied, tool_call, waiting."""


@pytest.fixture
def server() -> Iterator[SmallServer]:
    server = SmallServer(lambda turn: SCRIPT[turn])
    yield server
    server.close()


@pytest.fixture
def runtime(server: SmallServer) -> Iterator[AgentRuntime]:
    with AgentRuntime(server_url=server.url) as runtime:
        yield runtime


def opened(server: SmallServer) -> int:
    """How many streams were opened."""
    return sum((method, path) == ("POST", "/api/v1/streams") for method, path, _ in server.requests)


async def test_a_thousand_handles_hold_one_connection(server: SmallServer, runtime: AgentRuntime) -> None:
    first = runtime.start(AGENT, "pay")
    handles = [first, *(AgentHandle(first.execution_id, runtime) for _ in range(999))]
    results = asyncio.gather(*(handle.join_async(timeout=30) for handle in handles))
    await first.approve_async() if await waits(first) else None
    assert {result.status for result in await results} == {"completed"}
    assert opened(server) == 1


def test_an_event_that_is_printed_says_nothing_twice(runtime: AgentRuntime) -> None:
    waits = next(event for event in runtime.start(AGENT, "pay").stream() if event.type == "waiting")
    assert repr(waits).count("amount_usd") == 1
    assert waits.data.type == "waiting"


async def waits(handle: AgentHandle) -> bool:
    async for event in handle.stream_async():
        if event.type == "waiting":
            return True
    return False


async def test_many_runs_are_followed_over_one_connection(server: SmallServer, runtime: AgentRuntime) -> None:
    async def one(number: int) -> str:
        handle = await runtime.start_async(AGENT, f"pay {number}")
        async for event in handle.stream_async():
            if event.type == "waiting":
                await handle.approve_async()
        return (await handle.join_async()).status

    assert await asyncio.gather(*map(one, range(50))) == ["completed"] * 50
    assert opened(server) == 1


@asynccontextmanager
async def streams(server: SmallServer, *, reconnect_for_s: float = 5, linger_s: float = 5) -> AsyncIterator[Streams]:
    http = Http(server.url)
    one = Streams(http, reconnect_for_s=reconnect_for_s, linger_s=linger_s)
    try:
        yield one
    finally:
        await one.close()
        await http.close()


async def seqs(one: Streams, execution_id: str, after: int = 0, until: int | None = None) -> list[int]:
    """Of the events behind `after`, up to `until` or the end."""
    seen: list[int] = []
    batches = one.follow(execution_id, after)
    async for batch in batches:
        seen += [event.seq for event in batch if isinstance(event, AgentEvent)]
        if until is not None and seen and seen[-1] >= until:
            break
    await batches.aclose()
    return seen


def begun(server: SmallServer, key: str = "k") -> str:
    """A run that waits."""
    with AgentRuntime(server_url=server.url) as runtime:
        return runtime.start(AGENT, "pay", idempotency_key=key).execution_id


def ended(server: SmallServer, execution_id: str) -> None:
    server.command(c.Cancel, execution_id, by="user:boss", channel="ui")


async def in_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


async def test_readers_of_one_run_each_get_all_behind_their_place(server: SmallServer) -> None:
    run = await asyncio.to_thread(begun, server)
    async with streams(server) as one:
        early = asyncio.create_task(seqs(one, run))
        assert await seqs(one, run, until=TO_WAITING) == [1, 2, 3, 4, 5]
        late = asyncio.create_task(seqs(one, run, after=2))
        assert await seqs(one, run, after=0, until=TO_WAITING) == [1, 2, 3, 4, 5]
        await in_thread(lambda: ended(server, run))
        assert await early == [1, 2, 3, 4, 5, 6]
        assert await late == [3, 4, 5, 6]
        assert await seqs(one, run, after=6) == []
    assert opened(server) == 1


async def test_what_nobody_reads_any_more_is_not_sent_any_more(server: SmallServer) -> None:
    run, other = await asyncio.to_thread(begun, server), await asyncio.to_thread(begun, server, "other")
    async with streams(server) as one:
        await seqs(one, run, until=TO_WAITING)
        await seqs(one, other, until=TO_WAITING)
        await in_thread(lambda: server.wait(lambda: all(not followed for followed in server.streams.values())))
        assert len(server.streams) == 1


async def test_the_connection_is_let_go_of_when_nobody_reads_and_opened_again(server: SmallServer) -> None:
    run = await asyncio.to_thread(begun, server)
    async with streams(server, linger_s=0) as one:
        await seqs(one, run, until=TO_WAITING)
        await in_thread(lambda: ended(server, run))
        await until(lambda: one._connection is None)  # its timer is nobody's event
        assert await seqs(one, run) == [1, 2, 3, 4, 5, 6]
    assert opened(server) == 2


async def test_a_process_that_does_not_know_the_stream_is_no_obstacle(server: SmallServer) -> None:
    run, other = await asyncio.to_thread(begun, server), await asyncio.to_thread(begun, server, "other")
    async with streams(server) as one:
        reading = asyncio.create_task(seqs(one, run))
        await seqs(one, run, until=TO_WAITING)
        server.forget_streams = True  # as behind an address that several processes share
        assert await seqs(one, other, until=TO_WAITING) == [1, 2, 3, 4, 5]
        await in_thread(lambda: ended(server, run))
        assert await reading == [1, 2, 3, 4, 5, 6]


async def test_a_reader_that_does_not_keep_up_gets_the_rest_when_it_reads_on(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streams, "MOST_UNREAD", 2)
    run = await asyncio.to_thread(begun, server)
    await in_thread(lambda: ended(server, run))
    async with streams(server) as one:
        assert await seqs(one, run) == [1, 2, 3, 4, 5, 6]
    assert len(server.asked_to_follow) > 1


async def test_an_unknown_run_is_not_found_and_others_go_on(server: SmallServer) -> None:
    run = await asyncio.to_thread(begun, server)
    async with streams(server) as one:
        reading = asyncio.create_task(seqs(one, run))
        with pytest.raises(NotFound, match="no execution 'exec-none'"):
            await seqs(one, "exec-none")
        await in_thread(lambda: ended(server, run))
        assert await reading == [1, 2, 3, 4, 5, 6]


async def test_an_id_that_can_be_none_is_refused_before_it_is_asked_for(server: SmallServer) -> None:
    async with streams(server) as one:
        with pytest.raises(InvalidRequest, match="can't be followed"):
            await seqs(one, "x" * 200)
    assert opened(server) == 0


async def test_an_answer_that_is_none_of_a_server_is_told_and_nobody_waits_for_ever(
    server: SmallServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = await asyncio.to_thread(begun, server)
    server.garbled = True
    async with streams(server) as one:
        with pytest.raises(ServerError, match="not of the expected shape"):
            await seqs(one, run)
    assert "the stream of events can't be read" in caplog.text


async def test_a_server_that_stays_away_is_told_to_every_reader(server: SmallServer) -> None:
    run = await asyncio.to_thread(begun, server)
    async with streams(server, reconnect_for_s=0.2) as one:
        readers = [asyncio.create_task(seqs(one, run)) for _ in range(2)]
        await seqs(one, run, until=TO_WAITING)
        await in_thread(server.stop)
        for reader in readers:
            with pytest.raises(ServerUnavailable, match="no Agentspan server answers"):
                await reader
        await in_thread(server.start)
        assert await seqs(one, run, until=TO_WAITING) == [1, 2, 3, 4, 5]


async def test_who_follows_is_told_once_that_the_server_is_away_and_when_it_is_back(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_streams, "TOLD_AFTER_S", 0.1)
    run = await asyncio.to_thread(begun, server)

    def told() -> list[str]:
        return [record.message for record in caplog.records if record.levelname == "WARNING"]

    async with streams(server) as one:
        reader = asyncio.create_task(seqs(one, run))
        await seqs(one, run, until=TO_WAITING)
        await in_thread(server.stop)
        await until(told)
        await in_thread(server.start)
        await until(lambda: len(told()) > 1)
        assert await seqs(one, run, until=TO_WAITING) == [1, 2, 3, 4, 5]
        away, back = told()
        assert away.startswith(
            "no events come; if the server is back within 5 s they go on: no Agentspan server answers"
        )
        assert back == "the server is back, and events go on"
        reader.cancel()


async def test_deltas_reach_only_those_who_ask_for_them(server: SmallServer, runtime: AgentRuntime) -> None:
    server.deltas = {1: "Hel"}
    run = await asyncio.to_thread(begun, server)
    handle = AgentHandle(run, runtime)
    curious = [event async for event in handle.stream_async(after=0, deltas=True) if ends_at(event, 5, server)]
    words = [event for event in curious if isinstance(event, AgentDelta)]
    assert [(event.type, event.text, event.execution_id) for event in words] == [("delta", "Hel", run)]
    assert [event.seq for event in handle.stream(after=0)] == [1, 2, 3, 4, 5, 6]


def ends_at(event: AgentEvent | AgentDelta, seq: int, server: SmallServer) -> bool:
    """Let the run end when this event has come."""
    if isinstance(event, AgentEvent) and event.seq == seq:
        ended(server, event.execution_id)
    return True
