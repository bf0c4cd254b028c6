"""Every effect is counted once: whatever is lost, repeated, late or dead, and wherever the owner restarts.

The law is about the world, not about the log: core_world counts what the tools really did.
"""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agentspan_orchestrator.domain import decide
from agentspan_schemas import events as e
from tests.unit.core_world import World

PLANS = st.binary(min_size=100, max_size=160)
ONCE = {"refund", "mail", "suspend"}


def lived(plan: bytes) -> World:
    world = World()
    for sort, pick in zip(plan[::2], plan[1::2], strict=False):
        world.step(sort, pick)
    return world


def assert_counted_once(world: World) -> None:
    """A `once` call's code ran once if the log says so, and else never; an idempotent call that succeeded did run."""
    run = world.run
    succeeded = {event.call_id for event in run.all_of(e.ToolResult) if event.ok}
    for call in run.all_of(e.ToolCall):
        if call.tool in ONCE:
            assert world.effects[call.call_id] == (call.call_id in succeeded), call.call_id
        elif call.call_id in succeeded:
            assert world.effects[call.call_id] == 1


@settings(max_examples=100)
@given(PLANS)
def test_every_effect_is_counted_once(plan: bytes) -> None:
    world = lived(plan)
    assert max(world.effects.values(), default=0) <= 1
    world.finish()
    assert_counted_once(world)


@settings(max_examples=15)
@given(PLANS)
def test_so_it_is_after_a_restart_at_any_point(plan: bytes) -> None:
    world = World()
    for sort, pick in zip(plan[::2], plan[1::2], strict=False):
        world.step(sort, pick)
        other = world.fork()
        other.restart()
        assert other.run.state == world.run.state
        other.finish()
        assert_counted_once(other)


@settings(max_examples=50)
@given(PLANS, st.integers(0, 50))
def test_so_it_is_when_every_command_comes_again_after_the_restart(plan: bytes, cut: int) -> None:
    world = World()
    for sort, pick in list(zip(plan[::2], plan[1::2], strict=False))[:cut]:
        world.step(sort, pick)
    world.restart()
    for decision in list(world.run.log):
        outcome = decide(world.run.state, decision.command, world.run.now, world.run.agent)
        assert outcome.events == ()
        assert outcome.answer.accepted == decision.outcome.answer.accepted
    world.finish()
    assert_counted_once(world)


def test_the_world_meets_grants_doubt_declines_and_late_results() -> None:
    chance = random.Random(1)
    worlds = [lived(chance.randbytes(160)) for _ in range(120)]
    for world in worlds:
        world.finish()
    events = [event for world in worlds for event in world.run.events]
    refused = [d for world in worlds for d in world.run.log if d.command.type == "return_result" and d.outcome.note]
    reasons = {event.reason for event in events if isinstance(event, e.RetryScheduled)}
    assert {event.type for event in events} >= {"in_doubt", "cancelled", "paused", "tool_result", "cancel_requested"}
    assert reasons >= {"declined", "resolved", "lost"}
    assert refused
