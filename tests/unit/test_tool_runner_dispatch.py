"""Which session gets which call: the rules of handing out, without gateway, clock or network."""

from datetime import datetime, timedelta

import pytest

from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.domain.dispatch import MAX_IN_HAND, Dispatcher, Handout, Session
from agentspan_tool_runner.domain.peers import LOOK_AGAIN, Peers
from agentspan_tool_runner.domain.rendezvous import SETTLE, ranking
from tests.support.tool_runner import REFUND, START, call_of, tool_task

LEASE = timedelta(seconds=10)
LATER = START + LEASE
US = "gateway-a"


class Rules(Dispatcher):
    """The rules, told of the others as the announcer does."""

    def __init__(self, gateway_id: str = US) -> None:
        self.peers = Peers(LEASE)
        super().__init__(gateway_id, self.peers)

    def announced(self, session: WorkerSession, at: datetime = START) -> list[Handout]:
        return self.reconsider(self.peers.heard(session, at), at)

    def gone(self, session_id: str, at: datetime = START) -> list[Handout]:
        return self.reconsider(self.peers.gone(session_id), at)

    def look_again(self, at: datetime) -> list[Handout]:
        return self.reconsider(self.peers.expire(at), at) + self.reconsider(LOOK_AGAIN, at)


def join(rules: Dispatcher, name: str, *, tools: dict[str, dict[str, str]] = REFUND, hand: tuple[str, ...] = (),
         listening: bool = True, stands: bool = True, at: datetime = START) -> list[Handout]:  # fmt: skip
    rules.join(Session(name, name, tools, START, dict.fromkeys(hand)))
    given = rules.listen(name, at) if listening else []
    return given + (rules.stands(name, at) if stands else [])


def given(handouts: list[Handout]) -> list[tuple[str, str]]:
    return [(handout.session_id, handout.key.partition("/")[0]) for handout in handouts]


def elsewhere(gateway_id: str, *, holds: tuple[str, ...] = (), session_id: str = "far") -> WorkerSession:
    return WorkerSession(
        session_id=session_id, gateway_id=gateway_id, worker="far", tools=REFUND, holds=holds, at=START
    )


def other_gateway(*, that_wins: bool) -> str:
    """The name of a gateway that wins, or loses, the task of execution 1 against ours."""
    names = (f"gateway-{number}" for number in range(100))
    return next(name for name in names if (ranking(tool_task(1).task_key, {US, name})[0] == name) is that_wins)


def test_a_task_goes_to_the_worker_that_fits() -> None:
    rules = Rules()
    join(rules, "other-tool", tools={"shop": {"look_up": "hash-1"}})
    join(rules, "other-version", tools={"shop": {"refund": "hash-2"}})
    join(rules, "other-agent", tools={"bank": {"refund": "hash-1"}})
    assert rules.open(call_of(tool_task(1)), START) == []
    assert given(join(rules, "fitting")) == [("fitting", "exec-1")]


def test_a_task_is_kept_until_a_worker_listens() -> None:
    rules = Rules()
    join(rules, "ann", listening=False)
    assert rules.open(call_of(tool_task(1)), START) == []
    assert given(rules.listen("ann", START)) == [("ann", "exec-1")]


def test_a_closed_task_is_given_to_nobody() -> None:
    rules = Rules()
    rules.open(call_of(tool_task(1)), START)
    rules.close(tool_task(1).task_key)
    rules.close("never heard of")
    assert join(rules, "ann") == []


def test_the_least_loaded_session_is_next() -> None:
    rules = Rules()
    join(rules, "ann")
    join(rules, "bob")
    taken = [handout.session_id for number in range(10) for handout in rules.open(call_of(tool_task(number)), START)]
    assert sorted(taken) == ["ann"] * 5 + ["bob"] * 5


def test_a_task_is_given_once_while_its_holder_lives() -> None:
    rules = Rules()
    join(rules, "ann")
    assert len(rules.open(call_of(tool_task(1)), START)) == 1
    assert rules.open(call_of(tool_task(1)), START) == []
    assert join(rules, "bob") == []
    assert rules.look_again(LATER) == []


def test_what_a_session_had_in_hand_goes_to_others_when_it_ends() -> None:
    rules = Rules()
    join(rules, "ann")
    rules.open(call_of(tool_task(1)), START)
    join(rules, "bob")
    assert given(rules.leave("ann", START)) == [("bob", "exec-1")]


def test_what_a_worker_says_it_holds_is_not_given_again() -> None:
    rules = Rules()
    key = tool_task(1).task_key
    rules.join(Session("ann", "ann", REFUND, START, {key: None}))
    assert rules.open(call_of(tool_task(1)), START) == []
    assert join(rules, "bob") == []
    assert given(rules.leave("ann", START)) == [("bob", "exec-1")]


