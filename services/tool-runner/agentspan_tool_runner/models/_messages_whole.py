"""A message of the Messages API that came as a whole, read as strictly as one that came in pieces.

Apart from the stream because a call's input comes as a value here, and what it said twice has to be kept until it is
looked at.
"""

import json
from collections.abc import Sequence
from typing import Any

from agentspan_tool_runner.models._messages_stream import call_input
from agentspan_tool_runner.models._reading import malformed, mended


def whole(raw: bytes, api: str) -> Any:
    """The mended message; a call's input that says a thing twice is text: the model is told. Raises ModelError."""
    try:
        return mended(_told(json.loads(raw, object_pairs_hook=_Written)))
    except (ValueError, RecursionError) as error:
        raise malformed(api, str(error)) from error


class _Written(dict[str, Any]):
    """An object with its names as they stand: `json.dumps` writes those that stand twice again."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs if len(pairs) > len(self) else None

    def items(self) -> Any:
        return super().items() if self._pairs is None else self._pairs


def _told(message: Any) -> Any:
    match message:
        case {"content": list() as blocks}:
            return {**message, "content": [_block(block) for block in blocks]}
        case _:
            return message


def _block(block: Any) -> Any:
    match block:
        case {"type": "tool_use", "input": dict() as value}:
            return {**block, "input": call_input(json.dumps(value))}
        case _:
            return block
