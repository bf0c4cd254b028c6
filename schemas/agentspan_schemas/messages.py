"""The conversation of an execution, in no provider's dialect: what a model task carries and a provider translates."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, SerializeAsAny

from agentspan_schemas._base import Failure, JsonObject, Wire


class RequestedCall(Wire):
    """A tool call as the model asked for it. `model_call_id` is the provider's own id, which it may repeat."""

    call_id: str
    model_call_id: str
    tool: str
    args: JsonObject


class UserMessage(Wire):
    """Text from outside: the prompt, a message sent to the run, or our request to mend an invalid output."""

    role: Literal["user"] = "user"
    text: str


class AssistantMessage(Wire):
    """One reply of the model. `blocks` keeps the provider's own content, so that thinking survives across turns."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    blocks: tuple[JsonObject, ...] | None = None


class ToolMessage(Wire):
    """What came of one call: a value, or the error that the model may act on."""

    role: Literal["tool"] = "tool"
    call_id: str
    model_call_id: str
    tool: str
    value: JsonValue = None
    error: Failure | None = None
    edited_args: JsonObject | None = None
    """What the call ran with, where an approver changed the args that the model proposed."""


# as any: pydantic writes a member of a union by way of Python's values, at twice the price, and conversations are long
Message = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role"), SerializeAsAny()]
