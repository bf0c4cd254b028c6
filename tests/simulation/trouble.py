"""What goes wrong, and when: a short time in which tickets come, people meddle, and processes freeze, wake, die, come
back and lose their partitions. Then it ends, and whatever is still standing has to finish the work.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentspan_orchestrator.domain import GRANT_S
from tests.simulation.owners import Owner
from tests.simulation.people import Person, Piece
from tests.simulation.process import Process
from tests.simulation.toolside import Hand, Runner

if TYPE_CHECKING:
    from tests.simulation.world import World

BEAT_S = 0.5


class Trouble:
    """The trouble of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chances = world.chances
        self._lasts_s = self._chances.choice((4.0, 10.0, 18.0))
        self._to_come = [self._piece(n) for n in range(self._chances.choice((1, 2, 2, 3)))]
        self._how_often = self._chances.choice((0.1, 0.35, 0.6))
        self._how_meddled = self._chances.choice((0.0, 0.05, 0.3))
        self._errands = [asyncio.get_running_loop().create_task(self._tell())]

    async def run(self) -> None:
        """Make it, until it is over."""
        world = self._world
        until = world.loop.time() + self._lasts_s
        self._begin()
        while world.loop.time() < until:
            await asyncio.sleep(self._chances.random() * 2 * BEAT_S)
            world.auditor.catch_up()
            if self._to_come and self._chances.random() < 0.3:
                self._begin()
            if self._chances.random() < self._how_meddled:
                self._meddle()
            if self._chances.random() < self._how_often:
                self._chances.choice(self._acts())()

    async def end(self) -> None:
        """Send what was not sent yet; thaw and restart everybody; and leave the partitions where they are."""
        world = self._world
        while self._to_come:
            self._begin()
        for errand in self._errands:
            errand.cancel()
        world.network.calm()
        world.script.troubled = False
        for process in self._processes():
            process.thaw()
        for owner in world.owners:
            if not owner.process.alive:
                owner.start()
        self._replace_dead()
        for person in world.people:
            person.troubled = False
        world.assigner.tell()

    def _acts(self) -> list[Callable[[], None]]:
        return [
            self._freeze,
            self._cut_off,
            self._usurp,
            self._usurp,
            self._snatch,
            self._hang_hand,
            self._thaw,
            self._thaw,
            self._thaw,
            self._thaw,
            self._move,
            self._kill_owner,
            self._revive,
            self._revive,
            self._kill_hand,
            self._kill_runner,
            self._send_again,
            self._copy,
        ]

    def _piece(self, number: int) -> Piece:
        timeout_s = self._chances.choice((None, None, None, 10.0, 40.0))
        return Piece(f"{self._world.seed}/{number}", f"Please handle ticket {number}.", timeout_s)

    def _begin(self) -> None:
        piece = self._to_come.pop()
        self._world.pieces.append(piece)
        for person in self._world.people:
            if person is self._world.people[0] or self._chances.random() < 0.3:
                person.begin(piece)

    def _send_again(self) -> None:
        self._chances.choice(self._world.people).begin(self._chances.choice(self._world.pieces))

    def _meddle(self) -> None:
        story = self._world.auditor.story(self._chances.choice(self._world.pieces).execution_id)
        if story is not None:
            self._chances.choice(self._world.people).meddle(story.execution_id)

    def _processes(self) -> list[Process]:
        world = self._world
        everybody: list[Owner | Runner | Hand | Person] = [
            *world.owners, *world.runners, *world.hands, *world.people,
        ]  # fmt: skip
        return [one.process for one in everybody if one.process.alive]

    def _freeze(self) -> None:
        self._chances.choice(self._processes()).freeze()

    def _hang_hand(self) -> None:
        """A worker hangs for longer than a grant is good for, and then goes on as if nothing had been."""
        process = self._chances.choice(self._world.hands).process
        process.freeze()
        self._world.loop.call_later(GRANT_S + self._chances.random() * 3, process.thaw)

    def _cut_off(self) -> None:
        self._chances.choice(self._processes()).cut_off()

    def _usurp(self) -> None:
        """An owner hangs with its writes under way, and its partitions go to another one."""
        owner, heir = self._chances.sample(self._world.owners, 2)
        if self._chances.random() < 0.5:
            owner.process.freeze()
        else:
            owner.process.cut_off()
        for number in owner.serves:
            self._world.assigner.move(number, heir)
        self._world.assigner.tell()

    def _snatch(self) -> None:
        """A partition is given to an owner that hangs while it takes over, and then to another one."""
        self._errands.append(asyncio.get_running_loop().create_task(self._give_and_take()))

    async def _give_and_take(self) -> None:
        world, chances = self._world, self._chances
        number = chances.randrange(world.broker.log.partitions)
        first, second = chances.sample(world.owners, 2)
        world.assigner.move(number, first)
        world.assigner.tell()
        await asyncio.sleep(chances.random() * 1.5)
        first.process.freeze()
        world.assigner.move(number, second)
        world.assigner.tell()
        await asyncio.sleep(1 + chances.random() * 4)
        first.process.thaw()

    def _thaw(self) -> None:
        if frozen := [process for process in self._processes() if process.frozen]:
            self._chances.choice(frozen).thaw()

    def _move(self) -> None:
        world = self._world
        world.assigner.move(self._chances.randrange(world.broker.log.partitions), self._chances.choice(world.owners))

    def _copy(self) -> None:
        for cache in self._chances.choice(self._world.owners).caches.values():
            cache.copy()

    def _kill_owner(self) -> None:
        owner = self._chances.choice(self._world.owners)
        if not owner.process.alive:
            return
        owner.process.kill()
        for cache in owner.caches.values():
            match self._chances.randrange(3):
                case 0:
                    cache.clear()
                case 1:
                    cache.set_back()
                case _:
                    pass

    def _revive(self) -> None:
        dead: list[Owner] = [owner for owner in self._world.owners if not owner.process.alive]
        if dead:
            self._chances.choice(dead).start()
        self._replace_dead()

    def _kill_hand(self) -> None:
        self._chances.choice(self._world.hands).process.kill()

    def _kill_runner(self) -> None:
        self._chances.choice(self._world.runners).process.kill()

    def _replace_dead(self) -> None:
        world = self._world
        world.runners = [r if r.process.alive else world.runner(n) for n, r in enumerate(world.runners)]
        world.hands = [hand if hand.process.alive else world.hand() for hand in world.hands]

    async def _tell(self) -> None:
        while True:
            self._world.assigner.tell()
            await asyncio.sleep(self._chances.random() * 3 * BEAT_S)
