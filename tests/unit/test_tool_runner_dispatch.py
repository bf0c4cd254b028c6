"""Which session gets which call: the rules of handing out, without gateway, clock or network."""

from datetime import timedelta

from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.domain.dispatch import MAX_IN_HAND, Dispatcher, Handout, Session
from tests.support.tool_runner import REFUND, START, tool_task

LEASE = timedelta(seconds=10)
LATER = START + LEASE


def dispatcher(gateway_id: str = "gateway-a") -> Dispatcher:
    return Dispatcher(gateway_id, LEASE)


def join(rules: Dispatcher, name: str, *, tools: dict[str, dict[str, str]] = REFUND, hand: tuple[str, ...] = (),
         listening: bool = True) -> list[Handout]:  # fmt: skip
    rules.join(Session(name, name, tools, START, dict.fromkeys(hand)))
    return rules.listen(name, START) if listening else []


def given(handouts: list[Handout]) -> list[tuple[str, str]]:
    return [(handout.session_id, handout.task.execution_id) for handout in handouts]


def elsewhere(gateway_id: str, *, holds: tuple[str, ...] = (), session_id: str = "far") -> WorkerSession:
    return WorkerSession(
        session_id=session_id, gateway_id=gateway_id, worker="far", tools=REFUND, holds=holds, at=START
    )


def other_gateway(*, that_wins: bool) -> str:
    """The name of a gateway that wins, or loses, the task of execution 1 against gateway-a."""
    for number in range(100):
        name = f"gateway-{number}"
        rules = dispatcher()
        join(rules, "near")
        rules.announced(elsewhere(name), START)
        if bool(rules.open(tool_task(1), START)) is not that_wins:
            return name
    raise AssertionError("one of a hundred wins, and one loses")


def test_a_task_goes_to_the_worker_that_fits() -> None:
    rules = dispatcher()
    join(rules, "other-tool", tools={"shop": {"look_up": "hash-1"}})
    join(rules, "other-version", tools={"shop": {"refund": "hash-2"}})
    join(rules, "other-agent", tools={"bank": {"refund": "hash-1"}})
    assert rules.open(tool_task(1), START) == []
    assert given(join(rules, "fitting")) == [("fitting", "exec-1")]


def test_a_task_is_kept_until_a_worker_listens() -> None:
    rules = dispatcher()
    join(rules, "ann", listening=False)
    assert rules.open(tool_task(1), START) == []
    assert given(rules.listen("ann", START)) == [("ann", "exec-1")]


def test_a_closed_task_is_given_to_nobody() -> None:
    rules = dispatcher()
    rules.open(tool_task(1), START)
    rules.close(tool_task(1).task_key)
    rules.close("never heard of")
    assert join(rules, "ann") == []


def test_the_least_loaded_session_is_next() -> None:
    rules = dispatcher()
    join(rules, "ann")
    join(rules, "bob")
    taken = [handout.session_id for number in range(10) for handout in rules.open(tool_task(number), START)]
    assert sorted(taken) == ["ann"] * 5 + ["bob"] * 5


def test_a_task_is_given_once_while_its_holder_lives() -> None:
    rules = dispatcher()
    join(rules, "ann")
    assert len(rules.open(tool_task(1), START)) == 1
    assert rules.open(tool_task(1), START) == []
    assert join(rules, "bob") == []
    assert rules.sweep(LATER) == []


def test_what_a_session_had_in_hand_goes_to_others_when_it_ends() -> None:
    rules = dispatcher()
    join(rules, "ann")
    rules.open(tool_task(1), START)
    join(rules, "bob")
    assert given(rules.leave("ann", START)) == [("bob", "exec-1")]


def test_what_a_worker_says_it_holds_is_not_given_again() -> None:
    rules = dispatcher()
    key = tool_task(1).task_key
    rules.join(Session("ann", "ann", REFUND, START, {key: None}))
    assert rules.open(tool_task(1), START) == []
    assert join(rules, "bob") == []
    assert given(rules.leave("ann", START)) == [("bob", "exec-1")]


def test_a_worker_that_comes_back_keeps_what_it_holds() -> None:
    rules = dispatcher()
    join(rules, "ann-1")
    rules.open(tool_task(1), START)
    join(rules, "bob")
    join(rules, "ann-2", hand=(tool_task(1).task_key,), listening=False)
    assert rules.leave("ann-1", START) == []


def test_a_stream_that_opens_again_is_given_what_may_not_have_arrived() -> None:
    rules = dispatcher()
    join(rules, "ann")
    for number in (1, 2, 3):
        rules.open(tool_task(number), START)
    rules.settle(tool_task(2).task_key, START)
    rules.close(tool_task(3).task_key)
    assert given(rules.listen("ann", START)) == [("ann", "exec-1")]


