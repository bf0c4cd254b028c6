"""`scripted/<name>`: asks a test what the model says, for tests that let the real server run.

The testing kit's server is told the address of the test's process, and the author of the test scripts the turns there.
A server that was not told one refuses agents with such a model when they are started.
"""

import aiohttp
from pydantic import ValidationError

from agentspan_schemas import Failure, JsonObject, Request, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import describe
from agentspan_schemas.commands import AskedCall
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

ADDRESS = "AGENTSPAN_SCRIPTED_MODEL_URL"

REPLY_S = 60.0
"""A test that takes longer to say what its model says hangs."""


class ScriptedCall(Request):
    """A tool call that the script asks for."""

    tool: str
    args: JsonObject = {}


class ScriptedReply(Request):
    """What the test's process answers: a turn, or the error of one."""

    text: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    blocks: tuple[JsonObject, ...] | None = None
    usage: Usage = Usage()
    error: Failure | None = None
    retryable: bool = False


class Scripted:
    """Sends each request to the test's process, and makes a response of what that says."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    def check(self, definition: AgentDefinition) -> str | None:
        """As the port says."""
        if self._address is None:
            return (
                f"model {definition.model!r} is scripted by a test, and no test started this server: "
                "run the agent in a test, on the server of the fixture agentspan_server"
            )
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """What the test's author has the model say."""
        missing = self.check(request.definition)
        if missing or self._address is None:
            raise ModelError("script_missing", missing or ADDRESS, retryable=False)
        said = _read(request.definition.model, await self._ask(self._address, request))
        if said.error is not None:
            raise ModelError(said.error.kind, said.error.message, retryable=said.retryable)
        calls = tuple(
            AskedCall(model_call_id=f"scripted-{request.turn}-{index}", tool=call.tool, args=call.args)
            for index, call in enumerate(said.tool_calls)
        )
        stop_reason = "tool_use" if calls else "end_turn"
        model = request.definition.model
        return ModelResponse(model, said.text, calls, said.blocks, stop_reason, said.usage)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, address: str, request: ModelRequest) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REPLY_S))
        try:
            async with self._session.post(address, json=_asked(request)) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ModelError(
                "script_unreachable",
                f"the test that scripts model {request.definition.model!r} does not answer at {address} ({error!r}): "
                "it ended, or its function never returns",
                retryable=False,
            ) from error


def provider(settings: ModelSettings) -> Scripted:
    """The entry point."""
    return Scripted(settings.environment.get(ADDRESS))


def _asked(request: ModelRequest) -> JsonObject:
    return {
        "model": request.model,
        "execution_id": request.execution_id,
        "turn": request.turn,
        "metadata": request.metadata,
        "definition": request.definition.model_dump(mode="json"),
        "messages": [message.model_dump(mode="json") for message in request.messages],
    }


def _read(model: str, body: bytes) -> ScriptedReply:
    try:
        return ScriptedReply.model_validate_json(body)
    except ValidationError as error:
        message = (
            f"what the test says for model {model!r} is no turn: {describe(error)}; answer with the testing kit's own"
        )
        raise ModelError("script_unreadable", message, retryable=False) from error
