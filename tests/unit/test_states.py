"""Which states an owner keeps in memory, and which it reads from its cache."""

from typing import cast

import pytest

from agentspan_orchestrator.ports import StateCache
from agentspan_orchestrator.states import States
from tests.unit.core_run import EXECUTION
from tests.unit.core_steps import given, replies

AT_WORK = given().living
"""Its model is asked."""

PARKED = given(replies("", "refund")).living
"""A person is."""


class NoCache:
    """Of an owner that has written nothing."""

    def get(self, execution_id: str) -> None:
        return None


@pytest.fixture
def states() -> States:
    return States(cast(StateCache, NoCache()), parked=1, at_work=2)


def test_a_state_whose_outcome_is_under_way_is_not_forgotten_for_want_of_room(states: States) -> None:
    states.decided(EXECUTION, PARKED)
    for name in ("exec-b", "exec-c"):
        states.decided(name, PARKED)
        states.released(name)
    assert states.get(EXECUTION) is PARKED
    assert states.get("exec-b") is None


def test_those_that_wait_do_not_take_the_room_of_those_at_work(states: States) -> None:
    for name, state in (("exec-a", AT_WORK), ("exec-b", AT_WORK), ("exec-c", PARKED), ("exec-d", PARKED)):
        states.decided(name, state)
        states.released(name)
    assert [states.get(name) for name in ("exec-a", "exec-b", "exec-c", "exec-d")] == [AT_WORK, AT_WORK, None, PARKED]
    states.decided("exec-e", AT_WORK)
    states.released("exec-e")
    assert states.get("exec-a") is None


def test_one_that_parks_leaves_the_room_of_those_at_work(states: States) -> None:
    for name in ("exec-a", "exec-b"):
        states.decided(name, AT_WORK)
        states.released(name)
    states.decided("exec-a", PARKED)
    states.released("exec-a")
    states.decided("exec-c", AT_WORK)
    states.released("exec-c")
    assert [states.get(name) for name in ("exec-a", "exec-b", "exec-c")] == [PARKED, AT_WORK, AT_WORK]
    states.decided("exec-a", AT_WORK)
    states.released("exec-a")
    assert states.get("exec-b") is None
