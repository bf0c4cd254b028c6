"""What is to be done: the open tasks that follow from an execution's state, and who works on them."""

from typing import Annotated, Literal

from pydantic import Field

from agentspan_schemas._base import SCHEMA_VERSION, Effects, JsonObject, Moment, Wire
from agentspan_schemas.ids import task_key_for
from agentspan_schemas.messages import Message


class TaskBase(Wire):
    """What every task carries."""

    execution_id: str
    agent: str
    agent_version: str
    attempt: int
    opened_at: Moment
    metadata: JsonObject = {}
    schema_version: int = SCHEMA_VERSION


class ModelTask(TaskBase):
    """Ask the model for its next turn, given the whole conversation."""

    lane: Literal["model"] = "model"
    turn: int
    messages: tuple[Message, ...]
    source: str = ""
    key: str = ""
    """The ticket's id, or the start's idempotency key."""

    @property
    def step(self) -> str:
        """The name of this step within its execution."""
        return f"model-{self.turn}"

    @property
    def task_key(self) -> str:
        """The key on the tasks topic."""
        return task_key_for(self.execution_id, self.step, self.attempt)


class ToolTask(TaskBase):
    """Run one tool call where its code is. A `once` call is claimed first."""

    lane: Literal["tool"] = "tool"
    call_id: str
    tool: str
    args: JsonObject
    args_hash: str
    effects: Effects
    input_schema_hash: str
    timeout_s: float | None = None

    @property
    def step(self) -> str:
        """The name of this step within its execution."""
        return self.call_id

    @property
    def task_key(self) -> str:
        """The key on the tasks topic."""
        return task_key_for(self.execution_id, self.step, self.attempt)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of the call: what a payment provider de-duplicates by."""
        return f"{self.execution_id}.{self.call_id}"


Task = Annotated[ModelTask | ToolTask, Field(discriminator="lane")]
"""Any task, told apart by `lane`."""

MODEL_LANE = "model"
"""What a session that makes model calls has among its `lanes`."""


class WorkerSession(Wire):
    """A worker process, or the model lane of a tool-runner, as its gateway announces it every two seconds."""

    session_id: str
    gateway_id: str
    worker: str
    """`<user or program>@<host>/<pid>`, for people."""
    tools: dict[str, dict[str, str]]
    """For each agent it serves: tool name to input-schema hash."""
    holds: tuple[str, ...] = ()
    """The keys of the tasks that it has in hand."""
    lanes: tuple[str, ...] = ()
    """What it takes beside tool calls: `model`, or nothing."""
    lacks: tuple[str, ...] = ()
    """The models that it was asked for and cannot serve, as for want of a key."""
    at: Moment
    lease_until: Moment | None = None
    """Until when it is counted on unless it is heard of again, by its gateway's clock."""
    schema_version: int = SCHEMA_VERSION
