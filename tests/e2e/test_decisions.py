"""People decide: two at once, and against what the agent wants; the agent reads why."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx

from tests.e2e import shop
from tests.e2e.conftest import REFUND, Shop
from tests.support.messages_server import KEY, MessagesServer, Reply, text, tool_use
from tests.support.server import Server


def test_of_many_who_decide_at_once_one_wins_and_the_others_are_told_who(server: Server, the_shop: Shop) -> None:
    the_shop.register()
    execution_id = server.begin("refund_at_once")
    server.await_event(execution_id, "waiting")
    together = Barrier(8)

    def decide(number: int) -> httpx.Response:
        together.wait()
        return server.decide(execution_id, "1-0", ("approve", "reject")[number % 2], user=f"reviewer{number}")

    with ThreadPoolExecutor(8) as reviewers:
        answers = list(reviewers.map(decide, range(8)))

    [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    lost = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["code"]) for answer in lost} == {(409, "already_decided")}
    assert {answer.json()["winner"]["by"] for answer in lost} == {f"user:reviewer{winner}"}
    assert all(f"reviewer{winner}" in answer.json()["detail"] for answer in lost)
    decided = [kind for kind in server.types(execution_id) if kind in ("approved", "rejected")]
    assert decided == [("approved", "rejected")[winner % 2]]


async def test_a_rejected_call_never_runs_and_the_model_reads_the_reason_and_goes_on(tmp_path: Path) -> None:
    async with MessagesServer() as model:
        model.script(
            Reply([tool_use("toolu_1", "issue_refund", REFUND)], stop_reason="tool_use"),
            Reply([text("I have escalated it.")]),
        )
        key = {"ANTHROPIC_BASE_URL": model.base_url, "ANTHROPIC_API_KEY": KEY}
        await asyncio.to_thread(reject, tmp_path, key)
        answered = model.requests[1]["messages"][-1]["content"][0]

    assert answered["tool_use_id"] == "toolu_1"
    assert "Amount too large, escalate to finance" in str(answered["content"])


def reject(folder: Path, environment: dict[str, str]) -> None:
    with Server(folder, environment=environment) as server:
        the_shop = Shop(server, folder)
        definition = shop.shop_agent.definition.model_dump(mode="json") | {"model": "anthropic/claude-sonnet-4-6"}
        assert server.http.put("/agents", json=definition).is_success
        with the_shop.worker():
            assert server.http.put("/agents", json=definition).is_success
            execution_id = server.begin("none")
            server.await_event(execution_id, "waiting")
            reason = "Amount too large, escalate to finance"
            assert server.decide(execution_id, "1-0", "reject", reason=reason).is_success
            assert server.await_end(execution_id)["output"] == "I have escalated it."
        assert the_shop.effects("issue_refund") == []
