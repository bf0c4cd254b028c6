"""How a worker that stops waits for what it has in hand. Apart from the worker because of what it says meanwhile: who
presses Ctrl-C and sees nothing happen presses it again, and cuts off a call that would have ended.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

QUIETLY_S = 2.0
"""What takes no longer is not worth a word, nor is what a program that has ended leaves behind: it waits no longer."""

NAMED = 3
"""So many calls are named."""


async def in_hand_ended(
    held: Mapping[str, "asyncio.Future[Any]"], within_s: float, *, quietly_s: float = QUIETLY_S
) -> None:
    """Return when the tasks have ended, or their time is over. Those that take a while are told."""
    quietly_s = min(within_s, quietly_s)
    slow = await _still_there(dict(held), quietly_s)
    if not slow or quietly_s == within_s:
        return
    keys = ", ".join(list(slow)[:NAMED]) + (f" and {len(slow) - NAMED} more" if len(slow) > NAMED else "")
    logger.warning("stopping: %s may take up to %g s to end; Ctrl-C now cuts that short", keys, within_s)
    await _still_there(slow, within_s - quietly_s)


async def _still_there(held: dict[str, "asyncio.Future[Any]"], within_s: float) -> dict[str, "asyncio.Future[Any]"]:
    if held:
        await asyncio.wait(held.values(), timeout=within_s)
    return {key: task for key, task in held.items() if not task.done()}