def test_a_settled_task_waits_for_its_end_and_is_given_again_when_none_comes() -> None:
    rules = dispatcher()
    join(rules, "ann")
    key = tool_task(1).task_key
    rules.open(tool_task(1), START)
    rules.settle(key, START)
    assert rules.let_go("ann", key, START) == []
    assert rules.open(tool_task(1), START) == []
    assert rules.sweep(START) == []
    assert given(rules.sweep(LATER)) == [("ann", "exec-1")]


def test_a_task_that_opens_again_after_its_end_is_a_new_one() -> None:
    rules = dispatcher()
    join(rules, "ann")
    key = tool_task(1).task_key
    rules.open(tool_task(1), START)
    rules.settle(key, START)
    rules.let_go("ann", key, START)
    rules.close(key)
    assert given(rules.open(tool_task(1), START)) == [("ann", "exec-1")]


def test_settling_what_is_closed_leaves_nothing_behind() -> None:
    rules = dispatcher()
    join(rules, "ann")
    rules.settle(tool_task(1).task_key, START)
    assert len(rules.open(tool_task(1), START)) == 1
    assert rules.let_go("nobody", tool_task(1).task_key, START) == []


def test_a_full_hand_gets_no_more_and_is_filled_when_half_empty() -> None:
    rules = dispatcher()
    join(rules, "ann")
    for number in range(MAX_IN_HAND + 10):
        rules.open(tool_task(number), START)
    assert len(rules.sessions["ann"].hand) == MAX_IN_HAND
    keys = list(rules.sessions["ann"].hand)[: MAX_IN_HAND // 2]
    refills: list[list[Handout]] = []
    for key in keys:
        rules.settle(key, START)
        refills.append(rules.let_go("ann", key, START))
    assert [len(refill) for refill in refills if refill] == [10]


def test_of_two_gateways_with_a_fitting_worker_one_dispatches() -> None:
    for number in range(20):
        near, far = dispatcher("gateway-a"), dispatcher("gateway-b")
        join(near, "near")
        join(far, "far")
        near.announced(elsewhere("gateway-b", session_id="far"), START)
        far.announced(elsewhere("gateway-a", session_id="near"), START)
        assert len(near.open(tool_task(number), START)) + len(far.open(tool_task(number), START)) == 1


def test_a_gateway_without_a_fitting_worker_does_not_count() -> None:
    rules = dispatcher()
    join(rules, "near")
    strangers = elsewhere(other_gateway(that_wins=True)).model_copy(update={"tools": {"bank": {}}})
    rules.announced(strangers, START)
    assert len(rules.open(tool_task(1), START)) == 1


def test_a_gateway_steps_in_when_the_chosen_one_does_nothing() -> None:
    rules = dispatcher()
    join(rules, "near")
    winner = elsewhere(other_gateway(that_wins=True))
    rules.announced(winner, START)
    assert rules.open(tool_task(1), START) == []
    rules.announced(winner, LATER)
    assert given(rules.sweep(LATER)) == [("near", "exec-1")]


def test_what_another_gateways_worker_holds_stays_there() -> None:
    rules = dispatcher()
    join(rules, "near")
    key = tool_task(1).task_key
    loser = other_gateway(that_wins=False)
    rules.announced(elsewhere(loser, holds=(key,)), START)
    assert rules.open(tool_task(1), START) == []
    assert given(rules.announced(elsewhere(loser), START)) == [("near", "exec-1")]


def test_when_another_gateways_session_ends_its_tasks_go_on_here() -> None:
    rules = dispatcher()
    join(rules, "near")
    rules.announced(elsewhere("gateway-b", holds=(tool_task(1).task_key,)), START)
    rules.open(tool_task(1), START)
    assert given(rules.gone("far", START)) == [("near", "exec-1")]
    assert rules.gone("far", START) == []


def test_a_session_elsewhere_that_is_not_announced_any_more_holds_nothing() -> None:
    rules = dispatcher()
    join(rules, "near")
    rules.announced(elsewhere("gateway-b", holds=(tool_task(1).task_key,)), START)
    rules.open(tool_task(1), START)
    assert [session.session_id for session in rules.elsewhere()] == ["far"]
    assert given(rules.sweep(LATER)) == [("near", "exec-1")]
    assert list(rules.elsewhere()) == []


def test_a_session_is_silent_after_its_lease_but_not_while_it_reports() -> None:
    rules = dispatcher()
    join(rules, "ann")
    join(rules, "bob")
    rules.sessions["bob"].reporting = 1
    almost = LATER - timedelta(milliseconds=1)
    assert rules.silent(almost) == []
    assert [session.session_id for session in rules.silent(LATER)] == ["ann"]
    assert [session.session_id for session in rules.silent(almost, of_lease=0.5)] == ["ann"]
