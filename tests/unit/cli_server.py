"""A server as the command line sees one: scripted answers on loopback, and what was asked of it."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.events import Status, Totals
from agentspan_schemas.http import ExecutionView
from agentspan_schemas.tasks import WorkerSession

AT = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
RUN = "exec-a1b2c3"
REFUND = {"customer_id": "cust_123", "amount_usd": 99.0, "reason": "duplicate charge"}
SCHEMA = "5c" * 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say to it: a JSON document, or bytes of some other type."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Script = Callable[[Asked], Answer]


@dataclass
class FakeServer:
    """Answers by (method, path below /api/v1); what is not scripted is a 404 problem."""

    url: str = ""
    routes: dict[tuple[str, str], Script] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, method: str, path: str, answer: Answer | Script) -> None:
        """Answer this from now on."""
        self.routes[method, path] = answer if callable(answer) else lambda asked: answer

    def approvals(self, *records: ApprovalRecord) -> None:
        """What waits, or waited, for a person."""
        self.on("GET", "/approvals", items(*records))

    def requests(self, method: str, path: str) -> list[Asked]:
        """Those that came for this."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    def answer(self, asked: Asked) -> Answer:
        """The scripted answer."""
        self.asked.append(asked)
        script = self.routes.get((asked.method, asked.path))
        if script is None:
            return problem(404, "unknown_path", f"there is nothing at {asked.path!r}")
        return script(asked)


@contextmanager
def serving() -> Iterator[FakeServer]:
    """A server on a free port."""
    fake = FakeServer()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def record(call_id: str = "2-0", **changes: Any) -> ApprovalRecord:
    """A refund that waits for a person."""
    fields = {
        "approval_id": f"{RUN}.{call_id}",
        "execution_id": RUN,
        "call_id": call_id,
        "seq": 9,
        "state": "pending",
        "agent": "support_agent",
        "agent_version": "1a2b3c",
        "tool": "issue_refund",
        "args": REFUND,
        "args_hash": "ab" * 32,
        "input_schema_hash": SCHEMA,
        "requested_at": AT,
    }
    return ApprovalRecord.model_validate({**fields, **changes})


def decided(state: str = "approved", **changes: Any) -> ApprovalRecord:
    """The same, decided by Alice."""
    by = {"decided_by": "user:alice", "decided_at": AT, "channel": "cli", "seq": 11}
    return record(**{"state": state, **by, **changes})


def execution(status: Status = "waiting", **changes: Any) -> ExecutionView:
    """A run as history shows it."""
    fields = {
        "execution_id": RUN,
        "agent": "support_agent",
        "agent_version": "1a2b3c",
        "status": status,
        "seq": 9,
        "started_at": AT,
        "updated_at": AT,
        "totals": Totals(turns=2, tool_calls=2, waiting_on=("issue_refund",) if status == "waiting" else ()),
        "prompt": "I was charged twice\x1b[2J",
    }
    return ExecutionView.model_validate({**fields, **changes})


def worker(**changes: Any) -> WorkerSession:
    """A worker that has the refund tool."""
    fields = {
        "session_id": "s1",
        "gateway_id": "g1",
        "worker": "alice@desk/1",
        "tools": {"support_agent": {"issue_refund": SCHEMA}},
        "at": AT,
    }
    return WorkerSession.model_validate({**fields, **changes})


def items(*models: ApprovalRecord | WorkerSession) -> Answer:
    """A list as the API answers it."""
    return Answer({"items": [model.model_dump(mode="json") for model in models]})


def problem(status: int, code: str, detail: str, **more: Any) -> Answer:
    """An error as the API answers it."""
    fields = {"type": f"https://agentspan.dev/problems/{code}", "title": "No", "status": status}
    return Answer({**fields, "detail": detail, "code": code, **more}, status, "application/problem+json")


def event(seq: int, type_: str, status: Status = "running", **fields: Any) -> dict[str, Any]:
    """An event as it goes over the wire."""
    envelope = {
        "execution_id": RUN,
        "seq": seq,
        "at": AT.isoformat(),
        "agent": "support_agent",
        "agent_version": "1a2b3c",
        "started_at": AT.isoformat(),
        "status": status,
        "totals": {},
        "causation_id": f"c{seq}",
    }
    return {"type": type_, **envelope, **fields}


def tool_call(seq: int, call_id: str = "2-0", *, gated: bool = True) -> dict[str, Any]:
    """The model asks for a refund."""
    return event(
        seq,
        "tool_call",
        turn=2,
        call_id=call_id,
        model_call_id="m1",
        tool="issue_refund",
        args=REFUND,
        args_hash="ab" * 32,
        approval_required=gated,
        effects="once",
        input_schema_hash=SCHEMA,
    )


def sse(*events: dict[str, Any]) -> Answer:
    """A client's stream that ends after these."""
    opened = 'event: open\ndata: {"stream_id": "stream-1"}\n\n'
    frames = (f"id: {e['execution_id']}:{e['seq']}\nevent: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    return Answer((opened + "".join(frames)).encode(), content_type="text/event-stream")


def _handler(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = url.path.removeprefix("/api/v1")
            body = json.loads(raw) if raw else None
            answer = fake.answer(Asked(self.command, path, parse_qs(url.query), dict(self.headers), body))
            content = answer.encoded()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test looks at what was asked."""

    return Handler
