"""Random lives of an execution: bytes in, a run out.

Three bytes make one step: what sort of command, which one of that sort, how much time passes first. Most are drawn from
the state, so that they bite; the rest are stale, foreign, repeated or nonsense. Zeros do nothing, so that a
counterexample shrinks to the few steps that matter.
"""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from agentspan_orchestrator.domain import GRANT_S, Call
from agentspan_schemas.agents import AgentDefinition
from tests.unit.core_agents import SUPPORT, TYPED
from tests.unit.core_run import Run
from tests.unit.core_steps import (
    Asked,
    Step,
    after,
    approves,
    asks,
    cancels,
    claims,
    declines,
    fires,
    is_lost,
    is_over,
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

AGENTS: tuple[AgentDefinition, ...] = tuple(
    agent.model_copy(update={"max_turns": turns}) for turns in (2, 8) for agent in (SUPPORT, TYPED)
)

TURNS: tuple[tuple[Asked, ...], ...] = (
    ("lookup",),
    ("refund",),
    ("lookup", "refund"),
    ("mail",),
    ("search", "suspend", "note"),
    ("refund", "refund", "mail"),
    ("teleport", "refund"),
    (("lookup", {"email": 5}),),
    (("note", {"text": 2**53}), "search"),
)
"""What the model may ask for in one turn."""

SECONDS: tuple[float, ...] = (0, 0, 0, 0, 0.5, 0.5, GRANT_S, GRANT_S, 30 + GRANT_S, 60, -60, 3600)
"""How much time passes before a step; clocks also jump back."""

PLANS = st.binary(min_size=120, max_size=210)
"""Forty to seventy steps."""


def lived(plan: bytes) -> Run:
    """The run that follows from the bytes."""
    *_, run = lives(plan)
    return run


def lives(plan: bytes) -> Iterator[Run]:
    """The same, step by step: the one run after each of its commands."""
    run = Run(AGENTS[plan[0] // 3 % len(AGENTS)])
    started(timeout_s=600 if plan[0] % 3 == 2 else None)(run)
    yield run
    for sort, pick, wait in zip(plan[1::3], plan[2::3], plan[3::3], strict=False):
        step = _step(run, sort, pick)
        if step is not None:
            run.pass_time(SECONDS[wait % len(SECONDS)])
            step(run)
            yield run


def _step(run: Run, sort: int, pick: int) -> Step | None:
    match sort % 20:
        case 0:
            return None
        case 1 | 2 | 3:
            return _one(_wild(run), pick)
        case 4 | 5:
            return lambda run: run.give(run.log[pick % len(run.log)].command)
        case 6:
            return _one(_people(run), pick)
        case 7:
            return after(0)
        case _:
            return _one(_biting(run), pick)


def _one(steps: list[Step], pick: int) -> Step | None:
    return steps[pick % len(steps)] if steps else None


def _biting(run: Run) -> list[Step]:
    """What moves this state: the steps of workers, models and deciders."""
    if is_over(run):
        return []
    return [*_of_model(run), *(step for call in run.living.calls for step in _of_call(run, call))]


def _of_model(run: Run) -> list[Step]:
    if run.living.model_step is None:
        return []
    return [
        *(asks(*turn) for turn in TURNS * 3),
        replies("Done."),
        replies('```json\n{"category": "billing"}\n```'),
        model_fails(),
        model_fails(),
        model_fails(retry_after_s=20),
        model_fails(retryable=False),
        model_fails(kind="authentication", retryable=False),
        is_lost("model"),
        is_lost("model"),
    ]


def _of_call(run: Run, call: Call) -> list[Step]:
    name, grant = call.call_id, call.grant
    match call.phase:
        case "waiting":
            return [approves(name), approves(name), approves(name, edited=dict(call.args)), rejects(name, "no")]
        case "open" if call.effects == "once":
            return [claims(name, run.command_id()), claims(name, run.command_id()), *_late(call)]
        case "open":
            return [returns(name), raises(name), is_lost(name), is_lost(name, timeout=True), *_late(call)]
        case "granted" if grant is not None:
            claim: dict[str, Any] = {"claim_id": grant.claim_id}
            return [returns(name, **claim), raises(name, **claim), declines(name, grant.claim_id), is_lost(name),
                    is_lost(name, **claim), *_late(call)]  # fmt: skip
        case "in_doubt" if grant is not None:
            return [resolves(name, "succeeded"), resolves(name, "failed"), resolves(name, "not_run"),
                    returns(name, claim_id=grant.claim_id), declines(name, grant.claim_id)]  # fmt: skip
        case _:
            return _late(call)


def _late(call: Call) -> list[Step]:
    """Results of attempts and claims that are past."""
    once = [returns(call.call_id, "late", claim_id=g.claim_id, attempt=g.attempt) for g in call.grants]
    return once or [returns(call.call_id, "late", attempt=1)]


def _people(run: Run) -> list[Step]:
    return [pauses(), *(resumes(),) * 3, *(says("Hurry."),) * 2, cancels()]


def _wild(run: Run) -> list[Step]:
    """Commands that should change nothing: stale, foreign, or of nobody."""
    calls = [call.call_id for call in run.living.calls] or ["1-0"]
    return [
        started("Something else.", command_id=run.command_id()),
        started(command_id=run.command_id()),
        replies("Done.", turn=1, attempt=9),
        model_fails(turn=9, attempt=1),
        is_lost("model-7"),
        is_lost("9-9"),
        claims("9-9", run.command_id()),
        approves("9-9"),
        fires("deadline"),
        fires("alarm"),
        *(step for call_id in calls for step in _wild_on(run, call_id)),
    ]


def _wild_on(run: Run, call_id: str) -> list[Step]:
    return [
        approves(call_id),
        rejects(call_id, seen="0" * 64),
        approves(call_id, edited={"nonsense": 1}),
        claims(call_id, run.command_id(), attempt=7),
        claims(call_id, run.command_id()),
        declines(call_id, "nobody's"),
        returns(call_id, claim_id="nobody's"),
        returns(call_id, attempt=7),
        is_lost(call_id, attempt=7),
        resolves(call_id, "succeeded"),
        fires(f"expiry:{call_id}"),
        fires(f"grant:{call_id}/1"),
        fires(f"retry:{call_id}/2"),
    ]
