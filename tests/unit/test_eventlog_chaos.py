"""Real owners over a bad network, by seed: whatever happens, what was released counts, and the log tells everybody the
same story wherever they begin to read."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from agentspan.eventlog import Deposed, Outcome, Ownership, Position, Reader, Record, Stored, WriteError
from agentspan.eventlog.memory import Faults, Link, MemoryLog

RENEW_AFTER = 12


async def turns(seconds: float) -> None:
    """Time passes as turns of the event loop."""
    for _ in range(int(seconds)):
        await asyncio.sleep(0)


@dataclass
class Run:
    """Three processes that gain, lose, freeze and forget one partition."""

    seed: int
    released: list[Outcome] = field(default_factory=list)
    takeovers: int = 0

    async def play(self) -> list[Stored]:
        chances = random.Random(self.seed)
        self.log = MemoryLog(1, renew_after=RENEW_AFTER)
        await asyncio.gather(*[self.process(chances, number) for number in range(3)])
        raw = self.log.partition(0).raw
        return list(await raw.read(0, await raw.end()))

    async def process(self, chances: random.Random, number: int) -> None:
        lost = {"lose": 0.01, "tear": 0.005, "forget": 0.01, "repeat": 0.01}
        link = Link(Faults(chances, turns, **lost, delay_s=4, stall=0.02, stall_s=200))
        partition = self.log.over(link).partition(0)
        for life in range(4):
            await turns(chances.randrange(150))
            try:
                owner = await partition.take_over(f"{number}.{life}")
                self.takeovers += 1
                restored = [outcome async for outcome in partition.follow(until=owner.position)]
                await self.work(chances, link, owner, restored)
            except (Deposed, WriteError):
                continue

    async def work(self, chances: random.Random, link: Link, owner: Ownership, restored: list[Outcome]) -> None:
        """Append, some outcomes ahead of their release; what is released continues what was restored, for ever."""
        story = list(restored)
        waiting: list[asyncio.Future[Outcome]] = []
        for _ in range(chances.randrange(25)):
            key = f"{len(story) + len(waiting)}"
            waiting.append(owner.append([Record("x", key, b"{}")] * chances.randint(1, 3)))
            if chances.random() < 0.08:
                link.freeze()
                asyncio.get_running_loop().create_task(self.thaw(link, chances.randrange(300)))
            while waiting and chances.random() < 0.6:
                story.append(await waiting.pop(0))
                self.released.append(story[-1])
        for outcome in waiting:
            self.released.append(await outcome)
        owner.close()

    async def thaw(self, link: Link, seconds: int) -> None:
        await turns(seconds)
        link.thaw()


def read(log: list[Stored], position: Position) -> list[Outcome]:
    reader = Reader(position)
    return [outcome for stored in log[position.offset :] if (outcome := reader.feed(stored)) is not None]


@pytest.mark.parametrize("first", range(0, 400, 80))
def test_what_was_released_counts_wherever_one_begins_to_read(first: int) -> None:
    ghosts = 0
    for seed in range(first, first + 80):
        run = Run(seed)
        log = asyncio.run(run.play())
        whole = read(log, Position(0, 0, 0))
        missing = [outcome for outcome in run.released if outcome not in whole]
        assert not missing, f"seed {seed}: released, and does not count: {missing[0]}"
        keys = [outcome.records[0].record.key for outcome in whole]
        assert keys == [str(at) for at in range(len(whole))], f"seed {seed}: each owner went on where the last ended"
        for start in range(1, len(log) + 1):
            back = Position(log[start - 1].stamp.takeover, 0, 0)
            middle = [outcome for outcome in read(log, back) if outcome.position.offset > start]
            assert middle == [outcome for outcome in whole if outcome.position.offset > start], f"seed {seed}: {start}"
        ghosts += sum(stored.stamp.n > 0 for stored in log) - sum(len(outcome.records) for outcome in whole)
    assert ghosts > 80, "the network was kinder than it should be"
