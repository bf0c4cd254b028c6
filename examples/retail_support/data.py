"""Reads the shop's database and the tasks from the data folder.

Apart because the folder is an argument: the demo must fail when one value of one task is altered, and a test says so
by pointing it at an altered copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from .records import Changes, Database

DATA: Final = Path(__file__).parent / "data"
TASK_FILES: Final = ("tasks_dev", "tasks_train")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, as a task lists it."""

    tool: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """A ticket with its right outcome."""

    ticket_id: str
    """`<file>-<task_id>`: the task ids of the two files overlap."""
    user_id: str
    instruction: str
    """The customer's situation: the ticket's text."""
    actions: tuple[Call, ...]
    outputs: tuple[str, ...]
    """What the answer to the customer must mention."""
    expected_changes: Changes
    errors: tuple[str, ...]
    """What those of the calls answer that are refused, in order."""

    @property
    def order_ids(self) -> tuple[str, ...]:
        """The orders that the calls name, each once, in order."""
        named = (call.args["order_id"] for call in self.actions if "order_id" in call.args)
        return tuple(dict.fromkeys(named))


def load_database(folder: Path = DATA) -> Database:
    """The shop before any ticket."""
    return Database(
        users=_read(folder / "users.json"),
        orders=_read(folder / "orders.json"),
        products=_read(folder / "products.json"),
    )


def load_tools(folder: Path = DATA) -> list[dict[str, Any]]:
    """Name, description and JSON Schema of the parameters of each tool."""
    return cast("list[dict[str, Any]]", _read(folder / "tools.json"))


def load_tasks(folder: Path = DATA) -> tuple[Task, ...]:
    """All tasks, the small file's first. A file in parts is read part after part."""
    return tuple(_task(name, raw) for name in TASK_FILES for raw in _raw_tasks(folder, name))


def _raw_tasks(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{name}.*json")):
        yield from _read(path)


def _task(file: str, raw: Mapping[str, Any]) -> Task:
    return Task(
        ticket_id=f"{file}-{raw['task_id']}",
        user_id=raw["user_id"],
        instruction=raw["instruction"],
        actions=tuple(Call(action["tool"], action["args"]) for action in raw["actions"]),
        outputs=tuple(raw["outputs"]),
        expected_changes=raw["expected_changes"],
        errors=tuple(raw["errors"]),
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
