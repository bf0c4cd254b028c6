"""One example of every message of the contract, none of its fields left at its default where that is possible."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from agentspan_schemas.codec import (
    AGENTS,
    ANSWERS,
    APPROVALS,
    COMMANDS,
    DEAD_LETTERS_HANDLED,
    DECISIONS,
    EVENTS,
    NOTES,
    TASKS,
    TICKET_MAPPINGS,
    TICKETS,
    WORKERS,
    Family,
)

AT = datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)
HASH = "ab" * 32
ARGS = {"customer": "c-1", "usd": 99.0, "tags": ["späť", None, {"deep": [1, 2.5, True]}]}
FAILURE = {"kind": "broken", "message": "it broke; look at the logs", "details": {"code": 7}}
USAGE = {"input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 5, "cache_write_tokens": 6}
CALL = {"call_id": "1-0", "model_call_id": "toolu_1", "tool": "refund", "args": ARGS}
DECIDED = {"by": "user:ann", "channel": "ui", "reason": "checked"}
RAN = {"worker": "ann@shop/1", "began_at": AT, "duration_ms": 12.5}
BLOCKS = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
ABOUT = {"approval_id": "exec-a.1-0", "call_id": "1-0", "tool": "refund"}
WINNER = {"by": "user:amy", "decision": "approved", "at": AT, "channel": "cli"}
REFUSAL = {"code": "already_decided", "message": "call '1-0' was approved by user:amy", "winner": WINNER}
ANSWER = {"command_id": "c-1", "execution_id": "exec-a", "seq": 7, "refusal": REFUSAL, "position": "0:12"}

ENVELOPE: dict[str, Any] = {
    "execution_id": "exec-a",
    "seq": 7,
    "at": AT,
    "agent": "support",
    "agent_version": "0123456789ab",
    "started_at": AT,
    "status": "running",
    "totals": {"turns": 1, "tool_calls": 2, "input_tokens": 3, "output_tokens": 4, "waiting_on": ["refund"]},
    "causation_id": "c-1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
START = {
    "agent": "support", "agent_version": "0123456789ab", "prompt": "Help.", "requested_by": "user:ann",
    "source": "mail", "key": "ticket-1", "metadata": {"tier": "gold"}, "content_hash": HASH,
}  # fmt: skip
REPLY = {
    "turn": 1, "attempt": 2, "model": "anthropic/m", "text": "Let me see.", "blocks": BLOCKS, "stop_reason": "tool_use",
    "usage": USAGE, **RAN,
}  # fmt: skip
TASK = {
    "execution_id": "exec-a", "agent": "support", "agent_version": "0123456789ab", "attempt": 1, "opened_at": AT,
    "metadata": {"tier": "gold"},
}  # fmt: skip
MESSAGES = [
    {"role": "user", "text": "Help."},
    {"role": "assistant", "text": "Let me see.", "tool_calls": [CALL], "blocks": BLOCKS},
    {"role": "tool", "call_id": "1-0", "model_call_id": "toolu_1", "tool": "refund", "error": FAILURE,
     "edited_args": ARGS},
]  # fmt: skip

EVENT_FIELDS: dict[str, dict[str, Any]] = {
    "started": {
        "prompt": "Help.", "requested_by": "user:ann", "source": "mail", "key": "ticket-1", "content_hash": HASH,
        "metadata": {"tier": "gold"}, "model": "anthropic/m", "deadline_at": AT,
    },
    "model_called": {"turn": 1, "attempt": 1, "model": "anthropic/m", "messages": 1, "ask_again": "not JSON"},
    "model_replied": REPLY | {"tool_calls": [CALL]},
    "tool_call": CALL | {
        "turn": 1, "args_hash": HASH, "approval_required": True, "effects": "once", "timeout_s": 30, "max_attempts": 3,
        "input_schema_hash": "0" * 16,
    },
    "waiting": ABOUT | {"args": ARGS, "args_hash": HASH, "expires_at": AT},
    "approved": ABOUT | DECIDED | {
        "seen_args_hash": HASH, "edited_args": ARGS, "args": ARGS, "args_hash": HASH, "policy": "small",
    },
    "rejected": ABOUT | DECIDED | {"seen_args_hash": HASH, "policy": "large"},
    "expired": ABOUT | {"expires_at": AT},
    "tool_started": {
        "call_id": "1-0", "tool": "refund", "attempt": 1, "claim_id": "claim-1", "worker": "w", "grant_s": 5.0,
    },
    "tool_result": RAN | {
        "call_id": "1-0", "tool": "refund", "ok": False, "value": {"id": [1]}, "error": FAILURE, "attempt": 1,
        "claim_id": "claim-1", "resolved_by": "user:eve", "reason": "seen in the books",
    },
    "in_doubt": ABOUT | {"attempt": 1, "claim_id": "claim-1", "worker": "w", "reason": "lost"},
    "retry_scheduled": {
        "turn": 1, "call_id": "1-0", "tool": "search", "attempt": 2, "retry_at": AT, "reason": "error",
        "error": FAILURE, "by": "user:eve",
    },
    "message": {"text": "Hurry.", "by": "user:ann", "channel": "http"},
    "paused": DECIDED,
    "resumed": DECIDED,
    "cancel_requested": DECIDED | {"cause": "timeout"},
    "done": {"output": {"category": "billing"}, "output_error": "none"},
    "failed": {"error": FAILURE},
    "cancelled": DECIDED,
}  # fmt: skip

COMMAND_FIELDS: dict[str, dict[str, Any]] = {
    "start": START | {"timeout_s": 60.0},
    "model_reply": REPLY | {
        "tool_calls": [{"model_call_id": "toolu_1", "tool": "refund", "args": ARGS, "args_error": "cut off"}]
    },
    "model_failed": {
        "turn": 1, "attempt": 1, "error": FAILURE, "retryable": True, "retry_after_s": 2.5, "worker": "lane",
    },
    "claim": {"call_id": "1-0", "attempt": 1, "claim_id": "claim-1", "worker": "w"},
    "decline": {"call_id": "1-0", "attempt": 1, "claim_id": "claim-1", "worker": "w"},
    "return_result": RAN | {
        "call_id": "1-0", "attempt": 1, "claim_id": "claim-1", "ok": True, "value": ARGS, "error": FAILURE,
    },
    "report_lost": {"step": "1-0", "attempt": 1, "claim_id": "claim-1", "reason": "timeout"},
    "decide": DECIDED | {
        "call_id": "1-0", "decision": "approve", "args_hash": HASH, "edited_args": ARGS, "policy": "small",
    },
    "resolve": DECIDED | {"call_id": "1-0", "attempt": 1, "outcome": "failed", "value": ARGS, "error": FAILURE},
    "send_message": {"text": "Hurry.", "by": "user:ann", "channel": "http"},
    "pause": DECIDED,
    "resume": DECIDED,
    "cancel": DECIDED,
    "fire_timer": {"timer_id": "deadline", "due": AT},
}  # fmt: skip

NOTE_FIELDS: dict[str, dict[str, Any]] = {
    "refused": {"command_type": "decide", "seq": 7, "refusal": REFUSAL, "by": "user:zoe", "result": {"value": ARGS}},
    "repeated": {"answer": ANSWER},
    "unreadable": {"error": "not JSON", "raw_base64": "AP8="},
}

TASK_FIELDS: dict[str, dict[str, Any]] = {
    "model": {"turn": 1, "messages": MESSAGES, "source": "mail", "key": "ticket-1"},
    "tool": {
        "call_id": "1-0", "tool": "refund", "args": ARGS, "args_hash": HASH, "effects": "once",
        "input_schema_hash": "0" * 16, "timeout_s": 30.0,
    },
}  # fmt: skip

APPROVAL_FIELDS: dict[str, Any] = ABOUT | DECIDED | {
        "execution_id": "exec-a", "seq": 7, "state": "approved", "agent": "support", "agent_version": "0123456789ab",
        "args": ARGS, "args_hash": HASH, "requested_at": AT, "expires_at": AT, "decided_at": AT,
        "decided_by": "user:ann", "policy": "small", "edited_args": ARGS, "ended_at": AT, "attempts_total": 1,
        "attempts": [{"decision_id": "d-1", "by": "service:risk", "at": AT, "accepted": False,
                      "code": "already_decided", "message": "too late", "winner": WINNER}]}  # fmt: skip

SINGLES: tuple[tuple[Family[Any], dict[str, Any]], ...] = (
    (WORKERS, {"session_id": "s-1", "gateway_id": "g-1", "worker": "ann@shop/1", "holds": ["exec-a/1-0/1"], "at": AT,
               "lease_until": AT, "tools": {"support": {"refund": "0" * 16}}}),
    (AGENTS, {"name": "support", "model": "anthropic/m", "instructions": "Be kind.", "max_turns": 5, "max_tokens": 99,
              "output_schema": {"type": "object"},
              "tools": [{"name": "refund", "description": "Pays.", "input_schema": {"type": "object"}, "timeout_s": 30,
                         "approval_required": True, "effects": "once", "approval_expires_s": 3600}]}),
    (APPROVALS, APPROVAL_FIELDS),
    (DECISIONS, {"decision_id": "d-1", "approval_id": "exec-a.1-0", "decision": "reject", "args_hash": HASH,
                 "by": "service:risk", "reason": "too much", "edited_args": ARGS}),
    (TICKETS, {"id": "ticket-1", "source": "mail", "agent": "support", "text": "Help.", "metadata": {"tier": "gold"}}),
    (TICKET_MAPPINGS, {"agent": "support", "order": 5, "source": "crm-*", "ce_type": "com.shop.*", "header": "team",
                       "header_value": "mail"}),
    (DEAD_LETTERS_HANDLED, {"partition": 0, "offset": 12, "action": "discarded", "by": "user:ann", "at": AT,
                            "reason": "a test"}),
    (ANSWERS, ANSWER | {"repeated": True}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A message and the family that it belongs to."""

    name: str
    family: Family[Any]
    message: BaseModel


def _examples() -> list[Example]:
    id_and_time = {"execution_id": "exec-a", "command_id": "c-1", "at": AT}
    tagged: list[tuple[Family[Any], dict[str, Any], dict[str, dict[str, Any]], str]] = [
        (EVENTS, ENVELOPE, EVENT_FIELDS, "type"),
        (COMMANDS, {"execution_id": "exec-a", "command_id": "c-1", "traceparent": "00-1-1-01"}, COMMAND_FIELDS, "type"),
        (NOTES, id_and_time, NOTE_FIELDS, "type"),
        (TASKS, TASK, TASK_FIELDS, "lane"),
    ]
    found = [
        Example(f"{family.name}.{name}", family, family.adapter.validate_python({tag: name} | common | fields))
        for family, common, by_name, tag in tagged
        for name, fields in by_name.items()
    ]
    return [*found, *(Example(f.name, f, f.adapter.validate_python(fields)) for f, fields in SINGLES)]


EXAMPLES = _examples()
