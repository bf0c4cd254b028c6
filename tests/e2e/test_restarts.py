"""The server is killed, as by a power cut, and what people and programs see of it: nothing lost, nothing done twice."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import Shop
from tests.support.eventually import eventually
from tests.support.server import Json, Server, sent

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment.md"


def approve_by_handle(shop: Shop, execution_id: str) -> None:
    with shop.program("approve", execution_id) as reviewer:
        assert reviewer.end() == 0


def approve_by_command(shop: Shop, execution_id: str) -> None:
    said = shop.command("agent", "respond", execution_id, "--approve")
    assert "no worker" in said.lower(), "nobody can take the call now, and the command says so"


@pytest.mark.parametrize("approve", [approve_by_handle, approve_by_command])
def test_a_refund_approved_after_the_server_was_killed_is_made_once_by_another_process(
    server: Server, the_shop: Shop, approve: Callable[[Shop, str], None]
) -> None:
    with the_shop.program("begin", "refund") as program:
        _, tool, execution_id = program.lines()[-1].split()
        assert tool == "issue_refund"
        assert program.end() == 0

    server.restart()
    approve(the_shop, execution_id)
    assert the_shop.effects("issue_refund") == []

    with the_shop.worker() as worker:
        assert server.await_end(execution_id)["type"] == "done"
        assert worker.end() == 0
    assert the_shop.effects("issue_refund") == [(f"{execution_id}.2-0", 1)]


def test_a_log_that_is_restored_from_an_older_copy_has_the_history_of_that_copy(server: Server, the_shop: Shop) -> None:
    the_shop.register()
    execution_id = server.begin("refund_at_once")
    server.await_event(execution_id, "waiting")
    before = server.types(execution_id)
    copy = server.data.parent / "copy.sqlite3"
    backed_up(server.data, copy)
    assert server.decide(execution_id, "1-0", "reject", reason="too much").is_success
    server.await_end(execution_id)
    listed_as(server, execution_id, "completed")

    server.kill()
    for beside in ("-wal", "-shm"):
        (server.data / f"log.sqlite3{beside}").unlink(missing_ok=True)
    shutil.copyfile(copy, server.data / "log.sqlite3")
    server.start()

    listed_as(server, execution_id, "waiting")
    assert server.types(execution_id) == before
    assert server.get("/approvals", state="pending")["items"][0]["execution_id"] == execution_id
    server.restart()
    listed_as(server, execution_id, "waiting")


def backed_up(data: Path, copy: Path) -> None:
    """By the command of docs/deployment.md that needs Python alone."""
    [line] = [each for each in DEPLOYMENT.read_text(encoding="utf-8").splitlines() if each.startswith("python -c")]
    program, option, code = shlex.split(line.replace("DIR", str(data)))
    assert (program, option) == ("python", "-c")
    subprocess.run([sys.executable, "-c", code], cwd=copy.parent, check=True)


def listed_as(server: Server, execution_id: str, status: str) -> None:
    """Return when the list says so: it follows the log."""

    def shown() -> bool:
        items = server.get("/executions", limit=500)["items"]
        return any((item["execution_id"], item["status"]) == (execution_id, status) for item in items)

    eventually(shown, f"{execution_id} is listed as {status}")


def test_what_waits_for_people_writes_nothing_and_holds_no_connection_however_often_the_server_dies(
    server: Server, the_shop: Shop
) -> None:
    the_shop.register()
    waiting = [server.begin("refund_at_once") for _ in range(30)]
    for execution_id in waiting:
        server.await_event(execution_id, "waiting")
    before = offset_of_a_message(server, waiting[0])
    server.restart()
    server.restart()

    takeovers, message = 2, 1
    assert offset_of_a_message(server, waiting[0]) == before + takeovers + message
    with_others = [peer for peer in psutil.Process(server.pid).net_connections("tcp") if is_inbound(peer, server)]
    assert len(with_others) <= 1, "at most the connection of this test itself"
    assert {server.get(f"/executions/{execution_id}")["status"] for execution_id in waiting} == {"waiting"}


def offset_of_a_message(server: Server, execution_id: str) -> int:
    ref = server.post(f"/executions/{execution_id}/messages", {"text": "are you there?"})
    return int(ref["position"].partition(":")[2])


def is_inbound(peer: "psutil._ntuples.pconn", server: Server) -> bool:
    return peer.status == psutil.CONN_ESTABLISHED and peer.laddr.port == server.port


def test_streams_go_on_without_a_gap_or_a_repetition_when_the_server_restarts_under_them(
    server: Server, the_shop: Shop
) -> None:
    with the_shop.worker():
        execution_id = server.begin("refund")
        with the_shop.program("stream", execution_id) as follower:
            followed = [follower.line()]
            while not followed[-1].endswith(" waiting"):
                followed.append(follower.line())
            seen = until_cut_off(server, execution_id)
            server.start()
            assert server.decide(execution_id, "2-0").is_success
            seen += resumed(server, execution_id, seen[-1]["seq"])
            followed += follower.lines()

    assert seen == server.events(execution_id)
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert followed == [f"{event['seq']} {event['type']}" for event in seen]


def until_cut_off(server: Server, execution_id: str) -> list[Json]:
    """The events of a stream under which the server is killed once it shows the run waiting."""
    seen: list[Json] = []
    with suppress(httpx.TransportError), server.following(execution_id) as events:
        for event in events:
            seen.append(event)
            if event["type"] == "waiting":
                server.kill()
    return seen


def resumed(server: Server, execution_id: str, last: int) -> list[Json]:
    server.get(f"/executions/{execution_id}")
    headers = {"Last-Event-ID": str(last)}
    with server.http.stream("GET", f"/executions/{execution_id}/stream", headers=headers) as response:
        return list(sent(response))


def test_an_approval_expires_at_its_time_also_when_the_server_was_away(server: Server, the_shop: Shop) -> None:
    the_shop.register()
    execution_id = server.begin("offer")
    waiting = server.await_event(execution_id, "waiting")
    server.restart()

    expired = server.await_event(execution_id, "expired")
    assert expired["expires_at"] == waiting["expires_at"] <= expired["at"]
    assert server.await_end(execution_id)["output"] == "No credit then."
    too_late = server.decide(execution_id, "1-0")
    assert (too_late.status_code, too_late.json()["code"]) == (409, "already_decided"), too_late.text
    assert too_late.json()["winner"]["decision"] == "expired"
    assert the_shop.effects("offer_credit") == []
