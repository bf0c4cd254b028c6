"""Tickets in, requests out, decisions in: between a server process and another team's plain client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspan_schemas.ids import execution_id_for
from tests.e2e.conftest import refund_turns
from tests.kafka.circle import Circle, opened_circle
from tests.kafka.servers import Process
from tests.kafka.teams import Json
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker

REFUND_AT_ONCE = {"recording": "refund_at_once"}
TICKET = {"id": "T-1", "source": "crm", "agent": "shop", "text": "charged twice", "metadata": REFUND_AT_ONCE}
CLOUD = {"ce_specversion": "1.0", "ce_id": "T-1", "ce_source": "crm", "ce_type": "com.shop.complaint"}


@pytest.fixture
def circle(broker: Broker, tmp_path: Path) -> Iterator[Circle]:
    with opened_circle(broker.bootstrap, tmp_path) as circle:
        yield circle


def decision(request: Json, by: str, what: str) -> Json:
    return {
        "decision_id": f"{by}-1",
        "approval_id": request["approval_id"],
        "args_hash": request["args_hash"],
        "decision": what,
        "by": by,
    }


def test_a_ticket_sent_twice_with_a_kill_between_is_one_execution(circle: Circle) -> None:
    circle.team.send("tickets", TICKET, partition=0)
    circle.await_started("crm", "T-1")
    circle.server.kill()
    cloud = {name: value for name, value in TICKET.items() if name not in ("id", "source")}
    circle.team.send("tickets", cloud, headers=CLOUD, partition=1)
    circle.server.start()
    circle.team.send("tickets", TICKET | {"id": "T-2"}, partition=1)
    circle.await_started("crm", "T-2")
    assert circle.started() == {execution_id_for("crm", "T-1"): 1, execution_id_for("crm", "T-2"): 1}
    assert circle.team.read("tickets.dlq") == []


def test_a_server_killed_among_many_tickets_starts_each_of_them_once(circle: Circle) -> None:
    ids = [f"T-{number}" for number in range(100)]
    for id_ in ids:
        for partition in (0, 1):
            circle.team.queue("tickets", TICKET | {"id": id_}, partition=partition)
    circle.team.flush()
    eventually(lambda: circle.exists("crm", "T-10"), "some are started")
    circle.server.kill()
    circle.server.start()
    for partition in (0, 1):
        circle.team.send("tickets", TICKET | {"id": f"last-{partition}"}, partition=partition)
        circle.await_started("crm", f"last-{partition}")
    eventually(lambda: len(circle.started()) == len(ids) + 2, "all are started")
    assert set(circle.started().values()) == {1}
    assert circle.team.read("tickets.dlq") == []


def test_what_cannot_be_taken_goes_to_the_dead_letters_as_it_came_and_stops_nobody(circle: Circle) -> None:
    circle.team.send("tickets", TICKET)
    bad = {
        "unreadable": b"\xff no ticket",
        "too_large": b'{"text": "' + b"x" * 1_500_000 + b'"}',
        "unknown_agent": b'{"id": "T-3", "source": "crm", "agent": "nobody", "text": "?"}',
        "ticket_id_reused": b'{"id": "T-1", "source": "crm", "agent": "shop", "text": "something else"}',
        "no_mapping": b'{"id": "T-4", "source": "crm", "text": "for whom?"}',
    }
    for code, raw in bad.items():
        circle.team.send("tickets", raw, key=b"a key", headers={"team": code})
    circle.team.send("tickets", TICKET | {"id": "T-2"})
    circle.await_started("crm", "T-2")
    eventually(lambda: len(circle.team.read("tickets.dlq")) == len(bad), "all are put aside")
    letters = {each.headers["dlq.error"].decode(): each for each in circle.team.read("tickets.dlq")}
    assert {code: (each.key, each.value) for code, each in letters.items()} == {
        code: (b"a key", raw) for code, raw in bad.items()
    }
    for offset, code in enumerate(bad, start=1):
        headers = letters[code].headers
        assert headers["team"] == code.encode()
        assert headers["dlq.topic"] == f"{circle.prefix}.tickets".encode()
        assert (headers["dlq.partition"], headers["dlq.offset"]) == (b"0", str(offset).encode())
        assert headers["dlq.message"]
    assert circle.started() == {execution_id_for("crm", "T-1"): 1, execution_id_for("crm", "T-2"): 1}


def test_a_ticket_that_names_no_agent_goes_where_the_settings_say_also_after_a_restart(circle: Circle) -> None:
    mapping = {"agent": "shop", "source": "crm-*", "ce_type": "com.shop.*"}
    assert circle.server.http.put("/ticket-mappings/complaints", json=mapping).is_success
    circle.server.restart()
    headers = CLOUD | {"ce_id": "T-9", "ce_source": "crm-eu"}
    circle.team.send("tickets", {"text": "charged twice", "metadata": REFUND_AT_ONCE}, headers=headers)
    circle.await_started("crm-eu", "T-9")


def test_a_request_goes_out_and_decisions_come_in_and_each_is_told_what_came_of_it(circle: Circle) -> None:
    circle.team.send("tickets", TICKET)
    pending = circle.await_request("pending")
    assert (pending["tool"], pending["agent"]) == ("issue_refund", "shop")
    circle.team.send("decisions", b"no decision", key=b"k")
    circle.team.send("decisions", decision(pending, "risk", "approve"))
    approved = circle.await_request("approved", attempts=1)
    assert (approved["decided_by"], approved["channel"]) == ("service:risk", "topic")
    assert [(each["decision_id"], each["accepted"]) for each in approved["attempts"]] == [("risk-1", True)]

    circle.team.send("decisions", decision(pending, "fraud", "reject"), partition=1)
    [_, lost] = circle.await_request("approved", attempts=2)["attempts"]
    assert (lost["decision_id"], lost["accepted"], lost["code"]) == ("fraud-1", False, "already_decided")
    assert lost["winner"]["by"] == "service:risk"
    [letter] = circle.team.read("decisions.dlq")
    assert (letter.key, letter.value, letter.headers["dlq.error"]) == (b"k", b"no decision", b"unreadable")


def test_when_a_server_is_killed_another_takes_the_tickets_and_publishes_the_requests(
    circle: Circle, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with Process(tmp_path / "other", circle.log, "server", "start") as other:
        other.record("refund_at_once", *refund_turns()[1:])
        ids = [f"T-{number}" for number in range(60)]
        for number, id_ in enumerate(ids):
            circle.team.queue("tickets", TICKET | {"id": id_}, partition=number % 3)
        circle.team.flush()
        eventually(lambda: len(circle.team.latest("approvals")) > 10, "some are published")
        circle.server.kill()
        for partition in range(3):
            circle.team.send("tickets", TICKET | {"id": f"last-{partition}"}, partition=partition)
        wanted = {execution_id_for("crm", id_) for id_ in (*ids, "last-0", "last-1", "last-2")}

        def all_wait() -> bool:
            requests = circle.team.latest("approvals").values()
            return wanted == {each["execution_id"] for each in requests if each["state"] == "pending"}

        eventually(all_wait, "all requests are published")
        assert circle.started() == dict.fromkeys(wanted, 1)
