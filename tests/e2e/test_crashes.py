"""A busy server is killed again and again, at moments of chance. Afterwards everything is there, once."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.conftest import Shop
from tests.support.eventually import eventually
from tests.support.server import TERMINAL, Json, Server, insisted

RUNS = 40
KILLS = 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_every_run_is_complete_and_every_effect_is_there_once_after_kills_under_load(
    server: Server, the_shop: Shop, seed: int
) -> None:
    chance = random.Random(seed)
    the_shop.register()
    with the_shop.worker() as worker, ThreadPoolExecutor(RUNS) as clients:
        runs = [clients.submit(one_run, server, number) for number in range(RUNS)]
        for _ in range(KILLS):
            for _ in range(chance.randint(5, 18)):  # 80 lines come at least, one for each time that a tool ran
                assert worker.line().startswith("ran ")
            server.restart()
        ids = [run.result() for run in runs]

    audit_runs(server, ids)
    assert Counter(key for key, _ in the_shop.effects("issue_refund")) == Counter(f"{id}.2-0" for id in ids)
    assert {key for key, _ in the_shop.effects("lookup_customer")} == {f"{id}.1-0" for id in ids}
    in_history(server, ids)


def one_run(server: Server, number: int) -> str:
    """A client that gives up on nothing: starts under a key, follows, approves under a key, follows to the end."""
    body = {"agent": "shop", "prompt": f"ticket {number}", "metadata": {"recording": "refund"}}
    started = insisted(lambda: server.http.post("/executions", json=body, headers={"Idempotency-Key": f"run-{number}"}))
    execution_id = str(started.json()["execution_id"])
    waiting = followed(server, execution_id, "waiting")
    path = f"/approvals/{waiting['approval_id']}/decision"
    decision = {"decision": "approve", "args_hash": waiting["args_hash"]}
    insisted(lambda: server.http.post(path, json=decision, headers={"Idempotency-Key": f"decision-{number}"}))
    followed(server, execution_id, *TERMINAL)
    return execution_id


def followed(server: Server, execution_id: str, *types: str) -> Json:
    """The first event of these types, over as many connections as it takes."""
    found: list[Json] = []

    def finds() -> bool:
        try:
            found.append(server.await_event(execution_id, *types))
        except httpx.TransportError:
            return False
        return True

    eventually(finds, f"{execution_id} has one of {types}")
    return found[0]


def audit_runs(server: Server, ids: list[str]) -> None:
    assert len(set(ids)) == RUNS
    for execution_id in ids:
        events = server.events(execution_id)
        types = [event["type"] for event in events]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert types[-1] == "done"
        assert [types.count(kind) for kind in ("started", "approved", "done")] == [1, 1, 1]
        results = [event["call_id"] for event in events if event["type"] == "tool_result"]
        assert sorted(results) == ["1-0", "2-0"]


def in_history(server: Server, ids: list[str]) -> None:
    """History is a moment behind the log."""

    def listed() -> list[str]:
        page = server.get("/executions", agent="shop", status="completed", limit=500)
        return sorted(item["execution_id"] for item in page["items"])

    eventually(lambda: len(listed()) >= len(ids), "history has all of them")
    assert listed() == sorted(ids)
