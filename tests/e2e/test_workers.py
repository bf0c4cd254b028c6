"""Workers are killed inside a tool, and restarted with other words: what runs again, what never does, who decides."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import shop, shop_reworded
from tests.e2e.conftest import Shop, refund_turns
from tests.support.program import Program
from tests.support.server import Server


def test_an_ungated_tool_runs_again_under_the_same_key_when_its_worker_is_killed_inside_it(
    server: Server, the_shop: Shop
) -> None:
    with the_shop.worker(hangs=True) as worker:
        execution_id = server.begin("refund", hang_after="lookup_customer")
        assert worker.line() == "ran lookup_customer"
        worker.kill()
    with the_shop.worker():
        server.await_event(execution_id, "waiting")

    key = f"{execution_id}.1-0"
    assert [ran for ran, _ in the_shop.effects("lookup_customer")] == [key, key]
    assert server.types(execution_id).count("tool_result") == 1


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A call whose worker was killed inside it, another worker that could run it, and the shop."""

    execution_id: str
    server: Server
    shop: Shop
    worker: Program

    def resolve(self, outcome: str, **more: object) -> None:
        """Say what became of it."""
        path = f"/executions/{self.execution_id}/calls/2-0/resolve"
        self.server.post(path, {"attempt": 1, "outcome": outcome, **more}, agentspan_user="ada")


@pytest.fixture(scope="module")
def in_doubt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, InDoubt]]:
    """By `hang_before` or `hang_after` the refund's row: calls in doubt, all of one worker that was killed."""
    folder = tmp_path_factory.mktemp("in-doubt")
    with Server(folder, lease_s=3) as server:
        server.record("refund", *refund_turns())
        the_shop = Shop(server, folder)
        ids = killed_inside_refunds(server, the_shop)
        with the_shop.worker() as worker:
            for execution_id in ids.values():
                server.await_event(execution_id, "in_doubt")
            yield {name: InDoubt(execution_id, server, the_shop, worker) for name, execution_id in ids.items()}


def killed_inside_refunds(server: Server, the_shop: Shop) -> dict[str, str]:
    with the_shop.worker(hangs=True) as worker:
        hangs = {"succeeded": "hang_after", "failed": "hang_before", "not_run": "hang_before"}
        ids = {name: server.begin("refund", **{hang: "issue_refund"}) for name, hang in hangs.items()}
        for execution_id in ids.values():
            server.await_event(execution_id, "waiting")
            assert server.decide(execution_id, "2-0").is_success
        inside = 0
        while inside < len(ids):
            inside += worker.line() == "inside issue_refund"
        worker.kill()
    return ids


def test_a_gated_tool_whose_worker_is_killed_inside_it_waits_in_doubt_for_a_person(
    in_doubt: dict[str, InDoubt],
) -> None:
    doubt = in_doubt["succeeded"]
    assert doubt.shop.effects("issue_refund", doubt.execution_id) == [(f"{doubt.execution_id}.2-0", 1)]
    execution = doubt.server.get(f"/executions/{doubt.execution_id}")
    record = doubt.server.get(f"/approvals/{doubt.execution_id}.2-0")
    assert execution["status"] == "waiting"
    assert execution["totals"]["waiting_on"] == ["issue_refund"]
    assert record["state"] == "in_doubt"
    assert "resolve" in record["reason"]

    doubt.resolve("succeeded", value={"id": "found in the books"}, reason="looked it up")
    assert doubt.server.await_end(doubt.execution_id)["type"] == "done"
    result = doubt.server.await_event(doubt.execution_id, "tool_result", after=record["seq"])
    assert (result["ok"], result["value"], result["resolved_by"]) == (True, {"id": "found in the books"}, "user:ada")
    assert len(doubt.shop.effects("issue_refund", doubt.execution_id)) == 1, "it was never run again"


def test_a_call_in_doubt_resolved_as_failed_tells_the_model_and_is_not_run_again(in_doubt: dict[str, InDoubt]) -> None:
    doubt = in_doubt["failed"]
    began = doubt.server.await_event(doubt.execution_id, "in_doubt")
    doubt.resolve("failed", error="the bank refused it")
    assert doubt.server.await_end(doubt.execution_id)["type"] == "done"
    result = doubt.server.await_event(doubt.execution_id, "tool_result", after=began["seq"])
    assert (result["ok"], result["error"]["message"]) == (False, "the bank refused it")
    assert doubt.shop.effects("issue_refund", doubt.execution_id) == []


def test_a_call_in_doubt_resolved_as_not_run_is_run_by_its_next_attempt(in_doubt: dict[str, InDoubt]) -> None:
    doubt = in_doubt["not_run"]
    doubt.resolve("not_run", reason="the bank has no trace of it")
    assert doubt.server.await_end(doubt.execution_id)["type"] == "done"
    assert doubt.shop.effects("issue_refund", doubt.execution_id) == [(f"{doubt.execution_id}.2-0", 2)]

    path = f"/executions/{doubt.execution_id}/calls/2-0/resolve"
    again = doubt.server.http.post(path, json={"attempt": 2, "outcome": "failed"})
    assert again.status_code == 409


def test_a_worker_restarted_with_a_changed_docstring_finishes_the_old_run(server: Server, the_shop: Shop) -> None:
    with the_shop.worker():
        execution_id = server.begin("refund")
        waiting = server.await_event(execution_id, "waiting")
    assert shop.shop_agent.definition.version == waiting["agent_version"]
    assert shop_reworded.reworded_agent.definition.version != waiting["agent_version"]

    with the_shop.worker(program=("-m", "tests.e2e.shop_reworded")):
        assert server.decide(execution_id, "2-0").is_success
        assert server.await_end(execution_id)["type"] == "done"
    assert the_shop.effects("issue_refund") == [(f"{execution_id}.2-0", 1)]
