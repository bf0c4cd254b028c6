"""Whose commands go to the log in one turn of the event loop: a person's at once, of machines' so many at a time.

A flood of tickets and of replies of models fills the loop, and what comes then waits for all that came before, a second
and more. Machines wait here instead, in their order, so that each turn is short; who approves passes them.
"""

import asyncio
import math
from collections import deque
from typing import Final

MACHINES_A_TURN: Final = 32
"""Enough that one commit takes many; deciding, writing and acting on so many takes some ten to twenty milliseconds, and
from a decision to its answer the loop turns seven times."""


class Turns:
    """Lets so many through a turn. It waits for nothing else: where the loop has time, the next turn comes at once."""

    def __init__(self, at_once: int = MACHINES_A_TURN) -> None:
        self._at_once = at_once
        self._left = at_once
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()

    async def mine(self, until: float = math.inf) -> None:
        """Return when it is the caller's turn: in the order of asking, but for who asks while a turn is being given.

        Raises TimeoutError when none comes `until` then, by the loop's clock; who asks later gives no earlier one.
        """
        loop = asyncio.get_running_loop()
        if self._left == self._at_once:
            loop.call_soon(self._next, loop)
        if self._left:
            self._left -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((turn, until))
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """The next turn; those that waited come before who asks in it."""
        self._left = self._at_once
        now = loop.time()
        while self._waiting and (self._left or self._waiting[0][1] <= now):
            turn, until = self._waiting.popleft()
            if turn.done():  # whoever waited was cancelled
                continue
            if until <= now:
                turn.set_exception(TimeoutError())
            else:
                turn.set_result(None)
                self._left -= 1
        if self._left < self._at_once:
            loop.call_soon(self._next, loop)
