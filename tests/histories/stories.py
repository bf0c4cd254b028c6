"""Writes histories that are missing: `python -m tests.histories.stories`. It never touches one that is there.

`<name>.jsonl` holds an execution's events and notes as they stand on the log; `<name>.folded.jsonl` says, for each of
these lines, what the execution was after it, in words of the contract alone, so that the state may change its shape.
A change of the contract adds a story; it edits none.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentspan_orchestrator.domain import GRANT_S, Execution, open_tasks, timers
from agentspan_schemas.codec import encode
from tests.unit.core_agents import SUPPORT, TYPED
from tests.unit.core_run import Run, records, refold
from tests.unit.core_steps import (
    Step,
    after,
    again,
    approves,
    asks,
    cancels,
    claims,
    declines,
    given,
    is_lost,
    model_fails,
    pauses,
    raises,
    rejects,
    replies,
    resolves,
    resumes,
    returns,
    says,
    started,
)

FOLDER = Path(__file__).parent
LONG = timedelta(days=365)

REFUND: tuple[Step, ...] = (
    asks("lookup", "refund"),
    after(1),
    returns("1-0", {"id": "c-1", "plan": "pro"}),
)
GRANTED: tuple[Step, ...] = (*REFUND, after(3600), approves("1-1"), after(1), claims("1-1"))
DOUBTED: tuple[Step, ...] = (*GRANTED, after(GRANT_S), is_lost("1-1"))

STORIES: dict[str, tuple[Step, ...]] = {
    "refund-approved": (
        *REFUND,
        after(3600),
        approves("1-1", edited={"customer": "c-1", "usd": 50}),
        rejects("1-1", by="user:zoe"),
        claims("1-1"),
        after(2),
        returns("1-1", {"refund": "r-1"}, claim_id="claim-1"),
        again(),
        replies("Refunded 50 dollars."),
    ),
    "refund-rejected": (
        *REFUND,
        rejects("1-1", "Amount too large, escalate to finance"),
        says("Be quick."),
        asks("mail"),
        claims("2-0", "claim-mail"),
        returns("2-0", claim_id="claim-mail"),
        replies("Escalated."),
    ),
    "in-doubt-resolved": (
        *DOUBTED,
        after(600),
        resolves("1-1", "succeeded", value={"refund": "r-1"}, reason="seen in the books"),
        replies("Refunded."),
    ),
    "in-doubt-run-again": (
        *DOUBTED,
        resolves("1-1", "not_run", reason="nothing in the books"),
        claims("1-1", "claim-2"),
        returns("1-1", {"refund": "late"}, claim_id="claim-1", attempt=1),
        declines("1-1", "claim-2"),
        claims("1-1", "claim-3"),
        returns("1-1", {"refund": "r-1"}, claim_id="claim-3"),
        replies("Refunded."),
    ),
    "cancelled-while-granted": (
        *GRANTED,
        cancels("wrong customer"),
        after(2),
        returns("1-1", {"refund": "r-1"}, claim_id="claim-1"),
    ),
    "timed-out-while-granted": (*GRANTED, after(7 * 24 * 3600), returns("1-1", claim_id="claim-1")),
    "output-asked-again": (
        replies("It is billing."),
        replies('{"category": 7}'),
        replies('```json\n{"category": "billing"}\n```'),
    ),
    "retries-and-pause": (
        model_fails(retry_after_s=20),
        after(20),
        is_lost("model"),
        asks("search", "teleport", "suspend", "note"),
        raises("1-0"),
        pauses(),
        after(60),
        returns("1-0", ["a", "b"]),
        approves("1-3", policy="notes", by="policy:notes"),
        resumes(),
        is_lost("1-3"),
        returns("1-3"),
        after(3600),
        model_fails(retryable=False),
    ),
}


def played(name: str) -> Run:
    """The story as the core tells it today."""
    agent = TYPED if name == "output-asked-again" else SUPPORT
    return given(*STORIES[name], agent=agent, start=started(timeout_s=7 * 24 * 3600.0))


def folded(written: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What the execution is after each line."""
    state: Execution | None = None
    for line in written:
        state = refold([line], state)
        assert state is not None
        yield view(state)


def view(state: Execution) -> dict[str, Any]:
    """A state in the contract's words: what is known, what is to be done, what is waited for."""
    later = state.at + LONG
    return {
        "seq": state.seq,
        "status": state.status,
        "totals": state.totals.model_dump(mode="json", exclude_defaults=True),
        "messages": [message.model_dump(mode="json", exclude_defaults=True) for message in state.messages],
        "calls": {call.call_id: call.phase for call in state.calls},
        "tasks": [json.loads(encode(task)) for task in open_tasks(state, later) if task.lane == "tool"],
        "model_task": [task.task_key for task in open_tasks(state, later) if task.lane == "model"],
        "timers": {timer.timer_id: timer.due.isoformat() for timer in timers(state)},
        "winners": {call_id: f"{winner.decision} by {winner.by}" for call_id, winner in state.winners.items()},
        "answers": {command: given.refusal.code if given.refusal else given.seq
                    for command, given in state.answers.items()},
    }  # fmt: skip


def main() -> None:
    """Write what is missing."""
    for name in STORIES:
        path = FOLDER / f"{name}.jsonl"
        if path.exists():
            continue
        written = records(played(name).log)
        path.write_bytes(b"".join(line + b"\n" for line in written))
        lines = (json.dumps(after, sort_keys=True, ensure_ascii=False) for after in folded(written))
        (FOLDER / f"{name}.folded.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
