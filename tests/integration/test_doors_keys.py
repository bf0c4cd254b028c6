"""An Idempotency-Key makes a request safe to send again; another request under it is another one, and answered so."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import Json, Server, turn

AGENT: Json = {
    "name": "desk",
    "model": "replay/shop",
    "tools": [
        {"name": "refund", "input_schema": {"type": "object"}, "approval_required": True, "effects": "once"},
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("keys")) as running:
        running.record("refund", turn("", ("refund", {"amount_usd": 20})), turn("Done."))
        assert running.http.put("/agents", json=AGENT).is_success
        yield running


@pytest.fixture
def waiting(server: Server) -> Json:
    """The `waiting` event of an execution that stands at its refund."""
    return server.await_event(server.begin("refund", agent="desk"), "waiting")


def decided(server: Server, waiting: Json, key: str, **body: object) -> httpx.Response:
    path = f"/approvals/{waiting['approval_id']}/decision"
    asked = {"decision": "approve", "args_hash": waiting["args_hash"]} | body
    return server.http.post(path, json=asked, headers={"Idempotency-Key": key})


def test_a_decision_that_is_sent_again_is_answered_again(server: Server, waiting: Json) -> None:
    answers = [decided(server, waiting, "k-1") for _ in range(2)]
    assert [answer.json()["state"] for answer in answers] == ["approved", "approved"]
    assert server.types(waiting["execution_id"]).count("approved") == 1


def test_another_decision_under_the_same_key_is_told_that_it_lost(server: Server, waiting: Json) -> None:
    assert decided(server, waiting, "k-1").is_success
    for other in ({"decision": "reject"}, {"edited_args": {"amount_usd": 5}}):
        answer = decided(server, waiting, "k-1", **other)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_decided")
        assert answer.json()["winner"]["by"] == "user:local"


def test_who_looks_again_may_decide_under_the_key_of_what_was_refused(server: Server, waiting: Json) -> None:
    refused = decided(server, waiting, "k-1", args_hash="0" * 64)
    assert (refused.status_code, refused.json()["code"]) == (409, "args_changed")
    assert decided(server, waiting, "k-1").json()["state"] == "approved"


def test_a_message_is_heard_once_and_another_under_its_key_too(server: Server, waiting: Json) -> None:
    execution_id = waiting["execution_id"]
    for text in ("hello", "hello", "and good-bye"):
        server.post(f"/executions/{execution_id}/messages", {"text": text}, Idempotency_Key="m-1")
    heard = [event["text"] for event in server.events(execution_id) if event["type"] == "message"]
    assert heard == ["hello", "and good-bye"]


def test_a_key_is_kept_as_the_text_that_it_is_at_every_door(server: Server, waiting: Json) -> None:
    key = "Müller №5"
    asked = httpx.Headers({"Idempotency-Key": key}, encoding="utf-8")
    start = {"agent": "desk", "prompt": "a ticket", "metadata": {"recording": "refund"}}
    answers = [server.http.post("/executions", json=start, headers=asked) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    started, *_ = server.events(answers[0].json()["execution_id"])
    assert started["key"] == key
    path = f"/executions/{waiting['execution_id']}/messages"
    assert server.http.post(path, json={"text": "hello"}, headers=asked).is_success
    [heard] = [event for event in server.events(waiting["execution_id"]) if event["type"] == "message"]
    assert key in heard["causation_id"]


def test_a_body_that_is_left_out_says_what_an_empty_one_says(server: Server, waiting: Json) -> None:
    """Where every field may be left out."""
    for verb in ("pause", "resume", "cancel"):
        path, key = f"/executions/{waiting['execution_id']}/{verb}", {"Idempotency-Key": f"{verb}-1"}
        answers = [server.http.post(path, headers=key), server.http.post(path, json={}, headers=key)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.json()["created"] for answer in answers] == [True, False]
