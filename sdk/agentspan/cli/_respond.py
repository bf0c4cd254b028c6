"""`agent respond`: find the one call that is meant, decide it as it was seen, and say who will take it from there.

Apart from the declaration of its options because this is what has rules: which call, which of the reasons why there is
none, and what a person has to start so that an approved call runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentspan.agents import AlreadyDecided, Conflict, InvalidRequest, NotFound, NothingPending, SeveralPending
from agentspan.cli._api import Server
from agentspan.cli._options import Format
from agentspan.cli._show import compact, moment, one, out, say
from agentspan_schemas import JsonObject
from agentspan_schemas.answers import Winner, verdict
from agentspan_schemas.approvals import ApprovalRecord


@dataclass(frozen=True, slots=True)
class Response:
    """What the person decided."""

    decision: Literal["approve", "reject"]
    reason: str | None = None
    args: JsonObject | None = None
    """Run it with these, instead of those that it waits with."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of it."""

    record: ApprovalRecord
    others: tuple[ApprovalRecord, ...]
    """The calls of the same execution that still wait."""
    missing: str | None
    """What to start so that the approved call runs; None when somebody can take it."""


async def respond(
    server: Server, execution_id: str, call_id: str | None, response: Response, args_hash: str | None = None
) -> Decided:
    """Decide the call that is meant, if its args are still those of `args_hash`. Raises why there is none, or who was
    first."""
    record, records = await meant(server, execution_id, call_id, args_hash)
    try:
        after = await server.decide(record, response.decision, response.reason, response.args)
    except Conflict as error:
        raise _lost(record, error) from error
    except InvalidRequest as error:
        if error.code != "invalid_args":
            raise
        raise InvalidRequest(
            f"{error}; write all of them: `agentspan approvals show {record.approval_id}` has those that it waits with",
            status=error.status,
            code=error.code,
        ) from error
    others = tuple(r for r in records if r.state == "pending" and r.call_id != record.call_id)
    missing = await missing_worker(server, after) if response.decision == "approve" else None
    return Decided(after, others, missing)


async def meant(
    server: Server, execution_id: str, call_id: str | None, args_hash: str | None = None
) -> tuple[ApprovalRecord, Sequence[ApprovalRecord]]:
    """The call that waits and is meant, and all requests of its run. Raises why there is none."""
    records = await server.approvals([("execution_id", execution_id)])
    asked = [record for record in records if call_id in (None, record.call_id)]
    match [record for record in asked if record.state == "pending"]:
        case [record]:
            pass
        case []:
            raise await _nothing(server, execution_id, call_id, asked)
        case several:
            raise SeveralPending(
                f"{len(several)} calls of {execution_id!r} wait; name one:\n{listed(several)}",
                tuple(record.call_id for record in several),
            )
    if args_hash not in (None, record.args_hash):
        raise Conflict(
            f"call {record.call_id!r} of {record.tool!r} waits with other arguments than those that you read: "
            f"`agentspan approvals show {record.approval_id}` has them"
        )
    return record, records


async def missing_worker(server: Server, record: ApprovalRecord) -> str | None:
    """What to start so that this call can run; None when a worker can take it."""
    return await missing_for(server, record.agent, record.tool, record.input_schema_hash)


async def missing_for(server: Server, agent: str, tool: str, input_schema_hash: str) -> str | None:
    """What to start so that a call of this tool can run; None when a worker can take it."""
    if await server.workers(agent, tool, input_schema_hash or None):
        return None
    others = await server.workers(agent, tool)
    connected, which = "none is connected that has it", ""
    if others:
        connected = f"those connected ({', '.join(worker.worker for worker in others)}) have it with other parameters"
        which = " as it was when the run started"
    return (
        f"no worker can run {tool!r} of agent {agent!r} with input schema {input_schema_hash[:12]}: {connected}. "
        "It runs as soon as one serves it: `agentspan agent serve MODULE:AGENT`, "
        f"with the module that defines {agent!r}{which}"
    )


def show(decided: Decided, output: Format) -> None:
    """Tell the person."""
    record = decided.record
    if output is not Format.TABLE:
        one(record, output)
    else:
        args = record.edited_args if record.edited_args is not None else record.args
        edited = " (edited)" if record.edited_args is not None else ""
        out(f"{_verdict(record)} {record.tool} {compact(args)}{edited} by {record.decided_by}")
    if decided.missing:
        say(decided.missing)
    if decided.others:
        say(f"still waiting for a decision:\n{listed(decided.others)}")


def steps(record: ApprovalRecord) -> list[str]:
    """What a person can do about it, as commands."""
    if record.state == "in_doubt":
        command = f"agentspan execution resolve {record.approval_id} --attempt {record.attempt}"
        return [
            f"find out whether {record.tool} ran, then say so: {command} --succeeded JSON | --failed TEXT | --not-run"
        ]
    return [
        f"agentspan agent respond {record.approval_id} --approve",
        f'agentspan agent respond {record.approval_id} --reject "why"',
    ]


def listed(records: Sequence[ApprovalRecord]) -> str:
    """One line a call: what it would do, and how to name it."""
    return "\n".join(f"  --call {record.call_id}  {record.tool} {compact(record.args)}" for record in records)


async def _nothing(
    server: Server, execution_id: str, call_id: str | None, asked: Sequence[ApprovalRecord]
) -> NothingPending | AlreadyDecided | NotFound:
    """Why no call can be decided: its status, and what to do next."""
    now = (await server.client.execution(execution_id)).status
    next_step = f"{execution_id!r} is {now}; `agentspan agent status {execution_id}` shows where it stands"
    if doubtful := next((record for record in asked if record.state == "in_doubt"), None):
        return NothingPending(
            f"call {doubtful.call_id!r} of {doubtful.tool!r} is in doubt: its worker was lost after it had begun. "
            f"Find out whether it ran, then resolve it (`agentspan execution resolve`); {next_step}"
        )
    if decided := [record for record in asked if record.decided_at is not None]:
        last = max(decided, key=lambda record: record.seq)
        return AlreadyDecided(f"{_settled(last)}; {next_step}", status=409, code="already_decided")
    if call_id is not None and not asked:
        return NotFound(f"no call {call_id!r} of {execution_id!r} ever waited for a decision; {next_step}")
    return NothingPending(f"no call waits for a decision: {next_step}")


def _lost(record: ApprovalRecord, error: Conflict) -> Conflict:
    """The conflict with its winner in words, where there is one."""
    if not isinstance(error, AlreadyDecided) or error.winner is None:
        return error
    lost = AlreadyDecided(
        f"call {record.call_id!r} of {record.tool!r} {_won(error.winner)}; yours changed nothing; "
        f"`agentspan agent status {record.execution_id}` shows where it stands",
        status=error.status,
        code=error.code,
    )
    lost.winner = error.winner
    return lost


def _won(winner: Winner) -> str:
    through = f" through {winner.channel}" if winner.channel else ""
    return f"{verdict(winner.decision, winner.by)} at {moment(winner.at)}{through}"


def _settled(record: ApprovalRecord) -> str:
    at = f" at {moment(record.decided_at)}" if record.decided_at else ""
    because = f" ({record.reason})" if record.reason else ""
    return f"call {record.call_id!r} of {record.tool!r} {verdict(record.state, record.decided_by)}{at}{because}"


def _verdict(record: ApprovalRecord) -> str:
    """The decision, also when the call has moved on by the time that its record is read."""
    return record.state if record.state in ("approved", "rejected") else f"decided ({record.state})"
