"""The verdict: what the run left in the shop's file and in history, against what every task expects.

Apart from the run because it believes nothing that the run says of itself: it reads the shop's file anew, and asks the
public API what happened. Each check returns what is wrong; nothing wrong is an empty list.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agentspan.agents import ExecutionView
from agentspan_schemas.approvals import ApprovalRecord

from .data import Task
from .memory import MemoryShop
from .records import Database, ShopError
from .shop import CHANGES
from .store import Effect, ShopStore

MISSING: Final = "nothing"


def wrong_outcomes(shop: ShopStore, tasks: Sequence[Task]) -> list[str]:
    """Tickets whose copy of the shop is not what their task expects, each with the first difference."""
    wrong = []
    for task in tasks:
        if difference := first_difference(task.expected_changes, shop.changes(task.ticket_id)):
            wrong.append(f"{task.ticket_id}: {difference}")
    return wrong


def wrong_effects(
    effects: Sequence[Effect], tasks: Sequence[Task], database: Database, approvals: Sequence[ApprovalRecord]
) -> list[str]:
    """Tickets for which the shop did not make each accepted change exactly once, and rows that nobody approved."""
    rows = Counter((effect.ticket, effect.tool, _canonical(effect.args)) for effect in effects)
    due = Counter(change for task in tasks for change in accepted_changes(task, database))
    approved = {record.approval_id for record in approvals if record.state == "approved"}
    wrong = [f"{ticket}: {tool} was due and has no row: {args}" for ticket, tool, args in (due - rows).elements()]
    wrong += [f"{ticket}: {tool} was made once too often: {args}" for ticket, tool, args in (rows - due).elements()]
    wrong += [
        f"{effect.ticket}: {effect.tool} ran without an approval (key {effect.idempotency_key})"
        for effect in effects
        if effect.idempotency_key not in approved  # the product's key for a call is the id of its approval
    ]
    return wrong


def accepted_changes(task: Task, database: Database) -> Iterator[tuple[str, str, str]]:
    """The changes that the shop accepts of the task's calls, as (ticket, tool, args)."""
    shop = MemoryShop(database)
    for call in task.actions:
        if call.tool in CHANGES:
            try:
                shop.call(call.tool, call.args)
            except ShopError:
                continue
            yield task.ticket_id, call.tool, _canonical(call.args)


def wrong_decisions(decided: Mapping[str, int], approved: int, rejected: int) -> list[str]:
    """Whether the server's record of decisions is what the reviewers decided, no more and no less."""
    if (decided["approve"], decided["reject"]) == (approved, rejected):
        return []
    return [
        f"reviewers approved {decided['approve']} and rejected {decided['reject']};"
        f" the server has {approved} approved and {rejected} rejected"
    ]


def wrong_history(
    history: Sequence[ExecutionView], counts: Mapping[str, int], executions: Mapping[str, str]
) -> list[str]:
    """Tickets that history lacks, or says did not complete; executions that nobody sent; counts that disagree."""
    found = {view.execution_id: view for view in history}
    wrong = [
        f"{ticket}: {_end(found.get(execution_id))}"
        for ticket, execution_id in executions.items()
        if execution_id not in found or found[execution_id].status != "completed"
    ]
    wrong += [f"execution {strange} belongs to no ticket" for strange in sorted(found.keys() - executions.values())]
    if dict(Counter(view.status for view in history)) != dict(counts):
        wrong.append(f"history lists {dict(Counter(view.status for view in history))} and counts {dict(counts)}")
    return wrong


def first_difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Where two JSON values differ first, and how; None when they are equal."""
    match expected, found:
        case dict(), dict():
            inner = ((f"{path}.{key}", key) for key in sorted(expected.keys() | found.keys()))
            differences = (
                first_difference(expected.get(key, MISSING), found.get(key, MISSING), where) for where, key in inner
            )
            return next(filter(None, differences), None)
        case list(), list() if len(expected) == len(found):
            pairs = enumerate(zip(expected, found, strict=True))
            return next(filter(None, (first_difference(*pair, f"{path}[{at}]") for at, pair in pairs)), None)
        case _ if expected == found:
            return None
        case _:
            return f"{path.removeprefix('.')}: expected {_short(expected)}, found {_short(found)}"


def _end(view: ExecutionView | None) -> str:
    if view is None:
        return "history has no such execution"
    reason = f": {view.error.message}" if view.error else ""
    return f"its execution {view.execution_id} is {view.status}{reason}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _canonical(args: Mapping[str, Any]) -> str:
    return json.dumps(args, sort_keys=True, ensure_ascii=False)
