"""Makes the turns that the offline model `replay/retail_support` plays for each task: no model API is needed.

Apart from the agent because it is what stands in for a model. A recording looks up the user, then each order the task
names (all in one turn), then makes the task's calls one turn each, refused ones too, and closes with an answer.

    python -m examples.retail_support.recordings FOLDER     writes FOLDER/<ticket id>.json for every task
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

from . import phrases
from .data import DATA, Call, Task, load_database, load_tasks
from .memory import MemoryShop
from .records import Database, ShopError

CHARS_PER_TOKEN: Final = 4
"""Recorded usage is an estimate by this rule of thumb, so that costs in the history look as they would."""

_PURPOSE: Final = "Write the replayed model turns of every task, one JSON file a ticket."


class ToolCall(TypedDict):
    tool: str
    args: dict[str, Any]


class Usage(TypedDict):
    input_tokens: int
    output_tokens: int


class Turn(TypedDict):
    text: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    usage: Usage


class Recording(TypedDict):
    turns: list[Turn]


def recording(task: Task, database: Database) -> Recording:
    """The model's turns for the task; played over a fresh copy they leave exactly its expected changes."""
    talk = _Conversation(MemoryShop(database), heard_chars=len(task.instruction))
    talk.say(phrases.LOOK_UP_USER, Call("get_user_details", {"user_id": task.user_id}))
    if task.order_ids:
        orders = [Call("get_order_details", {"order_id": order_id}) for order_id in task.order_ids]
        talk.say(phrases.LOOK_UP_ORDERS, *orders)
    refusals = [refusal for call in task.actions for refusal in talk.say(phrases.before(call), call)]
    talk.say(phrases.closing(list(zip(task.actions, refusals, strict=True)), task.outputs))
    return Recording(turns=talk.turns)


def write_recordings(folder: Path, data: Path = DATA) -> int:
    """Write `<ticket id>.json` for every task of the data folder, and say how many."""
    database, tasks = load_database(data), load_tasks(data)
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        path = folder / f"{task.ticket_id}.json"
        path.write_text(json.dumps(recording(task, database), indent=1) + "\n", encoding="utf-8")
    return len(tasks)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: one folder in, 520 files out. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.retail_support.recordings", description=_PURPOSE)
    parser.add_argument("folder", type=Path, help="where the files go; made if it is missing")
    folder: Path = parser.parse_args(argv).folder
    try:
        count = write_recordings(folder)
    except OSError as error:
        parser.error(f"cannot write to {str(folder)!r}: {error.strerror}: name a folder that can be written to")
    print(f"{count} recordings in {folder}")
    return 0


class _Conversation:
    """A run in the making: every turn is played on the shop at once, so that the next can speak of its answers."""

    def __init__(self, shop: MemoryShop, heard_chars: int) -> None:
        self.turns: list[Turn] = []
        self._shop = shop
        self._heard_chars = heard_chars

    def say(self, text: str, *calls: Call) -> list[str | None]:
        """Add one turn. Returns for each call None, or the text by which the shop refused it."""
        turn = _turn(self._heard_chars, text, calls)
        self.turns.append(turn)
        self._heard_chars += len(json.dumps(turn))
        return [self._play(call) for call in calls]

    def _play(self, call: Call) -> str | None:
        try:
            self._heard_chars += len(json.dumps(self._shop.call(call.tool, call.args)))
        except ShopError as refusal:
            self._heard_chars += len(str(refusal))
            return str(refusal)
        return None


def _turn(heard_chars: int, text: str, calls: Sequence[Call]) -> Turn:
    tool_calls = [ToolCall(tool=call.tool, args=dict(call.args)) for call in calls]
    said_chars = len(text) + len(json.dumps(tool_calls))
    turn = Turn(usage=Usage(input_tokens=heard_chars // CHARS_PER_TOKEN, output_tokens=said_chars // CHARS_PER_TOKEN))
    if text:
        turn["text"] = text
    if tool_calls:
        turn["tool_calls"] = tool_calls
    return turn


if __name__ == "__main__":
    raise SystemExit(main())
