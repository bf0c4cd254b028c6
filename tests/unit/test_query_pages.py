"""Pages of many executions that are read together: who asks meanwhile waits for one statement, not for as many."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentspan_query.adapters.pages import MOST_TOGETHER, Pages
from agentspan_query.errors import HistoryUnavailable


class Database:
    """Answers when it is told to. Each execution has three events."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.answers = asyncio.Semaphore(0)
        self.away = False

    async def read(self, statement: str, params: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        self.asked.append(params)
        await self.answers.acquire()
        if self.away:
            raise HistoryUnavailable("ClickHouse does not answer; try again")
        return [
            (execution_id, seq, "waiting", "{}")
            for execution_id, after in zip(params["ids"], params["afters"], strict=True)
            for seq in range(after + 1, 4)
        ]

    def answer(self, times: int = 100) -> None:
        for _ in range(times):
            self.answers.release()


async def _asked(pages: Pages, *wanted: tuple[str, int, int]) -> list[asyncio.Task[list[int]]]:
    async def seqs(execution_id: str, after: int, limit: int) -> list[int]:
        return [event.seq for event in await pages.page(execution_id, after, limit)]

    tasks = [asyncio.create_task(seqs(*each)) for each in wanted]
    await asyncio.sleep(0)
    return tasks


async def test_who_asks_alone_waits_for_nobody_and_who_asks_meanwhile_goes_together() -> None:
    database = Database()
    pages = Pages(database.read)
    first = await _asked(pages, ("a", 0, 10))
    await asyncio.sleep(0)
    later = await _asked(pages, ("b", 1, 10), ("c", 3, 10), ("b", 2, 10), ("d", 0, 5))
    database.answer()
    assert await asyncio.gather(*first, *later) == [[1, 2, 3], [2, 3], [], [3], [1, 2, 3]]
    assert [(params["ids"], params["afters"], params["limit"]) for params in database.asked] == [
        (["a"], [0], 10),
        (["b", "c"], [1, 3], 10),  # one limit a statement, and each execution once
        (["b"], [2], 10),
        (["d"], [0], 5),
    ]


async def test_a_statement_asks_for_a_bounded_number() -> None:
    database = Database()
    pages = Pages(database.read)
    asked = await _asked(pages, *((f"e{number}", 0, 10) for number in range(3 * MOST_TOGETHER)))
    database.answer()
    await asyncio.gather(*asked)
    assert max(len(params["ids"]) for params in database.asked) == MOST_TOGETHER
    assert len(database.asked) <= 4


async def test_all_who_asked_together_hear_of_an_error_and_the_next_is_read() -> None:
    database = Database()
    database.away = True
    pages = Pages(database.read)
    asked = await _asked(pages, ("a", 0, 10), ("b", 0, 10))
    database.answer()
    for each in asked:
        with pytest.raises(HistoryUnavailable):
            await each
    database.away = False
    assert len(await pages.page("a", 0, 10)) == 3


async def test_who_has_gone_is_not_read_for() -> None:
    database = Database()
    pages = Pages(database.read)
    [first] = await _asked(pages, ("a", 0, 10))
    await asyncio.sleep(0)
    [gone, stays] = await _asked(pages, ("b", 0, 10), ("c", 0, 10))
    gone.cancel()
    await asyncio.wait([gone])
    database.answer()
    assert await first == await stays == [1, 2, 3]
    assert [params["ids"] for params in database.asked] == [["a"], ["c"]]
