"""Waiting for a sequence to grow: who is woken, and what is left of those who gave up."""

import asyncio

import pytest

from agentspan.eventlog import Watermark

SOON_S = 0.01


async def test_who_waits_is_woken_once_the_end_is_above_its_offset() -> None:
    watermark = Watermark(3)
    await watermark.passed(2)
    waiting = [asyncio.create_task(watermark.passed(offset)) for offset in (3, 4)]
    await asyncio.sleep(0)
    watermark.grow(4)
    await waiting[0]
    assert not waiting[1].done()
    watermark.grow(6)
    await waiting[1]


async def test_an_end_that_moves_back_lets_nobody_pass() -> None:
    watermark = Watermark(3)
    waiting = asyncio.create_task(watermark.passed(3))
    await asyncio.sleep(0)
    for end in (0, 3):
        watermark.grow(end)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    watermark.grow(4)
    await waiting


async def test_nothing_is_kept_of_who_gave_up() -> None:
    watermark = Watermark()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await watermark.passed(0)
    assert watermark._waiting == []


async def test_who_gives_up_in_the_moment_of_growth_disturbs_nobody() -> None:
    watermark = Watermark()
    leaving, staying = asyncio.create_task(watermark.passed(0)), asyncio.create_task(watermark.passed(0))
    await asyncio.sleep(0)
    leaving.cancel()
    watermark.grow(1)
    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
