"""The dead letters of one machine: they stand in a file that people look at while the server runs."""

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentspan.eventlog import WriteError
from agentspan.eventlog.letters import Letter, LetterId, NotReplayable, letters, whole
from agentspan.eventlog.sqlite_letters import SqliteLetters
from agentspan_schemas.dead_letters import Why

WHY = Why("not_in_history", "refused", datetime(2026, 3, 1, 9, tzinfo=UTC), "agentspan.events", 0, 17, "query")
OWN = (("ce_type", b"started"), ("odd", b"\xff\x00"))


async def found(box: SqliteLetters) -> list[Letter]:
    return [letter async for letter in whole(box, lambda _: True)]


async def test_a_letter_is_read_as_it_was_put(tmp_path: Path) -> None:
    box = SqliteLetters(tmp_path / "letters", "events")
    await box.put(b"exec-a", b"\xff{}", (*OWN, *WHY.headers()))
    [letter] = await found(SqliteLetters(tmp_path / "letters", "events"))
    assert (letter.id, letter.key, letter.value) == (LetterId("events", 0, 1), b"exec-a", b"\xff{}")
    assert (letter.headers, letter.why) == (OWN, WHY)


def test_who_only_looks_makes_no_file(tmp_path: Path) -> None:
    assert asyncio.run(letters(SqliteLetters(tmp_path / "letters", "events"))) == []
    assert list(tmp_path.iterdir()) == []


async def test_each_topic_has_its_own(tmp_path: Path) -> None:
    await SqliteLetters(tmp_path / "letters", "events").put(None, b"", WHY.headers())
    assert await letters(SqliteLetters(tmp_path / "letters", "tickets")) == []


async def test_letters_go_after_a_month_and_their_numbers_do_not_come_again(tmp_path: Path) -> None:
    box = SqliteLetters(tmp_path / "letters", "events")
    await box.put(None, b"old", WHY.headers())
    with sqlite3.connect(tmp_path / "letters") as connection:
        connection.execute("UPDATE letter SET at = at - 31 * 24 * 3600")
    connection.close()
    await box.put(None, b"new", WHY.headers())
    assert [(letter.id.offset, letter.value) for letter in await found(box)] == [(2, b"new")]


async def test_what_stands_on_the_log_is_not_sent_again(tmp_path: Path) -> None:
    with pytest.raises(NotReplayable):
        await SqliteLetters(tmp_path / "letters", "events").send(0, b"k", b"v", OWN)


async def test_a_file_that_can_not_be_used_is_a_write_error(tmp_path: Path) -> None:
    (tmp_path / "letters").write_bytes(b"no database" * 100)
    with pytest.raises(WriteError, match="could not be used"):
        await SqliteLetters(tmp_path / "letters", "events").put(b"k", b"v", WHY.headers())
