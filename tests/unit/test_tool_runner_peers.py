"""The others as one tool-runner sees them: when they count, what follows when they end, when they are buried."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspan_schemas.tasks import MODEL_LANE, WorkerSession
from agentspan_tool_runner.domain.peers import BURY_AFTER, Fit, News, Peers, fits
from tests.support.tool_runner import REFUND, START, call_of, tool_task

LEASE = timedelta(seconds=10)
CALL = call_of(tool_task()).fit


def worker(session_id: str = "far", *holds: str, gateway_id: str = "gateway-b") -> WorkerSession:
    return WorkerSession(session_id=session_id, gateway_id=gateway_id, worker="w", tools=REFUND, holds=holds, at=START)


def lane(session_id: str, *lacks: str) -> WorkerSession:
    return worker(session_id).model_copy(update={"tools": {}, "lanes": (MODEL_LANE,), "lacks": lacks})


@pytest.mark.parametrize(
    ("call", "is_fit"),
    [
        (("shop", "refund", "hash-1"), True),
        (("shop", "refund", "hash-2"), False),
        (("shop", "mail", "hash-1"), False),
        (("bank", "refund", "hash-1"), False),
    ],
)
def test_a_worker_fits_when_it_has_the_agent_and_a_tool_of_the_same_schema(call: Fit, is_fit: bool) -> None:
    assert fits(REFUND, call) is is_fit


def test_a_session_counts_from_its_first_record_until_a_lease_after_its_last() -> None:
    peers = Peers(LEASE)
    peers.heard(worker(), START)
    peers.heard(worker(), START + LEASE / 2)
    assert not peers.expire(START + LEASE)
    assert peers.gateways(CALL) == {"gateway-b"}
    assert peers.expire(START + LEASE * 1.5).moved
    assert peers.gateways(CALL) == frozenset()
    assert list(peers.sessions()) == []


def test_the_time_that_a_record_names_is_another_clocks_and_does_not_count() -> None:
    peers = Peers(LEASE)
    peers.heard(worker().model_copy(update={"at": START - timedelta(days=1)}), START)
    assert not peers.expire(START + LEASE / 2)


def test_a_renewal_is_no_news() -> None:
    peers = Peers(LEASE)
    assert peers.heard(worker("far", "k1"), START) == News(moved=True)
    assert not peers.heard(worker("far", "k1"), START)
    assert not peers.heard(worker("far", "k1", "k2"), START)


def test_what_a_session_gives_up_is_free_and_what_a_dead_one_held_is_orphaned() -> None:
    peers = Peers(LEASE)
    peers.heard(worker("far", "k1", "k2", "k3"), START)
    assert peers.heard(worker("far", "k2", "k3"), START) == News(freed=frozenset({"k1"}))
    peers.heard(worker("another", "k3"), START + LEASE / 2)
    assert peers.expire(START + LEASE) == News(orphaned=frozenset({"k2"}), moved=True)
    assert peers.holds("k3")
    assert peers.gone("another") == News(freed=frozenset({"k3"}), moved=True)
    assert not peers.gone("another")


def test_the_long_dead_are_buried_once_and_not_when_they_came_back() -> None:
    peers = Peers(LEASE)
    for name in ("dead", "back", "buried by another"):
        peers.heard(worker(name), START)
    peers.expire(START + LEASE)
    peers.heard(worker("back"), START + LEASE)
    peers.gone("buried by another")
    assert peers.to_bury(START + LEASE * BURY_AFTER - timedelta(seconds=1)) == []
    assert peers.to_bury(START + LEASE * BURY_AFTER) == ["dead"]
    assert peers.to_bury(START + LEASE * BURY_AFTER) == []


def test_lanes_are_found_by_the_models_that_they_do_not_lack() -> None:
    peers = Peers(LEASE)
    peers.heard(worker(), START)
    met_before = peers.met_lanes
    peers.heard(lane("rich"), START)
    peers.heard(lane("poor", "vendor/large"), START)
    assert (met_before, peers.met_lanes) == (False, True)
    assert peers.lanes() == {"rich", "poor"}
    assert peers.lanes("vendor/large") == {"rich"}
    peers.heard(lane("poor"), START)
    assert peers.lanes("vendor/large") == {"rich", "poor"}


keys = st.frozensets(st.sampled_from(["k1", "k2", "k3", "k4"]))
Change = tuple[str, frozenset[str] | str | None]
"""Whose: what it holds now, None for its good-bye, or that a lease goes by."""

changes = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), keys | st.none() | st.just("time")), max_size=30)


@given(changes)
def test_a_task_is_held_exactly_while_a_live_session_lists_it(changes: list[Change]) -> None:
    peers, now, live = Peers(LEASE), START, dict[str, frozenset[str]]()
    for name, change in changes:
        before = {key for holds in live.values() for key in holds}
        if isinstance(change, frozenset):
            live[name] = change
            news = peers.heard(worker(name, *change), now)
        elif change is None:
            live.pop(name, None)
            news = peers.gone(name)
        else:
            now += LEASE
            live.clear()
            news = peers.expire(now)
        held = {key for holds in live.values() for key in holds}
        assert {key for key in ("k1", "k2", "k3", "k4") if peers.holds(key)} == held
        assert news.freed | news.orphaned == before - held
