"""Bad input at every door of a real server: the status, a code to match on, the field, and what to do next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.server import Json, Server, turn

REFUND = {"customer_id": "cust-1", "amount_usd": 25.5}
SCHEMA = {
    "type": "object",
    "properties": {"customer_id": {"type": "string"}, "amount_usd": {"type": "number", "maximum": 100}},
    "required": ["customer_id", "amount_usd"],
    "additionalProperties": False,
}
AGENT: Json = {
    "name": "desk",
    "model": "replay/shop",
    "tools": [{"name": "refund", "input_schema": SCHEMA, "approval_required": True, "effects": "once"}],
}
START: Json = {"agent": "desk", "prompt": "hello", "metadata": {"recording": "answer"}}
TICKET = {"id": "T-1", "agent": "desk", "text": "hello", "metadata": {"recording": "answer"}}
DECISION = {"decision": "approve", "args_hash": "0" * 64}
JSON = {"content-type": "application/json"}
RESULT = {
    "execution_id": "exec-none", "call_id": "1-0", "attempt": 1, "ok": True,
    "began_at": "2026-05-01T10:00:00Z", "duration_ms": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("doors")) as running:
        running.get("/executions")
        running.record("answer", turn("Done."))
        running.record("refund", turn("", ("refund", REFUND)), turn("Done."))
        for model in ("replay/shop", "anthropic/claude-sonnet-4-6", "nobody/knows"):
            definition = AGENT | {"name": "desk" if model == "replay/shop" else model.partition("/")[0], "model": model}
            assert running.http.put("/agents", json=definition).is_success
        yield running


@pytest.fixture(scope="module")
def names(server: Server) -> Mapping[str, str]:
    """Executions in each state that a door has to refuse something in, and what a decision names."""
    ids = {name: server.begin("refund", agent="desk") for name in ("waiting", "decided")}
    ids |= {name: server.begin("answer", agent="desk") for name in ("finished",)}
    for name in ("waiting", "decided"):
        seen = server.await_event(ids[name], "waiting")
    assert server.decide(ids["decided"], "1-0", "approve", user="ada").is_success
    server.await_end(ids["finished"])
    worker = server.post("/gateway/sessions", {"worker": "w", "tools": {}})
    return {**ids, "hash": seen["args_hash"], "session": worker["session_id"]}


@dataclass(frozen=True, slots=True)
class Case:
    """One request, with {names} in it, and what it is answered."""

    what: str
    method: str
    path: str
    status: int
    code: str
    says: str
    """What the detail has to name, or tell to do next."""
    body: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wrong: str | None = None
    """The field that is wrong."""


def start(what: str, change: Json, code: str, says: str, wrong: str | None, status: int = 422) -> Case:
    return Case(what, "POST", "/executions", status, code, says, body=START | change, wrong=wrong)


def agent(what: str, change: Json, code: str, says: str, wrong: str) -> Case:
    return Case(what, "PUT", "/agents", 422, code, says, body=AGENT | change, wrong=wrong)


def decision(what: str, on: str, body: Any, status: int, code: str, says: str, wrong: str | None = None) -> Case:
    return Case(what, "POST", f"/approvals/{on}/decision", status, code, says, body=body, wrong=wrong)


def listing(what: str, query: str, wrong: str, says: str, code: str = "invalid_request") -> Case:
    return Case(what, "GET", f"/executions?{query}", 422, code, says, wrong=wrong)


INVALID = "invalid_request"
WORKER = {"worker": "w", "tools": {}}
TOOL = AGENT["tools"][0]

CASES = [
    # paths and methods
    Case("an unknown path", "GET", "/executoins", 404, "unknown_path", "openapi.json"),
    Case("a wrong method", "DELETE", "/executions", 405, "method_not_allowed", "openapi.json"),
    Case("a wrong method at the gateway", "GET", "/gateway/sessions", 405, "method_not_allowed", "openapi.json"),
    # bodies
    Case("no JSON", "POST", "/executions", 400, "not_json", "application/json", raw=b"{", headers=JSON),
    Case("binary", "POST", "/executions", 400, "not_json", "application/json", raw=bytes(range(256)), headers=JSON),
    Case("no body", "POST", "/executions", 422, INVALID, "openapi.json", wrong="body"),
    Case("a list", "POST", "/executions", 422, INVALID, "openapi.json", body=[], wrong="body"),
    Case("a form", "POST", "/executions", 415, "unsupported_media_type", "application/json", raw=b"agent=desk",
         headers={"content-type": "application/x-www-form-urlencoded"}),
    Case("JSON said to be text", "POST", "/executions", 415, "unsupported_media_type", "application/json",
         raw=b'{"agent": "desk", "prompt": "x"}', headers={"content-type": "text/plain"}),
    Case("a body over 1 MiB", "POST", "/executions", 413, "too_large", "1048576", body=START | {"prompt": "x" * 2**20}),
    # starts
    start("a prompt that is a number", {"prompt": 5}, INVALID, "string", "prompt"),
    start("an empty prompt", {"prompt": ""}, INVALID, "at least 1", "prompt"),
    start("metadata that is a list", {"metadata": []}, INVALID, "object", "metadata"),
    start("metadata with a number that JSON has not", {"metadata": {"n": 2**70}}, INVALID, "metadata", "metadata"),
    start("a timeout of nothing", {"timeout_s": 0}, INVALID, "greater than 0", "timeout_s"),
    start("a field that nobody knows", {"promt": "x"}, INVALID, "promt", "promt"),
    start("an agent's name that is none", {"agent": "a b"}, INVALID, "agent", "agent"),
    start("an unknown agent", {"agent": "dusk"}, "unknown_agent", "'desk'", None, 404),
    start("an unknown version", {"agent_version": "0"}, "unknown_agent", "desk@0", None, 404),
    start("a model without its key", {"agent": "anthropic"}, "model_unavailable", "ANTHROPIC_API_KEY", "agent"),
    start("an unknown provider", {"agent": "nobody"}, "model_unavailable", "anthropic/", "agent"),
    Case("a start with a parameter", "POST", "/executions?agent=desk", 422, INVALID, "known are none", body=START,
         wrong="agent"),
    Case("a decision with a parameter", "POST", "/approvals/{waiting}.1-0/decision?dry_run=1", 422, INVALID,
         "known are none", body=DECISION, wrong="dry_run"),
    Case("a cancellation with a parameter", "POST", "/executions/{waiting}/cancel?reason=x", 422, INVALID,
         "known are none", body={}, wrong="reason"),
    Case("a stream with a parameter", "POST", "/streams?follow=x", 422, INVALID, "known are none", body={},
         wrong="follow"),
    Case("an empty key", "POST", "/executions", 422, INVALID, "1 to 256", body=START,
         headers={"Idempotency-Key": ""}, wrong="Idempotency-Key"),
    Case("an empty key elsewhere", "POST", "/executions/{waiting}/pause", 422, INVALID, "1 to 256", body={},
         headers={"Idempotency-Key": ""}, wrong="Idempotency-Key"),
    Case("a key that is no UTF-8", "POST", "/executions", 422, INVALID, "no UTF-8", body=START,
         headers={"Idempotency-Key": "Müller"}, wrong="Idempotency-Key"),
    Case("a key that is no UTF-8 elsewhere", "POST", "/executions/{waiting}/pause", 422, INVALID, "no UTF-8", body={},
         headers={"Idempotency-Key": "Müller"}, wrong="Idempotency-Key"),
    Case("a key that is too long", "POST", "/executions", 422, INVALID, "256", body=START,
         headers={"Idempotency-Key": "k" * 257}, wrong="Idempotency-Key"),
    Case("a user name that is none", "POST", "/executions", 422, INVALID, "Agentspan-User", body=START,
         headers={"Agentspan-User": "a b"}, wrong="Agentspan-User"),
    Case("a client that is none", "POST", "/executions", 422, INVALID, "sdk", body=START,
         headers={"Agentspan-Client": "fax"}, wrong="Agentspan-Client"),
    Case("a start of two agents", "POST", "/executions", 400, "field_repeated", "'agent' stands twice", headers=JSON,
         raw=b'{"agent": "desk", "prompt": "x", "agent": "anthropic"}', wrong="agent"),
    Case("a ticket with two ids", "POST", "/tickets", 400, "field_repeated", "'id' stands twice", headers=JSON,
         raw=b'{"id": "T-2", "id": "T-3", "agent": "desk", "text": "hello"}', wrong="id"),
    Case("a ticket without an id", "POST", "/tickets", 422, INVALID, "id", body=TICKET | {"id": ""}, wrong="id"),
    Case("a ticket for nobody", "POST", "/tickets", 404, "unknown_agent", "'desk'", body=TICKET | {"agent": "dusk"}),
    Case("a ticket with a number that JSON has not", "POST", "/tickets", 422, INVALID, "finite", headers=JSON,
         raw=b'{"id": "T-2", "agent": "desk", "text": "hello", "metadata": {"n": NaN}}', wrong="metadata"),
    # agents
    agent("a model without a provider", {"model": "sonnet"}, INVALID, "model", "model"),
    agent("two tools of a name", {"tools": [TOOL, TOOL]}, INVALID,
          "tools: two tools named 'refund'; rename one", "tools"),
    agent("a schema that is none", {"tools": [TOOL | {"input_schema": {"type": "thing"}}]}, "invalid_schema",
          "'refund'", "tools"),
    agent("an answer's schema that is none", {"output_schema": {"type": "thing"}}, "invalid_schema",
          "'thing' is not valid", "output_schema"),
    agent("once, and retried", {"tools": [TOOL | {"retries": 2}]}, INVALID, "once", "tools.0"),
    agent("a definition of a later release", {"schema_version": 2}, "newer_version", "upgrade", "schema_version"),
    Case("a mapping of a later release", "PUT", "/ticket-mappings/mail", 422, "newer_version", "upgrade",
         body={"source": "mail", "agent": "desk", "schema_version": 2}, wrong="schema_version"),
    # decisions
    decision("no hash", "{waiting}.1-0", {"decision": "approve"}, 422, INVALID, "args_hash", "args_hash"),
    decision("a hash that is none", "{waiting}.1-0", DECISION | {"args_hash": "abc"}, 422, INVALID, "hash",
             "args_hash"),
    decision("another hash", "{waiting}.1-0", DECISION, 409, "args_changed", "look at the call again"),
    decision("neither yes nor no", "{waiting}.1-0", DECISION | {"decision": "maybe"}, 422, INVALID, "'reject'",
             "decision"),
    decision("edited args that break the schema", "{waiting}.1-0",
             {"decision": "approve", "args_hash": "{hash}", "edited_args": {"amount_usd": 1000}}, 422, "invalid_args",
             "1000"),
    Case("edited args that JSON has no form for", "POST", "/approvals/{waiting}.1-0/decision", 422, "invalid_args",
         "nan", raw=b'{"decision": "approve", "args_hash": "' + b"0" * 64 + b'", "edited_args": {"amount_usd": NaN}}',
         headers=JSON, wrong="edited_args"),
    decision("a rejection with other args", "{waiting}.1-0",
             {"decision": "reject", "args_hash": "{hash}", "edited_args": {}}, 422, INVALID, "body: edited_args",
             "body"),
    Case("a decision that says both", "POST", "/approvals/{waiting}.1-0/decision", 400, "field_repeated", "leave one",
         raw=b'{"decision": "reject", "decision": "approve", "args_hash": "' + b"0" * 64 + b'"}', headers=JSON,
         wrong="decision"),
    Case("edited args that have one twice", "POST", "/approvals/{waiting}.1-0/decision", 400, "field_repeated",
         "'amount_usd' stands twice", raw=b'{"decision": "approve", "args_hash": "' + b"0" * 64
         + b'", "edited_args": {"amount_usd": 2, "amount_usd": 20}}', headers=JSON, wrong="amount_usd"),
    decision("an unknown execution", "exec-none.1-0", DECISION, 404, "unknown_execution", "agentspan agent list"),
    decision("an unknown call", "{waiting}.7-0", DECISION, 404, "unknown_call", "'1-0'"),
    decision("no approval id", "gibberish", DECISION, 404, "unknown_approval", "looks like"),
    decision("a decided call", "{decided}.1-0", DECISION, 409, "already_decided", "user:ada"),
    decision("a finished execution", "{finished}.1-0", DECISION, 409, "finished", "completed"),
    Case("an unknown approval", "GET", "/approvals/exec-none.1-0", 404, "unknown_approval", "agentspan approvals list"),
    Case("a state that is none", "GET", "/approvals?state=lost", 422, INVALID, "'pending'", wrong="state.0"),
    Case("a misspelt filter", "GET", "/approvals?stat=pending", 422, INVALID, "agent, tool, state", wrong="stat"),
    # what people do to executions
    Case("a pause of nothing", "POST", "/executions/exec-none/pause", 404, "unknown_execution", "agent list", body={}),
    Case("a pause of a finished one", "POST", "/executions/{finished}/pause", 409, "finished", "completed", body={}),
    Case("a resume of what runs", "POST", "/executions/{waiting}/resume", 409, "nothing_to_do", "not paused", body={}),
    Case("an empty message", "POST", "/executions/{waiting}/messages", 422, INVALID, "text", body={"text": ""},
         wrong="text"),
    Case("a resolution without doubt", "POST", "/executions/{waiting}/calls/1-0/resolve", 409, "not_in_doubt",
         "nothing to resolve", body={"attempt": 1, "outcome": "failed"}),
    Case("a resolution that is none", "POST", "/executions/{waiting}/calls/1-0/resolve", 422, INVALID, "'not_run'",
         body={"attempt": 1, "outcome": "perhaps"}, wrong="outcome"),
    Case("a resolution that says two things", "POST", "/executions/{waiting}/calls/1-0/resolve", 400, "field_repeated",
         "'outcome' stands twice", raw=b'{"attempt": 1, "outcome": "failed", "outcome": "not_run"}', headers=JSON,
         wrong="outcome"),
    # reads
    Case("an unknown execution", "GET", "/executions/exec-none", 404, "unknown_execution", "agentspan agent list"),
    Case("events of an unknown one", "GET", "/executions/exec-none/events", 404, "unknown_execution", "agent list"),
    Case("a stream of an unknown one", "GET", "/executions/exec-none/stream", 404, "unknown_execution", "agent list"),
    Case("events after nothing", "GET", "/executions/{finished}/events?after=-1", 422, INVALID, "after", wrong="after"),
    Case("a parameter of one", "GET", "/executions/{finished}?aftre=1", 422, INVALID, "known are min_position",
         wrong="aftre"),
    Case("a parameter where there is none", "GET", "/agents?agent=x", 422, INVALID, "known are none", wrong="agent"),
    Case("a Last-Event-ID that is none", "GET", "/executions/{finished}/stream", 422, INVALID, "seq",
         headers={"Last-Event-ID": "latest"}, wrong="Last-Event-ID"),
    listing("a status that is none", "status=lost", "status.0", "'waiting'"),
    listing("a filter that there is not", "since=2026-05-01T10:00:00Z", "since", "agent, status, from, to, tool"),
    listing("a filter that stands there twice", "agent=desk&agent=till", "agent", "more than once; leave one"),
    listing("a number for a moment", "from=2026", "from", "2026-11-22T14:30Z"),
    listing("a cursor that is none", "cursor=gibberish", "cursor", "cursor", "bad_cursor"),
    listing("a time without a zone", "from=2026-05-01T10:00:00", "from", "2026-05-01T10:00:00Z"),
    listing("a time that is none", "to=yesterday", "to", "openapi.json"),
    listing("too many", "limit=100000", "limit", "500"),
    listing("a position that is none", "min_position=here", "min_position", "openapi.json"),
    listing("a position without end", f"min_position=0:{'9' * 5_000}", "min_position", "openapi.json"),
    Case("a stream from a position without end", "POST", "/streams", 422, INVALID, "position",
         body={"follow": [{"execution_id": "{finished}", "position": f"0:{'9' * 5_000}"}]},
         wrong="follow.0.position"),
    # the gateway
    Case("a worker without a name", "POST", "/gateway/sessions", 422, INVALID, "worker", body={"tools": {}},
         wrong="worker"),
    Case("a worker's hello that is no JSON", "POST", "/gateway/sessions", 400, "not_json", "application/json",
         raw=b"{", headers=JSON),
    Case("a hello said to be text", "POST", "/gateway/sessions", 415, "unsupported_media_type", "application/json",
         raw=b'{"worker": "w", "tools": {}}', headers={"content-type": "text/plain"}),
    Case("a hello that is too large", "POST", "/gateway/sessions", 413, "too_large", "bytes",
         body=WORKER | {"holds": ["x" * 2**20]}),
    Case("a session that is over", "GET", "/gateway/sessions/none/tasks", 404, "unknown_session", "open another"),
    Case("a report of nobody", "POST", "/gateway/sessions/none/reports", 404, "unknown_session", "open another",
         body={}),
    Case("a result without a time zone", "POST", "/gateway/sessions/{session}/reports", 422, INVALID, "timezone",
         body={"results": [RESULT | {"began_at": "2026-05-01T10:00:00"}]}, wrong="results.0.began_at"),
    Case("a worker's filter that is none", "GET", "/gateway/workers?agnet=x", 422, INVALID, "agent", wrong="agnet"),
    # pages of elsewhere
    Case("a foreign host", "GET", "/executions", 403, "host_refused", "AGENTSPAN_ALLOWED_HOSTS",
         headers={"Host": "evil.example"}),
    Case("a foreign page", "POST", "/executions", 403, "origin_refused", "server's own", body=START,
         headers={"Origin": "https://evil.example"}),
    Case("a sandboxed page", "POST", "/executions", 403, "origin_refused", "server's own", body=START,
         headers={"Origin": "null"}),
    Case("a page of another port", "POST", "/approvals/{waiting}.1-0/decision", 403, "origin_refused", "server's own",
         body=DECISION, headers={"Origin": "http://localhost:1"}),
    Case("a request across sites", "POST", "/executions", 403, "origin_refused", "server's own", body=START,
         headers={"Sec-Fetch-Site": "cross-site"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case.method} {case.path[:24]}: {case.what}" for case in CASES])
def test_what_is_wrong_is_answered_with_a_problem_that_says_what_to_do(
    server: Server, names: Mapping[str, str], case: Case
) -> None:
    headers = httpx.Headers(dict(case.headers), encoding="latin-1")
    request: dict[str, Any] = {"content": case.raw} if case.raw is not None else {"json": filled(case.body, names)}
    answer = server.http.request(case.method, filled(case.path, names), headers=headers, **request)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (case.status, case.code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == case.status
    assert problem["type"].endswith(case.code)
    assert problem["title"]
    assert problem.get("field") == case.wrong, answer.text
    assert case.says in problem["detail"], answer.text


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """The same with each {name} replaced."""
    match value:
        case str():
            for name, text in names.items():
                value = value.replace("{" + name + "}", text)
            return value
        case dict():
            return {key: filled(part, names) for key, part in value.items()}
        case _:
            return value


def test_who_lost_is_told_who_won_also_when_the_execution_is_over(server: Server, names: Mapping[str, str]) -> None:
    path = filled("/approvals/{decided}.1-0/decision", names)
    problem = server.http.post(path, json=DECISION).json()
    assert (problem["winner"]["by"], problem["winner"]["decision"]) == ("user:ada", "approved")


def test_nothing_that_was_refused_left_a_trace_in_what_it_was_about(server: Server, names: Mapping[str, str]) -> None:
    assert server.types(names["finished"]) == ["started", "model_called", "model_replied", "done"]
    assert server.types(names["waiting"])[-1] == "waiting"
    assert server.http.get("/executions", params={"agent": "desk", "limit": 500}).json()["cursor"] is None
