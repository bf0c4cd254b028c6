"""Starting the same thing twice: runs, tickets, servers. One of them is, and the other one knows."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from threading import Thread

import psutil
import pytest

from tests.e2e.conftest import Shop
from tests.support.program import Program
from tests.support.server import Server, clean_environment, free_port, run

START = {"agent": "shop", "prompt": "please refund me", "metadata": {"recording": "refund_at_once"}}
TICKET = {"id": "T-17", "source": "zendesk", "agent": "shop", "text": "please", "metadata": START["metadata"]}


@pytest.mark.parametrize(
    ("path", "body", "changed"),
    [("/executions", START, {"prompt": "something else"}), ("/tickets", TICKET, {"text": "something else"})],
    ids=["a start under one key", "a ticket"],
)
def test_what_is_started_twice_is_one_run_also_after_a_crash_and_other_content_is_refused(
    server: Server, the_shop: Shop, path: str, body: dict[str, object], changed: dict[str, object]
) -> None:
    the_shop.register()
    key = {"Idempotency-Key": "T-17"}
    first = server.http.post(path, json=body, headers=key)
    again = server.http.post(path, json=body, headers=key)
    server.restart()
    after_a_crash = server.http.post(path, json=body, headers=key)
    other = server.http.post(path, json=body | changed, headers=key)

    assert [answer.status_code for answer in (first, again, after_a_crash)] == [201, 200, 200]
    assert [answer.json()["created"] for answer in (first, again, after_a_crash)] == [True, False, False]
    assert len({answer.json()["execution_id"] for answer in (first, again, after_a_crash)}) == 1
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")
    execution_id = first.json()["execution_id"]
    server.await_event(execution_id, "waiting")
    assert server.types(execution_id).count("started") == 1


def test_a_second_server_on_the_same_data_is_refused_and_told_who_serves_it(server: Server) -> None:
    command = [sys.executable, "-m", "agentspan_standalone", "start", "--data", str(server.data), "--port", "0"]
    second = run(command, server.environment)
    assert second.returncode == 1
    assert str(server.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert server.http.get("/executions/exec-none").status_code == 404, "the first one serves on"


def test_a_detached_start_for_another_folder_is_not_served_by_who_has_the_port(server: Server, tmp_path: Path) -> None:
    start = [sys.executable, "-m", "agentspan_standalone", "start", "--detach", "--port", str(server.port), "--data"]
    other = run([*start, str(tmp_path)], server.environment)
    same = run([*start, str(server.data)], server.environment)
    assert (other.returncode, same.returncode) == (1, 0)
    assert "another data folder" in other.stderr
    assert "already" in same.stderr


@pytest.mark.parametrize("detached", [[], ["--detach"]], ids=["in front", "detached"])
def test_a_port_in_use_is_named_and_how_to_take_another(tmp_path: Path, detached: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "agentspan_standalone", "start", "--data", str(tmp_path), "--port", port]
        refused = run([*command, *detached], clean_environment())
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_server_that_another_was_quicker_to_start_is_waited_for_while_it_reads_its_log(tmp_path: Path) -> None:
    with restoring(tmp_path / "server.log") as port:
        command = [sys.executable, "-m", "agentspan_standalone", "start", "--detach", "--data", str(tmp_path)]
        started = run([*command, "--port", str(port)], clean_environment())
    assert started.returncode == 0, started.stderr
    assert f"answers at http://localhost:{port}" in started.stderr


@contextmanager
def restoring(log: Path) -> Iterator[int]:
    """What answers at the port as a server does that is not ready until a second one has given up."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = log.exists() and "can't be used" in log.read_text() and next(asked) > 2
            self.send_response(200 if ready else 503)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}' if ready else b'{"code": "not_ready"}')

        def log_message(self, *parts: object) -> None:
            """Say nothing."""

    asked = count()
    with HTTPServer(("127.0.0.1", 0), Door) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


AUTOSTART = """
import sys
from agentspan.agents import AgentRuntime, _discovery
from tests.e2e import shop

_discovery.DEFAULT_URL = sys.argv[1]  # a default address that is free here
with AgentRuntime() as runtime:
    print(runtime.start(shop.shop_agent, "hello", idempotency_key="the same").execution_id, flush=True)
"""


def test_of_two_programs_that_start_the_server_at_once_one_uses_the_others(tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "data"
    (tmp_path / "recordings").mkdir()
    environment = clean_environment() | {
        "AGENTSPAN_DATA": str(data),
        "AGENTSPAN_PORT": str(port),
        "AGENTSPAN_REPLAY_DIR": str(tmp_path / "recordings"),
        "PYTHONPATH": os.getcwd(),
    }
    arguments = ["-c", AUTOSTART, f"http://localhost:{port}"]
    try:
        with Program(arguments, environment) as one, Program(arguments, environment) as other:
            started = {one.line(), other.line()}
            assert (one.end(), other.end()) == (0, 0)
        assert len(started) == 1, "both started the same run on the same server"
        assert started != {""}
        assert len(servers_of(data)) == 1
    finally:
        for process in servers_of(data):
            process.kill()
            process.wait(20)


def servers_of(data: Path) -> list[psutil.Process]:
    """The processes that hold the log's lock of this folder open."""
    return [process for process in psutil.process_iter() if holds(process, data / "log.sqlite3.lock")]


def holds(process: psutil.Process, path: Path) -> bool:
    try:
        return any(file.path == str(path) for file in process.open_files())
    except psutil.Error:
        return False
