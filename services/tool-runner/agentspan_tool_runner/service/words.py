"""One reply's words on their way to those who follow word by word: a few deltas a second, whatever a model streams.

Apart from the lane because it is about a reply while there is none yet. The first words go at once, the rest every
50 ms. While nobody follows they are only counted.
"""

import asyncio

from agentspan_schemas.http import Delta
from agentspan_schemas.tasks import ModelTask
from agentspan_tool_runner.models import mended_text
from agentspan_tool_runner.ports import Deltas, Sleep

PAUSE_S = 0.05
"""So long words are gathered: an eye sees no difference, and a stream carries at most 20 deltas a second of a reply."""


class Words:
    """The words of one attempt. `take` them as they come, and `close` when there are no more."""

    def __init__(self, task: ModelTask, deltas: Deltas, sleep: Sleep) -> None:
        self._task = task
        self._deltas = deltas
        self._sleep = sleep
        self._offset = 0
        self._held: list[str] = []
        self._half = ""
        self._pausing: asyncio.Task[None] | None = None

    def take(self, text: str) -> None:
        """The next words."""
        text = self._of_whole_characters(text)
        if not self._deltas.wanted(self._task.execution_id):
            self._offset += sum(map(len, self._held)) + len(text)
            self._held.clear()
            return
        if not text:
            return
        self._held.append(text)
        if self._pausing is None:
            self._hand_on()
            self._pausing = asyncio.get_running_loop().create_task(self._pause())

    def close(self) -> None:
        """Hand on what is held."""
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None
        if self._half:
            self._held.append(mended_text(self._half))
            self._half = ""
        self._hand_on()

    async def _pause(self) -> None:
        await self._sleep(PAUSE_S)
        while self._held:
            self._hand_on()
            await self._sleep(PAUSE_S)
        self._pausing = None

    def _hand_on(self) -> None:
        if not self._held:
            return
        text = "".join(self._held)
        self._deltas.publish(
            Delta(
                execution_id=self._task.execution_id,
                turn=self._task.turn,
                attempt=self._task.attempt,
                offset=self._offset,
                text=text,
            )
        )
        self._offset += len(text)
        self._held.clear()

    def _of_whole_characters(self, text: str) -> str:
        """An API may cut an emoji in two; its first half waits for the other, so that offsets count as the reply's."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return mended_text(text[: len(text) - len(self._half)])
