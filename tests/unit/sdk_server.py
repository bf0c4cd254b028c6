"""A small server for the SDK's tests: the public HTTP, spoken by aiohttp over the production core, in a thread.

It keeps everything in memory and can be stopped and started again on its port, which is what the SDK has to survive.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

from agentspan_orchestrator.domain import open_tasks
from agentspan_schemas import Failure
from agentspan_schemas import commands as c
from agentspan_schemas import events as e
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.answers import Answer
from agentspan_schemas.http import (
    DecisionRequest,
    ExecutionRef,
    ExecutionView,
    MessageRequest,
    Problem,
    ReasonRequest,
    ReportAnswer,
    ResolutionRequest,
    SessionGrant,
    SessionRequest,
    StartRequest,
    WorkerReport,
)
from agentspan_schemas.ids import execution_id_for
from agentspan_schemas.tasks import ToolTask
from tests.unit.sdk_core import Refused, Reply
from tests.unit.sdk_stream_doors import SmallStreams

API = "/api/v1"
WITHIN_S = 60.0


class SmallServer(SmallStreams):
    """The public HTTP of a server; `model` says what the model replies on its n-th turn (from 0) of an execution."""

    def __init__(self, model: Callable[[int], Reply]) -> None:
        super().__init__(model)
        self.sessions: dict[str, SessionRequest] = {}
        self.followed: set[str] = set()
        self.goodbyes: list[str] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.given: set[str] = set()
        self.hidden_approvals = 0
        self.page = 100
        """So many requests for a decision are shown at once."""
        self.fail_next: list[Problem] = []
        self.pages = 0
        """So many requests to the gateway are answered with a page, as a proxy does while it is being mended."""
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the port that it had before."""
        self._run(self._start())

    def stop(self) -> None:
        """Cut every connection, and forget the sessions, as a restart does."""
        self._run(self._stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def command(self, kind: Any, execution_id: str, **fields: Any) -> Answer:
        """A command from elsewhere."""

        async def send() -> Answer:
            return await self._send(kind(command_id=self._id("cmd"), execution_id=execution_id, **fields))

        return self._run(send())  # type: ignore[no-any-return]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait for something that a request changes."""

        async def until() -> None:
            async with asyncio.timeout(WITHIN_S), self._changed:
                await self._changed.wait_for(holds)

        self._run(until())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * WITHIN_S)

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._middleware])
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.put(f"{API}/agents", self._agents),
                web.post(f"{API}/executions", self._executions),
                web.get(f"{API}/executions/{{id}}", self._execution),
                web.post(f"{API}/streams", self._streams),
                web.post(f"{API}/streams/{{id}}", self._change_stream),
                web.post(f"{API}/executions/{{id}}/calls/{{call}}/resolve", self._resolve),
                web.post(f"{API}/executions/{{id}}/{{what}}", self._control),
                web.get(f"{API}/approvals", self._approvals),
                web.post(f"{API}/approvals/{{id}}/decision", self._decision),
                web.post(f"{API}/gateway/sessions", self._hello),
                web.get(f"{API}/gateway/sessions/{{id}}/tasks", self._tasks),
                web.post(f"{API}/gateway/sessions/{{id}}/reports", self._reports),
                web.delete(f"{API}/gateway/sessions/{{id}}", self._leave),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.sessions.clear()
        self.given.clear()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.headers)))
        try:
            if self.fail_next and request.path != "/livez":
                problem = self.fail_next.pop(0)
                return _json(problem, problem.status)
            if self.pages and "/gateway/" in request.path:
                self.pages -= 1
                return web.Response(text="<html>back soon</html>", content_type="text/html")
            return await handler(request)  # type: ignore[no-any-return]
        except Refused as refused:
            return _json(refused.problem, refused.problem.status)

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    # Writes

    async def _agents(self, request: web.Request) -> web.Response:
        definition = AgentDefinition.model_validate_json(await request.read())
        self.definitions[definition.name, definition.version] = definition
        return web.json_response({"name": definition.name, "version": definition.version})

    async def _executions(self, request: web.Request) -> web.Response:
        start = StartRequest.model_validate_json(await request.read())
        key = request.headers["Idempotency-Key"]
        execution_id = execution_id_for("test", key)
        if (start.agent, start.agent_version) not in self.definitions:
            raise Refused(404, "unknown_agent", f"agent {start.agent!r} is not registered")
        command = c.Start(
            command_id=f"start:{key}",
            execution_id=execution_id,
            agent=start.agent,
            agent_version=start.agent_version or "",
            prompt=start.prompt,
            metadata=start.metadata,
            timeout_s=start.timeout_s,
            requested_by="user:test",
            source="test",
            key=key,
            content_hash=start.prompt,
        )
        answer = await self._send(command)
        ref = ExecutionRef(execution_id=execution_id, seq=answer.seq, position="0:1", created=not answer.repeated)
        return _json(ref, 201)

    async def _control(self, request: web.Request) -> web.Response:
        what, raw = request.match_info["what"], await request.read()
        common: dict[str, Any] = {"command_id": self._id("control"), "execution_id": request.match_info["id"]}
        by: dict[str, Any] = {"by": "user:test", "channel": request.headers["Agentspan-Client"]}
        if what == "messages":
            message = MessageRequest.model_validate_json(raw)
            answer = await self._send(c.SendMessage(text=message.text, **common, **by))
        else:
            kind: Any = {"pause": c.Pause, "resume": c.Resume, "cancel": c.Cancel}[what]
            reason = ReasonRequest.model_validate_json(raw).reason
            answer = await self._send(kind(reason=reason, **common, **by))
        return _json(ExecutionRef(execution_id=answer.execution_id, seq=answer.seq, position="0:2"))

    async def _resolve(self, request: web.Request) -> web.Response:
        body = ResolutionRequest.model_validate_json(await request.read())
        execution_id, call_id = request.match_info["id"], request.match_info["call"]
        command = c.Resolve(
            command_id=self._id("resolve"),
            execution_id=execution_id,
            call_id=call_id,
            by="user:test",
            channel=request.headers["Agentspan-Client"],
            **body.model_dump(exclude={"error"}),
            error=Failure(kind="resolved", message=body.error) if body.error else None,
        )
        answer = await self._send(command)
        return _json(ExecutionRef(execution_id=execution_id, seq=answer.seq, position="0:4"))

    async def _decision(self, request: web.Request) -> web.Response:
        approval_id = request.match_info["id"]
        body = DecisionRequest.model_validate_json(await request.read())
        record = self.records[approval_id]
        command = c.Decide(
            command_id=self._id("decide"),
            execution_id=record.execution_id,
            call_id=record.call_id,
            decision=body.decision,
            args_hash=body.args_hash,
            reason=body.reason,
            edited_args=body.edited_args,
            by="user:reviewer",
            channel=request.headers["Agentspan-Client"],
        )
        await self._send(command)
        response = _json(self.records[approval_id])
        response.headers["Agentspan-Position"] = "0:3"
        return response

    # Reads

    async def _execution(self, request: web.Request) -> web.Response:
        execution_id = request.match_info["id"]
        state = self.states.get(execution_id)
        if state is None:
            raise Refused(404, "unknown_execution", f"there is no execution {execution_id!r}")
        started = self.events[execution_id][0]
        assert isinstance(started, e.Started)
        view = ExecutionView(
            execution_id=execution_id,
            agent=state.agent,
            agent_version=state.agent_version,
            status=state.status,
            seq=state.seq,
            started_at=state.started_at,
            updated_at=state.at,
            totals=state.totals,
            prompt=started.prompt,
            metadata=started.metadata,
        )
        return _json(view)

    async def _approvals(self, request: web.Request) -> web.Response:
        if self.hidden_approvals:
            self.hidden_approvals -= 1
            return web.json_response({"items": []})
        asked = {name: request.query.get(name) for name in ("execution_id", "state", "agent", "tool")}
        found = [r for r in self.records.values() if all(v in (None, getattr(r, n)) for n, v in asked.items())]
        first = int(request.query.get("cursor", 0))
        shown, more = found[first : first + self.page], len(found) > first + self.page
        items = [record.model_dump(mode="json") for record in shown]
        return web.json_response({"items": items, "cursor": str(first + self.page) if more else None})

    # The gateway

    async def _hello(self, request: web.Request) -> web.Response:
        session_id = self._id("session")
        self.sessions[session_id] = SessionRequest.model_validate_json(await request.read())
        await self._tell()
        return _json(SessionGrant(session_id=session_id, lease_s=10, grant_s=5), 201)

    async def _tasks(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(b'{"lane":"ping"}\n')
        self.followed.add(request.match_info["id"])
        await self._tell()
        while request.match_info["id"] in self.sessions:
            for task in self._open(session):
                await response.write(task.model_dump_json().encode() + b"\n")
                self.given.add(task.task_key)
            async with self._changed:
                await self._changed.wait()
        return response

    async def _reports(self, request: web.Request) -> web.Response:
        worker = self._session(request).worker
        report = WorkerReport.model_validate_json(await request.read())
        claims = [c.Claim(command_id=i.claim_id, worker=worker, **i.model_dump()) for i in report.claims]
        declines = [c.Decline(command_id=f"{i.claim_id}/d", worker=worker, **i.model_dump()) for i in report.declines]
        results = [
            c.ReturnResult(
                command_id=f"{i.claim_id or f'{i.execution_id}/{i.call_id}/{i.attempt}'}/result",
                worker=worker,
                **i.model_dump(),
            )
            for i in report.results
        ]
        answer = ReportAnswer(
            claims=tuple([await self._item(i) for i in claims]),
            declines=tuple([await self._item(i) for i in declines]),
            results=tuple([await self._item(i) for i in results]),
        )
        return _json(answer)

    async def _leave(self, request: web.Request) -> web.Response:
        self._session(request)
        self.goodbyes.append(request.match_info["id"])
        del self.sessions[request.match_info["id"]]
        await self._tell()
        return web.Response(status=204)

    def _session(self, request: web.Request) -> SessionRequest:
        session = self.sessions.get(request.match_info["id"])
        if session is None:
            raise Refused(404, "unknown_session", "no such session; open another one")
        return session

    def _open(self, session: SessionRequest) -> list[ToolTask]:
        return [
            task
            for state in self.states.values()
            for task in open_tasks(state, self._now())
            if isinstance(task, ToolTask)
            and task.task_key not in self.given
            and session.tools.get(task.agent, {}).get(task.tool) == task.input_schema_hash
        ]


def _json(model: Any, status: int = 200) -> web.Response:
    kind = "application/problem+json" if isinstance(model, Problem) else "application/json"
    return web.Response(body=json.dumps(model.model_dump(mode="json")), status=status, content_type=kind)
