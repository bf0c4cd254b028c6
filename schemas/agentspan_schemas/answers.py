"""What came of a command: the answer to its sender, and the records that an owner leaves beside the events.

A command that changes nothing still leaves one of these on the log: an audit of attempts, and the way a process
elsewhere learns the outcome.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agentspan_schemas._base import SCHEMA_VERSION, Moment, Wire
from agentspan_schemas.events import Envelope

RefusalCode = Literal[
    "unknown_execution",
    "unknown_agent",
    "unknown_call",
    "id_reused",
    "finished",
    "paused",
    "already_decided",
    "args_changed",
    "invalid_args",
    "stale",
    "already_claimed",
    "not_in_doubt",
    "not_gated",
    "nothing_to_do",
]
"""Why a command was refused; stable, to match on."""


class Winner(Wire):
    """Who came first."""

    by: str
    decision: str
    at: Moment
    channel: str | None = None


def verdict(decision: str, by: str | None) -> str:
    """How a call's decision is told, as `was approved by user:ada`. Time that ran out is nobody's deed."""
    if decision == "expired":
        return "expired"
    return f"was {decision} by {by}" if by else f"was {decision}"


class Refusal(Wire):
    """Why a command changed nothing, and what to do instead."""

    code: RefusalCode
    message: str
    winner: Winner | None = None


class Answer(Wire):
    """The answer to a command. The same command_id always gets the same one, marked `repeated`."""

    command_id: str
    execution_id: str
    seq: int
    """The execution's last event when the answer was given (0: there is no such execution)."""
    refusal: Refusal | None = None
    repeated: bool = False
    position: str | None = None
    """Where on the log it stands, as `<partition>:<offset>`; a read that asks for it sees the write."""

    @property
    def accepted(self) -> bool:
        """Whether the command did what it asked."""
        return self.refusal is None


class Refused(Wire):
    """On the log: a command that was refused. `result` keeps a tool's whole late result, so that nothing is lost."""

    type: Literal["refused"] = "refused"
    execution_id: str
    command_id: str
    command_type: str
    at: Moment
    seq: int
    refusal: Refusal
    by: str | None = None
    result: JsonValue = None
    schema_version: int = SCHEMA_VERSION


class Repeated(Wire):
    """On the log: a command that had been answered before."""

    type: Literal["repeated"] = "repeated"
    execution_id: str
    command_id: str
    at: Moment
    answer: Answer
    schema_version: int = SCHEMA_VERSION


class UnreadableCommand(Wire):
    """On the log: bytes on the commands topic that are no command. They are kept here, whole."""

    type: Literal["unreadable"] = "unreadable"
    execution_id: str
    command_id: str
    at: Moment
    error: str
    raw_base64: str
    schema_version: int = SCHEMA_VERSION


Note = Annotated[Refused | Repeated | UnreadableCommand, Field(discriminator="type")]
"""A record beside the events: it has no seq of its own and changes no state."""


def answer_to(message: Envelope | Refused | Repeated, position: str | None = None) -> Answer:
    """What a record on the log tells the sender of its command, the last one where there are several. `position`:
    where it stands."""
    match message:
        case Refused():
            return Answer.of(
                command_id=message.command_id,
                execution_id=message.execution_id,
                seq=message.seq,
                refusal=message.refusal,
                position=position,
            )
        case Repeated():
            return message.answer.model_copy(update={"position": position})
        case _:
            return Answer.of(
                command_id=message.causation_id,
                execution_id=message.execution_id,
                seq=message.seq,
                position=position,
            )
