"""A whole server on a log with a record that nobody can read: it does not end, says so at each of its doors, shows all
that it has, and people find the record with its bytes among the dead letters."""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from agentspan.eventlog import Record
from agentspan.eventlog.messages import log_record
from agentspan.eventlog.sqlite import SqliteLog
from tests.support.eventually import eventually
from tests.support.query_history import History
from tests.support.server import Server, clean_environment, run, turn
from tests.support.unread import damaged, last, later

BYTES = b"\xff not an event"


async def append(data: Path, records: list[Record]) -> None:
    """To the log of a server that does not run."""
    log = SqliteLog.open(data / "log.sqlite3", 1)
    await (await log.partition(0).take_over("another")).append(records)
    await log.close()


def frames(response: httpx.Response) -> list[tuple[str, Any]]:
    """The names and data of a stream that ends by itself."""
    fields = [line.partition(": ")[::2] for line in response.read().decode().splitlines()]
    names = [value for name, value in fields if name == "event"]
    return list(zip(names, [json.loads(value) for name, value in fields if name == "data"], strict=True))


def test_a_server_goes_on_and_shows_what_it_has_and_what_it_lacks(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.record("answer", turn("Done."))
        assert server.http.put("/agents", json={"name": "desk", "model": "replay/shop"}).is_success
        whole = server.begin("answer", agent="desk")
        server.await_end(whole)
        server.kill()
        first, second, third = History("exec-a", agent="desk").started().waiting().done().events
        asyncio.run(append(server.data, [log_record(first), damaged(second, BYTES), log_record(third)]))
        server.start()
        another = server.begin("answer", agent="desk")
        server.await_end(another)
        assert server.types(whole)[-1] == "done"
        listed = server.get("/executions")["items"]
        assert {item["execution_id"]: item["status"] for item in listed} == {
            whole: "completed",
            another: "completed",
            "exec-a": "completed",
        }
        response = server.http.get("/executions/exec-a/stream")
        [(started, _), (problem, said)] = frames(response)
        assert (started, problem, said["execution_id"]) == ("started", "problem", "exec-a")
        assert said["problem"]["code"] == "event_missing"
        measured = httpx.get(f"{server.url}/metrics").text
        assert 'agentspan_dead_letters_total{reason="unreadable_event",topic="events"} 1' in measured
        assert "agentspan_projection_waiting_partitions 0" in measured
        assert 'agentspan_executions_unread{partition="0"} 1' in measured
        told = "partition 0: nothing of 'exec-a' is decided until a server can read it: 'waiting' of 'exec-a' at 0:7"
        assert told in server.log.read_text()
        still = "nothing is decided of 1 execution, of which a record can't be read"
        assert httpx.get(f"{server.url}/readyz").json()["executions"].startswith(still)
        assert agentspan(server, "server", "status")["executions"].startswith(still)
        refused = server.http.post("/executions/exec-a/cancel", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "'waiting' of 'exec-a' at 0:7 of the log can't be read" in refused.json()["detail"]
        [letter] = dlq(server, "list")
        assert (letter["id"], letter["why"], letter["source"]["offset"]) == ("events/0:1", "unreadable_event", 7)
        shown = dlq(server, "show", "events/0:1")
        assert base64.b64decode(shown["value"]["base64"]) == BYTES
        assert shown["next"].startswith("nobody can read it")


def test_requests_that_wait_for_an_upgrade_are_said_where_operators_look(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.get("/executions")
        server.kill()
        asyncio.run(append(server.data, [later(last(History("exec-a", agent="desk").started().waiting()))]))
        server.start()
        said = until_said(server)
        assert said["status"] == "ok"
        assert said["approvals"].startswith("requests of 1 of 1 partitions wait for an upgrade: 'waiting' of 'exec-a'")
        status = agentspan(server, "server", "status")
        assert (status["status"], status["approvals"]) == ("ok", said["approvals"])
        assert "agentspan_approvals_waiting_partitions 1" in httpx.get(f"{server.url}/metrics").text


def until_said(server: Server) -> dict[str, Any]:
    """What `/readyz` says once the approvals have come to the record."""
    found: dict[str, Any] = {}

    def is_said() -> bool:
        found.update(httpx.get(f"{server.url}/readyz").json())
        return found["approvals"] is not None

    eventually(is_said, "requests that wait are said")
    return found


def dlq(server: Server, *words: str) -> Any:
    """What `agentspan dlq …` says, as JSON."""
    return agentspan(server, "dlq", *words)


def agentspan(server: Server, *words: str) -> Any:
    """What a command about the server's folder says, as JSON."""
    program = str(Path(sys.executable).with_name("agentspan"))
    done = run([program, *words, "--data", str(server.data), "-o", "json"], clean_environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
