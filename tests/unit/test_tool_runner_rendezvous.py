"""Whose turn it is: for any set of others that all see alike, exactly one takes each task, tool call or model call."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspan_schemas.tasks import MODEL_LANE, WorkerSession
from agentspan_tool_runner.domain.dispatch import Dispatcher, Session
from agentspan_tool_runner.domain.lanes import LaneRules
from agentspan_tool_runner.domain.peers import LOOK_AGAIN, Peers, fits
from agentspan_tool_runner.domain.rendezvous import SETTLE, Rendezvous, ranking
from tests.support.tool_runner import START, call_of, tool_task

LEASE = timedelta(seconds=10)
MOMENT = timedelta(milliseconds=1)

names = st.sampled_from([f"gateway-{letter}" for letter in "abcdefgh"])
tasks = st.lists(st.integers(0, 500), unique=True, min_size=1, max_size=20)
tools = st.dictionaries(st.sampled_from(["refund", "look_up"]), st.sampled_from(["hash-1", "hash-2"]), max_size=2)


@given(st.frozensets(names, min_size=1), st.text())
def test_all_agree_on_one_order(nodes: frozenset[str], key: str) -> None:
    assert ranking(key, nodes) == ranking(key, sorted(nodes, reverse=True))
    assert sorted(ranking(key, nodes)) == sorted(nodes)


@given(st.frozensets(names, min_size=2), st.text())
def test_who_leaves_takes_nobody_elses_turn_away(nodes: frozenset[str], key: str) -> None:
    gone = ranking(key, nodes)[-1]
    assert ranking(key, nodes)[:-1] == ranking(key, nodes - {gone})


@given(st.frozensets(names, min_size=1), st.text())
def test_one_takes_a_new_task_at_once_and_each_next_one_a_lease_after_the_one_before(
    nodes: frozenset[str], key: str
) -> None:
    turns = {node: Rendezvous() for node in nodes}
    order = ranking(key, nodes)

    def takers(after: timedelta, *, free: bool = False) -> set[str]:
        return {n for n in nodes if turns[n].is_ours(key, n, nodes, START + after, step_in=LEASE, free=free)}

    assert takers(timedelta(), free=True) == {order[0]}
    for place in range(1, len(order)):
        assert takers(LEASE * place - MOMENT) == set(order[:place])
        assert takers(LEASE * place) == set(order[: place + 1])


def test_the_work_is_spread() -> None:
    nodes = {"gateway-a", "gateway-b", "gateway-c"}
    firsts = [ranking(f"exec-{number}/1-0/1", nodes)[0] for number in range(3000)]
    assert all(900 < firsts.count(node) < 1100 for node in nodes)


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [
        ({"us", "worse"}, {"us", "worse"}, False),  # nothing changed
        ({"worse"}, {"us", "worse"}, True),  # the one before us may just have taken it
        ({"better", "us"}, {"us"}, False),  # the one before us is gone, and what it held was given up
        ({"better", "us", "worse"}, {"us", "worse"}, False),
    ],
)
def test_a_new_leader_waits_only_where_the_one_before_is_still_there(
    before: set[str], after: set[str], waits: bool
) -> None:
    key, named = _named()
    turn = Rendezvous()

    def ours(nodes: set[str], at: timedelta, *, free: bool) -> bool:
        return turn.is_ours(key, named["us"], {named[n] for n in nodes}, START + at, step_in=LEASE, free=free)

    if "us" in before:
        ours(before, timedelta(), free=True)
    assert ours(after, MOMENT, free=False) is not waits
    assert ours(after, MOMENT + SETTLE, free=False)


def _named() -> tuple[str, dict[str, str]]:
    order = ranking("exec-1/1-0/1", {"gateway-a", "gateway-b", "gateway-c"})
    return "exec-1/1-0/1", dict(zip(("better", "us", "worse"), order, strict=True))


# The same for whole gateways and lanes: each is told of all the others, and of the same tasks


@given(st.dictionaries(names, st.lists(tools, max_size=3), min_size=1), tasks)
def test_each_tool_call_that_somebody_fits_is_handed_out_once(
    gateways: dict[str, list[dict[str, str]]], numbers: list[int]
) -> None:
    records = [
        WorkerSession(session_id=f"{name}/{n}", gateway_id=name, worker="w", tools={"shop": offered}, at=START)
        for name, sessions in gateways.items()
        for n, offered in enumerate(sessions)
    ]
    given: list[str] = []
    for name in gateways:
        rules = _gateway(name, records)
        given += [handout.key for n in numbers for handout in rules.open(call_of(tool_task(n)), START)]
        given += [handout.key for handout in rules.reconsider(LOOK_AGAIN, START + LEASE - MOMENT)]
    anybody = any(fits(record.tools, call_of(tool_task()).fit) for record in records)
    assert sorted(given) == sorted(tool_task(n).task_key for n in numbers if anybody)


@given(st.dictionaries(names, st.booleans(), min_size=1), tasks, st.booleans())
def test_each_model_call_is_made_by_one_lane_that_has_the_key(
    lanes: dict[str, bool], numbers: list[int], known: bool
) -> None:
    model = "vendor/large" if known else None
    records = [
        WorkerSession(
            session_id=name, gateway_id=name, worker=name, tools={}, lanes=(MODEL_LANE,),
            lacks=() if has_key else ("vendor/large",), at=START,
        )
        for name, has_key in lanes.items()
    ]  # fmt: skip
    made: dict[str, list[str]] = {name: [] for name in lanes}
    for name in lanes:
        rules = _lane(name, records)
        for number in numbers:
            rules.open(f"exec-{number}/model-1/1", model, START)
        rules.reconsider(LOOK_AGAIN, START + LEASE - MOMENT)
        while key := rules.begin():
            made[name].append(key)
    if any(lanes.values()) or not known or len(lanes) == 1:
        assert sorted(key for keys in made.values() for key in keys) == sorted(
            f"exec-{number}/model-1/1" for number in numbers
        )
    else:  # it is waited for somebody who can
        assert not any(made.values())
    if known and any(lanes.values()):
        assert not any(made[name] for name, has_key in lanes.items() if not has_key)


def _gateway(name: str, records: list[WorkerSession]) -> Dispatcher:
    peers = Peers(LEASE)
    rules = Dispatcher(name, peers)
    for record in records:
        if record.gateway_id == name:
            rules.join(Session(record.session_id, "w", record.tools, START, listening=True, stands=True))
        else:
            peers.heard(record, START)
    return rules


def _lane(name: str, records: list[WorkerSession]) -> LaneRules:
    peers = Peers(LEASE)
    rules = LaneRules(name, peers)
    rules.stands(START)
    for record in records:
        if record.session_id == name:
            rules.lacks = dict.fromkeys(record.lacks)
        else:
            peers.heard(record, START)
    return rules
