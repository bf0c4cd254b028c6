"""The doors for people who decide: what waits for them, and their decisions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.routing import Route

from agentspan_approvals.paging import BadCursor, cut, decode_cursor
from agentspan_approvals.ports import Place, Search
from agentspan_approvals.service import Approvals
from agentspan_doors import (
    Asked,
    DoorError,
    PlainDoor,
    Said,
    accepted,
    command_id,
    json_of,
    known_parameters,
    not_found,
    write_route,
)
from agentspan_schemas import JsonObject, NotCanonical
from agentspan_schemas import commands as c
from agentspan_schemas.approvals import ApprovalRecord, ApprovalState
from agentspan_schemas.canonical import canonical
from agentspan_schemas.http import ApprovalPage, DecisionRequest
from agentspan_schemas.ids import split_approval_id


def router(approvals: Approvals) -> APIRouter:
    """Reading requests. GET never decides."""
    api = APIRouter(prefix="/api/v1", tags=["approvals"], dependencies=[Depends(known_parameters)])

    @api.get("/approvals", summary="List requests for a decision")
    async def search(
        execution_id: str | None = None,
        agent: str | None = None,
        tool: str | None = None,
        state: Annotated[tuple[ApprovalState, ...], Query()] = (),
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> ApprovalPage:
        """Oldest first; `state` may be repeated. What was on the log when you asked is in the answer."""
        after = _place(cursor) if cursor else None
        found = await approvals.search(Search(execution_id, agent, tool, state, limit + 1, after))
        items, more = cut(found, limit)
        return ApprovalPage(items=items, cursor=more)

    @api.get("/approvals/{approval_id}", summary="One request for a decision")
    async def get(approval_id: str) -> ApprovalRecord:
        """With the exact arguments, and the hash that a decision names."""
        return await _get(approvals, approval_id)

    return api


def _place(cursor: str) -> Place:
    try:
        return decode_cursor(cursor)
    except BadCursor as error:
        raise DoorError(422, "bad_cursor", str(error), field="cursor") from error


DECIDE = PlainDoor(
    method="POST",
    path="/api/v1/approvals/{approval_id}/decision",
    operation_id="decide",
    summary="Approve or reject a call",
    description="The first decision wins; the loser gets 409 with the winner. `args_hash` is that of the args you saw.",
    tag="approvals",
    takes=DecisionRequest,
    answers=ApprovalRecord,
    writes=True,
)


def decide_route(approvals: Approvals) -> Route:
    """The door that every decision comes in by."""

    async def decide(asked: Asked[DecisionRequest]) -> Said:
        approval_id, body = asked.path["approval_id"], asked.body
        execution_id, call_id = _split(approval_id)
        _check(body.edited_args)
        decision = c.Decide.of(
            command_id=command_id(f"decide:{call_id}", asked.caller, asked.key, body),
            execution_id=execution_id,
            call_id=call_id,
            decision=body.decision,
            args_hash=body.args_hash,
            edited_args=body.edited_args,
            reason=body.reason,
            by=asked.caller.by,
            channel=asked.caller.channel,
        )
        answer = accepted(await approvals.decide(decision))
        record = await _get(approvals, approval_id, answer.position)
        return Said(json_of(record), headers=((b"agentspan-position", (answer.position or "").encode()),))

    return write_route(DECIDE, DecisionRequest, decide)


async def _get(approvals: Approvals, approval_id: str, position: str | None = None) -> ApprovalRecord:
    execution_id, _ = _split(approval_id)
    record = await approvals.get(approval_id, execution_id, position)
    if record is None:
        raise not_found("approval", approval_id, "`agentspan approvals list` shows what waits for a decision")
    return record


def _check(edited_args: JsonObject | None) -> None:
    """What JSON has no form for, as NaN, gets past the parser; no command could carry it."""
    try:
        canonical(edited_args)
    except NotCanonical as error:
        raise DoorError(422, "invalid_args", f"edited_args: {error}", field="edited_args") from error


def _split(approval_id: str) -> tuple[str, str]:
    try:
        return split_approval_id(approval_id)
    except ValueError as error:
        raise DoorError(404, "unknown_approval", str(error)) from error
