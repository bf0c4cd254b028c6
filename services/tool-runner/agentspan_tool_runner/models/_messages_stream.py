"""A message of the Messages API put together from its stream, so that it reads like one that came as a whole.

Apart from the translation because it knows nothing of agents. Events, blocks and deltas of a kind that is unknown here
are left as they are or passed over, as the API asks of its clients.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from agentspan_schemas.names import each_once
from agentspan_tool_runner.models._failures import cut_off
from agentspan_tool_runner.models._reading import malformed

_APPENDED = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""The field of each kind of delta that is text to append."""


class Assembly:
    """`take` each event, then ask for the `message`."""

    def __init__(self, api: str, on_text: Callable[[str], None] | None) -> None:
        self._api = api
        self._on_text = on_text
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._parts: defaultdict[tuple[int, str], list[str]] = defaultdict(list)

    def take(self, event: object) -> None:
        """One event of the stream. Raises ModelError for what is none."""
        match event:
            case {"type": "message_start", "message": dict() as message}:
                self._message = dict(message)
            case {"type": "content_block_start", "index": int() as at, "content_block": dict() as block}:
                self._blocks[at] = dict(block)
            case {"type": "content_block_delta", "index": int() as at, "delta": dict() as delta} if at in self._blocks:
                self._delta(at, delta)
            case {"type": "message_delta", "delta": dict() as delta, **rest}:
                self._ends(delta, rest.get("usage"))
            case {"type": "message_start" | "content_block_start" | "content_block_delta" | "message_delta"}:
                raise malformed(self._api, f"an event {str(event)[:200]}")
            case {"type": str()}:
                pass
            case _:
                raise malformed(self._api, f"an event {str(event)[:200]}")

    def message(self) -> dict[str, Any]:
        """The whole message. Raises ModelError when the stream ended before it did."""
        if self._message is None or not self._message.get("stop_reason"):
            raise cut_off(self._api)
        return {**self._message, "content": [self._block(at) for at in sorted(self._blocks)]}

    def _delta(self, at: int, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        field = _APPENDED.get(str(kind))
        if kind == "citations_delta":
            self._blocks[at]["citations"] = [*(self._blocks[at].get("citations") or ()), delta.get("citation")]
        elif field is not None and isinstance(words := delta.get(field), str):
            self._parts[at, field].append(words)
            if field == "text" and self._on_text is not None:
                self._on_text(words)

    def _ends(self, delta: dict[str, Any], usage: object) -> None:
        if self._message is None:
            raise malformed(self._api, "a message that ends before it began")
        self._message.update(delta)
        if isinstance(usage, dict):
            told = {name: count for name, count in usage.items() if count is not None}
            self._message["usage"] = {**(self._message.get("usage") or {}), **told}

    def _block(self, at: int) -> dict[str, Any]:
        block = self._blocks[at]
        for field in ("text", "thinking", "signature"):
            if parts := self._parts.get((at, field)):
                block[field] = str(block.get(field) or "") + "".join(parts)
        if parts := self._parts.get((at, "partial_json")):
            block["input"] = call_input("".join(parts))
        return block


def call_input(written: str) -> Any:
    """The value of a call's input; what is no JSON, or says a thing twice, stays text, for the model to be told."""
    try:
        return json.loads(written, object_pairs_hook=each_once) if written.strip() else {}
    except (ValueError, RecursionError):
        return written