def test_a_worker_that_comes_back_keeps_what_it_holds() -> None:
    rules = Rules()
    join(rules, "ann-1")
    rules.open(call_of(tool_task(1)), START)
    join(rules, "bob")
    join(rules, "ann-2", hand=(tool_task(1).task_key,), listening=False)
    assert rules.leave("ann-1", START) == []


def test_a_stream_that_opens_again_is_given_what_may_not_have_arrived() -> None:
    rules = Rules()
    join(rules, "ann")
    for number in (1, 2, 3):
        rules.open(call_of(tool_task(number)), START)
    rules.settle(tool_task(2).task_key, START)
    rules.close(tool_task(3).task_key)
    assert given(rules.listen("ann", START)) == [("ann", "exec-1")]


def test_a_settled_task_waits_for_its_end_and_is_given_again_when_none_comes() -> None:
    rules = Rules()
    join(rules, "ann")
    key = tool_task(1).task_key
    rules.open(call_of(tool_task(1)), START)
    rules.settle(key, START)
    assert rules.let_go("ann", key, START) == []
    assert rules.open(call_of(tool_task(1)), START) == []
    assert rules.look_again(START) == []
    assert given(rules.look_again(LATER)) == [("ann", "exec-1")]


def test_a_task_that_opens_again_after_its_end_is_a_new_one() -> None:
    rules = Rules()
    join(rules, "ann")
    key = tool_task(1).task_key
    rules.open(call_of(tool_task(1)), START)
    rules.settle(key, START)
    rules.let_go("ann", key, START)
    rules.close(key)
    assert given(rules.open(call_of(tool_task(1)), START)) == [("ann", "exec-1")]


def test_settling_what_is_closed_leaves_nothing_behind() -> None:
    rules = Rules()
    join(rules, "ann")
    rules.settle(tool_task(1).task_key, START)
    assert len(rules.open(call_of(tool_task(1)), START)) == 1
    assert rules.let_go("nobody", tool_task(1).task_key, START) == []


