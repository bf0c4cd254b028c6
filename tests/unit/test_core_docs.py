"""docs/executions.md names every event, command, status and refusal that there is: no more, no fewer."""

import re
from pathlib import Path
from typing import get_args

from agentspan_schemas.answers import RefusalCode
from agentspan_schemas.codec import COMMANDS, EVENTS
from agentspan_schemas.events import Status

PAGE = (Path(__file__).parents[2] / "docs" / "executions.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]


def test_the_table_of_events_is_complete() -> None:
    assert first_column("Every event") == list(EVENTS.types)


def test_the_table_of_commands_is_complete() -> None:
    assert sorted(first_column("Commands and answers")) == sorted(COMMANDS.types)


def test_the_table_of_statuses_is_complete() -> None:
    assert first_column("Status") == list(get_args(Status))


def test_every_refusal_is_named() -> None:
    assert [code for code in get_args(RefusalCode) if f"`{code}`" not in PAGE] == []
