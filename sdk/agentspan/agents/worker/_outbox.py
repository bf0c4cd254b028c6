"""What a worker has to say and was not yet answered: kept and sent again until the gateway answers.

One report is under way at a time; what queues up meanwhile goes into the next one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentspan_schemas.http import ClaimItem, ItemAnswer, ReportAnswer, ResultItem, WorkerReport

Kind = Literal["claim", "decline", "result"]

MAX_BATCH_BYTES = 700 * 1024
"""A report holds about this much of results, so that it stays below 1 MiB; a single one is at most 256 KiB."""

MAX_BATCH_ITEMS = 500

TRY_AGAIN = frozenset({"unavailable", "outcome_unknown"})
"""Codes of an item's answer that say nothing about the item: it is sent again."""


@dataclass(slots=True, eq=False)
class Entry:
    """One thing to say, and the answer to come."""

    kind: Kind
    item: ClaimItem | ResultItem
    size: int
    answer: asyncio.Future[ItemAnswer]
    sent_at: float | None = field(default=None)
    """By the worker's boot-time clock, when it was first sent."""


class Outbox:
    """The entries in the order in which they were put."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._filled = asyncio.Event()
        self._one_by_one = 0

    def put(self, kind: Kind, item: ClaimItem | ResultItem, size: int = 0) -> Entry:
        """Say this with the next report."""
        entry = Entry(kind, item, size, asyncio.get_running_loop().create_future())
        self._entries.append(entry)
        self._filled.set()
        return entry

    async def filled(self) -> None:
        """Return when there is something to say."""
        await self._filled.wait()

    def batch(self) -> list[Entry]:
        """What the next report says; it stays here until it is answered."""
        if self._one_by_one:
            self._one_by_one -= 1
            return self._entries[:1]
        size, batch = 0, list[Entry]()
        for entry in self._entries[:MAX_BATCH_ITEMS]:
            size += entry.size
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(entry)
        return batch

    def split(self, batch: Sequence[Entry]) -> None:
        """The gateway refused the batch as a whole: say its entries one by one, to find the one it means."""
        self._one_by_one = len(batch)

    def settle(self, batch: Sequence[Entry], answer: ReportAnswer) -> bool:
        """Hand the answers to those who wait for them, and forget the entries; whether all were answered."""
        answers = {
            "claim": iter(answer.claims),
            "decline": iter(answer.declines),
            "result": iter(answer.results),
        }
        for entry in batch:
            given = next(answers[entry.kind], None)
            if given is not None and given.code not in TRY_AGAIN:
                self.answer(entry, given)
        return all(entry.answer.done() for entry in batch)

    def answer(self, entry: Entry, given: ItemAnswer) -> None:
        """This entry has its answer; a second one changes nothing."""
        if entry in self._entries:
            self._entries.remove(entry)
        if not entry.answer.done():
            entry.answer.set_result(given)
        if not self._entries:
            self._filled.clear()

    def drop_unsent_claims(self) -> None:
        """Claims that nobody has heard of need no answer: the worker is leaving."""
        for entry in [e for e in self._entries if e.kind == "claim" and e.sent_at is None]:
            self.answer(entry, ItemAnswer(accepted=False, code="withdrawn"))


def report_of(batch: Sequence[Entry]) -> WorkerReport:
    """The entries as one report, each kind in their order."""
    claims = [e.item for e in batch if e.kind == "claim" and isinstance(e.item, ClaimItem)]
    declines = [e.item for e in batch if e.kind == "decline" and isinstance(e.item, ClaimItem)]
    results = [e.item for e in batch if isinstance(e.item, ResultItem)]
    return WorkerReport(claims=tuple(claims), declines=tuple(declines), results=tuple(results))
