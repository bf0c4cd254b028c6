"""Many ids in one command: named in arguments or standard input, done one after another, each with its own outcome.

One that is refused does not keep the others from being done. A server that is away does: they are told as not tried.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

import typer

from agentspan.agents import AgentspanError, ServerUnavailable
from agentspan.cli._exits import ExitCode, Explained, tell
from agentspan.cli._explained import explained
from agentspan.cli._options import Format, split_id
from agentspan.cli._show import say, several, table

STDIN = "-"

WOULD = "would be"
"""What an outcome begins with where nothing was done."""


@dataclass(frozen=True, slots=True)
class Named:
    """What one id means."""

    execution_id: str
    call_id: str | None = None
    args_hash: str | None = None
    """Of the arguments that were read, where the line has it."""

    @property
    def id(self) -> str:
        """As a person writes it."""
        return self.execution_id if self.call_id is None else f"{self.execution_id}.{self.call_id}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one."""

    id: str
    outcome: str
    """One word: what it is now, or `refused`, or `not tried`."""
    details: str = ""
    """For people: what it concerned, or why not."""
    error: Explained | None = None
    """Why it was not done."""
    data: Any = None

    @property
    def exit_code(self) -> ExitCode:
        """As of a command for it alone."""
        return ExitCode.OK if self.error is None else self.error.exit_code


def named(given: Sequence[str], *, of_calls: bool, stdin: TextIO | None = None) -> list[Named]:
    """Each id once, in its order; `-` stands for those in standard input. Raises BadParameter for what is none."""
    found = list(dict.fromkeys(_all(given, of_calls, sys.stdin if stdin is None else stdin)))
    if not found:
        raise typer.BadParameter("standard input names nothing: write one id a line, or name ids as arguments")
    return found


async def each(items: Sequence[Named], act: Callable[[Named], Awaitable[Outcome]]) -> list[Outcome]:
    """What became of each. Of one alone, an error is raised as it is."""
    if len(items) == 1:
        return [await act(items[0])]
    outcomes: list[Outcome] = []
    away: ServerUnavailable | None = None
    for number, item in enumerate(items, start=1):
        if away is not None:
            outcomes.append(_left(item, "not tried", away))
            continue
        try:
            outcomes.append(await act(item))
        except ServerUnavailable as error:
            away = error
            outcomes.append(_left(item, "not tried", error))
        except AgentspanError as error:
            outcomes.append(_left(item, "refused", error))
        _progress(number, len(items))
    return outcomes


def show(outcomes: Sequence[Outcome], output: Format) -> ExitCode:
    """Each outcome as data, the sum as a message; the exit code of the first that was not done."""
    if output is not Format.TABLE:
        several([_plain(outcome) for outcome in outcomes], output)
    else:
        table(("ID", "OUTCOME", "DETAILS"), [(o.id, o.outcome, o.details) for o in outcomes])
    left = [(outcome.id, outcome.error) for outcome in outcomes if outcome.error is not None]
    if any(outcome.outcome.startswith(WOULD) for outcome in outcomes):
        say("nothing was done: --dry-run")
    elif len(outcomes) > 1:
        say(f"{len(outcomes) - len(left)} done, {len(left)} not" if left else f"{len(outcomes)} done")
    if output is not Format.TABLE:
        for id_, error in left:
            tell(replace(error, detail=f"{id_}: {error.detail}"), as_json=True)
    return left[0][1].exit_code if left else ExitCode.OK


def _left(item: Named, outcome: str, error: AgentspanError) -> Outcome:
    return Outcome(item.id, outcome, str(error), explained(error))


def _all(given: Sequence[str], of_calls: bool, stdin: TextIO) -> Iterator[Named]:
    for text in given:
        if text != STDIN:
            yield _one(text, None, of_calls)
            continue
        for number, line in enumerate(stdin, start=1):
            if words := line.strip():
                try:
                    yield _line(words, of_calls)
                except typer.BadParameter as error:
                    raise typer.BadParameter(f"standard input, line {number}: {error.message}") from None


def _line(words: str, of_calls: bool) -> Named:
    """An id, or the JSON object that a list writes for it."""
    if not words.startswith("{"):
        return _one(words, None, of_calls)
    try:
        item = json.loads(words)
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON ({error}); write an id, or what `list -o jsonl` writes") from None
    id_ = item.get("approval_id") if of_calls else item.get("execution_id")
    if not isinstance(id_, str):
        what = "approval_id" if of_calls else "execution_id"
        raise typer.BadParameter(f"this object has no {what!r}; write an id, or what `list -o jsonl` writes")
    return _one(id_, item.get("args_hash") if of_calls else None, of_calls)


def _one(text: str, args_hash: str | None, of_calls: bool) -> Named:
    execution_id, call_id = split_id(text)
    return Named(execution_id, call_id, args_hash) if of_calls else Named(execution_id)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "done": outcome.error is None,
        "outcome": outcome.outcome,
        "exit_code": int(outcome.exit_code),
        "error": None if outcome.error is None else outcome.details,
        "data": outcome.data,
    }


def _progress(done: int, of: int) -> None:
    """A line that is written over, for a person who waits at a terminal."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done}/{of}", file=sys.stderr, end=end, flush=True)
