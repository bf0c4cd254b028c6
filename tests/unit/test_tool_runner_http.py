"""The gateway's doors through a real socket: what goes over the wire, and what bad input is told."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import uvicorn

from agentspan.eventlog.memory import MemoryTable
from agentspan_doors import create_app
from agentspan_schemas.http import PROBLEM_TYPE
from agentspan_schemas.tasks import ToolTask
from agentspan_tool_runner.api import routes
from agentspan_tool_runner.service import Gateway
from tests.support.tool_runner import REFUND, FakeCommands, Ids, StillClock, call_of, running, tool_task

HELLO = {"worker": "ann@host/1", "tools": REFUND}
PING = {"lane": "ping"}
RESULT = {
    "execution_id": "exec-1",
    "call_id": "1-0",
    "attempt": 1,
    "ok": True,
    "value": {"id": 7},
    "began_at": "2026-03-01T12:00:00Z",
    "duration_ms": 3.5,
}


class Server:
    """A gateway behind a real HTTP server on loopback."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.commands = FakeCommands()
        self.gateway = Gateway(
            gateway_id="gateway",
            commands=self.commands,
            workers=MemoryTable(),
            now=self.clock.now,
            sleep=self.clock.sleep,
            new_id=Ids("session"),
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(create_app((), plain_routes=routes(self.gateway)), lifespan="off", log_config=None)
        self._uvicorn = uvicorn.Server(config)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/v1/gateway"

    async def run(self) -> None:
        await self._uvicorn.serve(sockets=[self._socket])

    def stop(self) -> None:
        self._uvicorn.should_exit = True


class Worker:
    """A worker's side of the wire."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def hello(self, **fields: Any) -> str:
        async with self.http.post(f"{self.server.url}/sessions", json=HELLO | fields) as answer:
            assert answer.status == 201
            assert answer.content_type == "application/json"
            granted = await answer.json()
            assert granted == {"session_id": granted["session_id"], "lease_s": 10.0, "grant_s": 5.0}
            return str(granted["session_id"])

    def tasks(self, session_id: str) -> Any:
        return self.http.get(f"{self.server.url}/sessions/{session_id}/tasks")

    async def post(self, path: str, body: bytes | object) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        async with self.http.post(f"{self.server.url}{path}", data=io.BytesIO(data), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    server = Server()
    serving = asyncio.ensure_future(server.run())
    async with running(server.gateway), aiohttp.ClientSession() as http:
        yield Worker(server, http)
        await server.gateway.drain()
    server.stop()
    await serving


async def line(answer: aiohttp.ClientResponse) -> Any:
    return json.loads(await answer.content.readline())


async def test_a_worker_says_hello_takes_a_task_reports_and_leaves(worker: Worker) -> None:
    session_id = await worker.hello()
    async with worker.tasks(session_id) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/x-ndjson"
        assert await line(answer) == PING
        worker.server.gateway.opened(call_of(tool_task(1)))
        assert ToolTask.model_validate(await line(answer)) == tool_task(1)
        claim = {"execution_id": "exec-2", "call_id": "1-0", "attempt": 1, "claim_id": "c"}
        worker.server.commands.refusals["c"] = "stale"
        report = {"claims": [claim], "results": [RESULT]}
        assert await worker.post(f"/sessions/{session_id}/reports", report) == (
            200,
            {
                "claims": [{"accepted": False, "code": "stale", "message": "refused as stale"}],
                "declines": [],
                "results": [{"accepted": True, "code": None, "message": None}],
            },
        )
        async with worker.http.delete(f"{worker.server.url}/sessions/{session_id}") as gone:
            assert gone.status == 204
        assert await answer.content.read() == b""


async def test_signs_of_life_keep_the_stream_of_a_worker_that_answers_them(worker: Worker) -> None:
    session_id = await worker.hello()
    async with worker.tasks(session_id) as answer:
        assert await line(answer) == PING
        for _ in range(8):
            await worker.server.clock.pass_by(10 / 6)
            assert await line(answer) == PING
            assert (await worker.post(f"/sessions/{session_id}/reports", {}))[0] == 200


async def test_a_newer_stream_ends_the_older_one(worker: Worker) -> None:
    session_id = await worker.hello()
    async with worker.tasks(session_id) as older:
        assert await line(older) == PING
        async with worker.tasks(session_id) as newer:
            assert await line(newer) == PING
            assert await older.content.read() == b""


async def test_who_asks_for_the_headers_alone_ends_no_stream(worker: Worker) -> None:
    session_id = await worker.hello()
    async with worker.tasks(session_id) as answer:
        assert await line(answer) == PING
        async with worker.http.head(f"{worker.server.url}/sessions/{session_id}/tasks") as refused:
            assert refused.status == 405
        worker.server.gateway.opened(call_of(tool_task(1)))
        assert ToolTask.model_validate(await line(answer)) == tool_task(1)


async def test_a_client_that_goes_away_is_noticed_and_what_comes_meanwhile_is_given_to_its_next_stream(
    worker: Worker,
) -> None:
    session_id = await worker.hello()
    async with worker.tasks(session_id) as answer:
        assert await line(answer) == PING
        answer.close()
    worker.server.gateway.opened(call_of(tool_task(1)))
    async with worker.tasks(session_id) as answer:
        assert await line(answer) == PING
        assert ToolTask.model_validate(await line(answer)) == tool_task(1)


async def test_it_says_who_can_take_a_call(worker: Worker) -> None:
    await worker.hello()

    async def items(query: str) -> list[Any]:
        async with worker.http.get(f"{worker.server.url}/workers{query}") as answer:
            assert answer.status == 200
            return list((await answer.json())["items"])

    (session,) = await items("")
    assert (session["worker"], session["tools"], session["holds"]) == ("ann@host/1", REFUND, [])
    assert len(await items("?agent=shop&tool=refund&input_schema_hash=hash-1")) == 1
    assert await items("?agent=shop&tool=refund&input_schema_hash=hash-2") == []


async def test_an_unknown_parameter_is_named(worker: Worker) -> None:
    async with worker.http.get(f"{worker.server.url}/workers?tol=refund") as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (problem["status"], problem["code"], problem["field"]) == (422, "invalid_request", "tol")


async def test_an_unknown_session_is_a_problem_that_says_what_to_do(worker: Worker) -> None:
    url = f"{worker.server.url}/sessions/nobody"
    for request in (
        worker.http.get(f"{url}/tasks"),
        worker.http.post(f"{url}/reports", json={}),
        worker.http.delete(url),
    ):
        async with request as answer:
            assert answer.status == 404
            problem = await answer.json(content_type="application/problem+json")
            assert problem["type"] == f"{PROBLEM_TYPE}unknown_session"
            assert "open another one, with the tasks you still hold" in problem["detail"]


async def test_a_server_that_is_about_to_stop_says_so(worker: Worker) -> None:
    await worker.server.gateway.drain()
    status, problem = await worker.post("/sessions", HELLO)
    assert (status, problem["code"]) == (503, "draining")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("/sessions", b"{", 400, "not_json", None),
        ("/sessions", b"\xff\x00binary", 400, "not_json", None),
        ("/sessions", b"", 400, "not_json", None),
        ("/sessions", b"[]", 422, "invalid_request", "body"),
        ("/sessions", {"worker": 7, "tools": {}}, 422, "invalid_request", "worker"),
        ("/sessions", {"worker": "w"}, 422, "invalid_request", "tools"),
        ("/sessions", HELLO | {"holds": [1]}, 422, "invalid_request", "holds.0"),
        ("/sessions", HELLO | {"hold": []}, 422, "invalid_request", "hold"),
        ("/sessions", HELLO | {"worker": "w" * 300_000}, 413, "too_large", None),
        ("/sessions/session-1/reports", {"results": [RESULT | {"attempt": "x"}]}, 422, "invalid_request",
         "results.0.attempt"),
        ("/sessions/session-1/reports", {"results": [RESULT | {"duration_ms": None}]}, 422, "invalid_request",
         "results.0.duration_ms"),
        ("/sessions/session-1/reports", {"results": [RESULT | {"value": {"rate": float("inf")}}]}, 422,
         "invalid_request", "results.0.value"),
        ("/sessions/session-1/reports", {"results": [RESULT | {"value": [1.5, [float("nan")]]}]}, 422,
         "invalid_request", "results.0.value"),
        ("/sessions/session-1/reports", {"results": [RESULT | {"value": "x" * 1_100_000}]}, 413, "too_large", None),
    ],
)  # fmt: skip
async def test_bad_input_is_told_what_is_wrong(
    worker: Worker, path: str, body: object, status: int, code: str, field: str | None
) -> None:
    await worker.hello()
    answered, problem = await worker.post(path, body)
    assert (answered, problem["code"], problem.get("field")) == (status, code, field)
    assert problem["detail"]
    assert worker.server.commands.taken == []
