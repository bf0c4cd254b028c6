"""What the view was told and has not written yet, what it read last, and what is in its file are one to who asks."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspan.eventlog import Position
from agentspan_approvals.adapters import sqlite_store
from agentspan_approvals.adapters.sqlite_store import SqliteApprovalStore
from agentspan_approvals.ports import Search
from agentspan_schemas.approvals import ApprovalRecord, ApprovalState
from tests.support.approvals import Office
from tests.support.orchestration import EXECUTION, approve, ask, start
from tests.unit.test_approvals_entries import PENDING

AT = Position(1, 1, 1)

EXECUTIONS = st.sampled_from([f"exec-{letter}" for letter in "abcd"])
CALLS = st.sampled_from(["1-0", "1-1"])
STATES: st.SearchStrategy[ApprovalState] = st.sampled_from(["pending", "approved"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), EXECUTIONS, CALLS, STATES),
        st.tuples(st.just("ask"), EXECUTIONS),
        st.tuples(st.just("list")),
    ),
    max_size=40,
)


def request(execution_id: str, call_id: str, state: ApprovalState) -> ApprovalRecord:
    ids = {"approval_id": f"{execution_id}.{call_id}", "execution_id": execution_id, "call_id": call_id}
    return PENDING.model_copy(update={**ids, "state": state, "requested_at": datetime(2026, 1, 1, tzinfo=UTC)})


@given(STEPS)
def test_whoever_asks_is_answered_with_what_was_put_last(steps: list[tuple[str, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_store, "MOST_UNSAVED", 3)
        patch.setattr(sqlite_store, "RECENT_EXECUTIONS", 2)
        store, told = SqliteApprovalStore(":memory:"), dict[str, ApprovalRecord]()
        for step in steps:
            match step:
                case ("put", execution_id, call_id, ("pending" | "approved") as state):
                    put = request(execution_id, call_id, state)
                    told[put.approval_id] = put
                    store.put(0, [put], AT)
                case ("ask", execution_id):
                    of_it = {key: known for key, known in told.items() if known.execution_id == execution_id}
                    assert store.of_execution(execution_id) == of_it
                    assert {key: store.get(key) for key in of_it} == of_it
                case _:
                    assert {each.approval_id: each for each in store.search(Search())} == told
        assert {each.approval_id: each for each in store.of(0)} == told
        store.close()


async def test_new_requests_are_folded_without_a_look_at_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    office, asked = Office(), list[str]()
    of_execution = office.store.of_execution

    def counted(execution_id: str) -> Mapping[str, ApprovalRecord]:
        asked.append(execution_id)
        return of_execution(execution_id)

    monkeypatch.setattr(office.store, "of_execution", counted)
    async with office.open() as here:
        await here.send(start())
        await here.send(ask("refund", "refund"))
        await here.until(lambda: office.store.get(f"{EXECUTION}.1-1"))
        assert asked == []
        await here.send(approve("1-0"))
        await here.until(lambda: asked)
    waiting = [each.call_id for each in office.store.search(Search(states=("pending",)))]
    assert waiting == ["1-1"]
