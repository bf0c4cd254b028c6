"""What a worker reports, as commands, and the commands' answers, as a worker reads them.

The ids are deterministic: a report that is sent again, through whichever gateway, gets the first answer.
"""

from pydantic_core import to_json

from agentspan.eventlog.commands import Commands, OutcomeUnknown, Unavailable
from agentspan_schemas import MAX_RESULT_BYTES, Failure
from agentspan_schemas.commands import Claim, Decline, ReturnResult
from agentspan_schemas.http import ClaimItem, ItemAnswer, ResultItem
from agentspan_schemas.ids import task_key_for

_TRY_AGAIN = ("unavailable", "outcome_unknown")
"""Codes that say nothing about the item itself: the worker sends it again."""


async def submit(commands: Commands, command: Claim | Decline | ReturnResult) -> ItemAnswer:
    """The command's answer, once it is on the log; or that the worker should send it again."""
    try:
        answer = await commands.submit(command)
    except Unavailable as error:
        return ItemAnswer(accepted=False, code="unavailable", message=str(error))
    except OutcomeUnknown as error:
        return ItemAnswer(accepted=False, code="outcome_unknown", message=str(error))
    if answer.refusal is None:
        return _ACCEPTED
    return ItemAnswer(accepted=False, code=answer.refusal.code, message=answer.refusal.message)


_ACCEPTED = ItemAnswer(accepted=True)


def is_final(answer: ItemAnswer) -> bool:
    """Whether the answer is about the item, and on the log."""
    return answer.code not in _TRY_AGAIN


def claim(item: ClaimItem, worker: str) -> Claim:
    """The command of a claim."""
    return Claim.of(
        command_id=item.claim_id,
        execution_id=item.execution_id,
        call_id=item.call_id,
        attempt=item.attempt,
        claim_id=item.claim_id,
        worker=worker,
    )


def decline(item: ClaimItem, worker: str) -> Decline:
    """The command of a declined grant."""
    return Decline.of(
        command_id=f"{item.claim_id}/decline",
        execution_id=item.execution_id,
        call_id=item.call_id,
        attempt=item.attempt,
        claim_id=item.claim_id,
        worker=worker,
    )


def result(item: ResultItem, worker: str) -> ReturnResult:
    """The command of a result. One that is too large becomes an error that names both sizes."""
    about = item.claim_id or task_key_for(item.execution_id, item.call_id, item.attempt)
    command = ReturnResult.of(
        command_id=f"{about}/result",
        execution_id=item.execution_id,
        call_id=item.call_id,
        attempt=item.attempt,
        claim_id=item.claim_id,
        ok=item.ok,
        value=item.value,
        error=item.error if item.ok or item.error else _SILENT,
        worker=worker,
        began_at=item.began_at,
        duration_ms=item.duration_ms,
    )
    size = len(to_json(item.value)) + len(to_json(item.error))
    if size <= MAX_RESULT_BYTES + len("null"):
        return command
    message = f"the result has {size} bytes; one is at most {MAX_RESULT_BYTES}: return less, or where to find it"
    error = Failure(kind="result_too_large", message=message)
    return command.model_copy(update={"ok": False, "value": None, "error": error})


_SILENT = Failure(kind="tool_error", message="the tool failed without saying why")