def test_a_full_hand_gets_no_more_and_is_filled_when_half_empty() -> None:
    rules = Rules()
    join(rules, "ann")
    for number in range(MAX_IN_HAND + 10):
        rules.open(call_of(tool_task(number)), START)
    assert len(rules.sessions["ann"].hand) == MAX_IN_HAND
    keys = list(rules.sessions["ann"].hand)[: MAX_IN_HAND // 2]
    refills: list[list[Handout]] = []
    for key in keys:
        rules.settle(key, START)
        refills.append(rules.let_go("ann", key, START))
    assert [len(refill) for refill in refills if refill] == [10]


def test_of_a_long_queue_only_so_much_is_looked_at_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules()
    join(rules, "ann")
    for number in range(20 * MAX_IN_HAND):
        rules.open(call_of(tool_task(number)), START)
    looked_at: list[str] = []
    real = Dispatcher._choose

    def counting(self: Dispatcher, key: str, now: datetime, free: bool) -> Handout | None:
        looked_at.append(key)
        return real(self, key, now, free)

    monkeypatch.setattr(Dispatcher, "_choose", counting)
    for key in list(rules.sessions["ann"].hand)[: MAX_IN_HAND // 2]:
        rules.settle(key, START)
        refill = rules.let_go("ann", key, START)
    assert len(refill) == MAX_IN_HAND // 2
    assert rules.look_again(START + LEASE / 6) == []
    assert len(looked_at) <= 2 * MAX_IN_HAND


# Several gateways


def test_of_two_gateways_with_a_fitting_worker_one_dispatches() -> None:
    near, far = Rules("gateway-a"), Rules("gateway-b")
    join(near, "near")
    join(far, "far")
    near.announced(elsewhere("gateway-b", session_id="far"))
    far.announced(elsewhere("gateway-a", session_id="near"))
    for number in range(20):
        assert len(near.open(call_of(tool_task(number)), START)) + len(far.open(call_of(tool_task(number)), START)) == 1


def test_a_gateway_without_a_fitting_worker_does_not_count() -> None:
    rules = Rules()
    join(rules, "near")
    strangers = elsewhere(other_gateway(that_wins=True)).model_copy(update={"tools": {"bank": {}}})
    rules.announced(strangers)
    assert len(rules.open(call_of(tool_task(1)), START)) == 1


def test_a_gateway_whose_worker_the_others_cannot_see_yet_leaves_new_tasks_to_them() -> None:
    rules = Rules()
    loser = elsewhere(other_gateway(that_wins=False))
    rules.announced(loser)
    join(rules, "near", stands=False)
    assert rules.open(call_of(tool_task(1)), START) == []
    assert rules.stands("near", START) == []
    assert rules.look_again(START) == []
    rules.announced(loser.model_copy(update={"holds": (tool_task(1).task_key,)}))
    assert rules.look_again(START + SETTLE) == []


def test_what_nobody_took_before_a_newcomer_is_the_newcomers_after_a_moment() -> None:
    rules = Rules()
    rules.announced(elsewhere(other_gateway(that_wins=False)))
    rules.open(call_of(tool_task(1)), START)
    assert join(rules, "near") == []
    assert given(rules.look_again(START + SETTLE)) == [("near", "exec-1")]


def test_a_gateway_alone_waits_for_nobody() -> None:
    rules = Rules()
    rules.open(call_of(tool_task(1)), START)
    assert given(join(rules, "near", stands=False)) == [("near", "exec-1")]
    assert given(rules.open(call_of(tool_task(2)), START)) == [("near", "exec-2")]


def test_the_next_gateway_steps_in_when_the_first_does_nothing_and_only_then_the_third() -> None:
    names = sorted(f"gateway-{name}" for name in "abc")
    first, second, third = ranking(tool_task(1).task_key, names)
    for us, after in ((second, 1), (third, 2)):
        rules = Rules(us)
        join(rules, "near")
        others = [elsewhere(name, session_id=name) for name in (first, second, third) if name != us]
        for other in others:
            rules.announced(other)
        assert rules.open(call_of(tool_task(1)), START) == []
        for lease in range(1, after + 1):
            for other in others:
                rules.announced(other, START + LEASE * lease)
            handouts = rules.look_again(START + LEASE * lease)
            assert given(handouts) == ([("near", "exec-1")] if lease == after else [])


def test_a_full_hand_is_refilled_at_once_with_what_is_ours() -> None:
    rules = Rules()
    loser = elsewhere("gateway-b")
    rules.announced(loser)
    join(rules, "near")
    ours = [n for n in range(600) if ranking(tool_task(n).task_key, {US, "gateway-b"})[0] == US]
    for number in range(600):
        rules.open(call_of(tool_task(number)), START)
    assert len(rules.sessions["near"].hand) == MAX_IN_HAND < len(ours)
    for key in list(rules.sessions["near"].hand)[: MAX_IN_HAND // 2]:
        rules.settle(key, START)
        refill = rules.let_go("near", key, START)
    assert len(refill) == min(MAX_IN_HAND // 2, len(ours) - MAX_IN_HAND)


def test_what_another_gateways_worker_holds_stays_there() -> None:
    rules = Rules()
    join(rules, "near")
    key = tool_task(1).task_key
    loser = other_gateway(that_wins=False)
    rules.announced(elsewhere(loser, holds=(key,)))
    assert rules.open(call_of(tool_task(1)), START) == []
    assert given(rules.announced(elsewhere(loser))) == [("near", "exec-1")]


def test_what_two_hold_stays_until_both_have_given_it_up() -> None:
    rules = Rules()
    join(rules, "near")
    loser, key = other_gateway(that_wins=False), tool_task(1).task_key
    for name in ("far-1", "far-2"):
        rules.announced(elsewhere(loser, holds=(key,), session_id=name))
    rules.open(call_of(tool_task(1)), START)
    assert rules.gone("far-1") == []
    assert given(rules.gone("far-2")) == [("near", "exec-1")]


def test_when_another_gateways_session_ends_its_tasks_go_on_here() -> None:
    rules = Rules()
    join(rules, "near")
    rules.announced(elsewhere("gateway-b", holds=(tool_task(1).task_key,)))
    rules.open(call_of(tool_task(1)), START)
    assert given(rules.gone("far")) == [("near", "exec-1")]
    assert rules.gone("far") == []


def test_a_session_elsewhere_that_is_not_announced_any_more_holds_nothing() -> None:
    rules = Rules()
    join(rules, "near")
    rules.announced(elsewhere("gateway-b", holds=(tool_task(1).task_key,)))
    rules.open(call_of(tool_task(1)), START)
    assert [session.session_id for session in rules.peers.sessions()] == ["far"]
    assert rules.look_again(LATER - timedelta(milliseconds=1)) == []
    assert given(rules.look_again(LATER)) == [("near", "exec-1")]
    assert list(rules.peers.sessions()) == []


def test_a_session_is_silent_after_its_lease_but_not_while_it_reports() -> None:
    rules = Rules()
    join(rules, "ann")
    join(rules, "bob")
    rules.sessions["bob"].reporting = 1
    almost = LATER - timedelta(milliseconds=1)
    assert rules.silent(almost) == []
    assert [session.session_id for session in rules.silent(LATER)] == ["ann"]
    assert [session.session_id for session in rules.silent(almost, of_lease=0.5)] == ["ann"]
