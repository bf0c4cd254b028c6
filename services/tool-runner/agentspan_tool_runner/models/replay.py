"""`replay/<name>`: plays recorded turns from a folder of the server's, for demos and tests without a model API.

A run's file is named by its metadata `recording`, else by its ticket's id (the start's idempotency key), and looked up
as `<folder>/<name>/<file>.json`, then as `<folder>/<file>.json`. The folder is the server's AGENTSPAN_REPLAY_DIR.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from agentspan_schemas import Failure, JsonObject, Request, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import describe
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage
from agentspan_tool_runner.models.ports import ModelError, ModelRequest, ModelResponse, ModelSettings

FOLDER = "AGENTSPAN_REPLAY_DIR"


class RecordedCall(Request):
    """A tool call that the recorded model asked for."""

    tool: str
    args: JsonObject = {}


class RecordedTurn(Request):
    """One reply of the recorded model."""

    text: str = ""
    tool_calls: tuple[RecordedCall, ...] = ()
    usage: Usage = Usage()
    if_rejected: tuple["RecordedTurn", ...] = ()
    """What it goes on with, instead of the turns that follow, when a person rejects a call of this one."""


class Recording(Request):
    """All turns of one conversation, in order."""

    turns: tuple[RecordedTurn, ...]


class Replay:
    """Plays recordings; the turn to play follows from the conversation alone, so that a restart plays none twice."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def check(self, definition: AgentDefinition) -> str | None:
        """As the port says."""
        if self._folder is None:
            return f"model {definition.model!r} plays recordings: set {FOLDER} on the server to the folder they are in"
        if not self._folder.is_dir():
            return f"model {definition.model!r} plays recordings, but {FOLDER}={str(self._folder)!r} is no folder"
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """The recorded turn that comes next."""
        missing = self.check(request.definition)
        if missing or self._folder is None:
            raise _refusal("recording_missing", missing or FOLDER)
        path = _find(self._folder, request)
        played, left = _played(_read(path).turns, request.messages)
        if not left:
            raise _refusal(
                "recording_played_out",
                f"recording {str(path)!r} is played out: record turn {played + 1}, "
                f"or end turn {played} without tool calls",
            )
        return _response(request.definition.model, left[0], played + 1)

    async def aclose(self) -> None:
        """Nothing is kept open."""


def provider(settings: ModelSettings) -> Replay:
    """The entry point."""
    folder = settings.environment.get(FOLDER)
    return Replay(Path(folder) if folder else None)


def _played(turns: Sequence[RecordedTurn], messages: Sequence[Message]) -> tuple[int, Sequence[RecordedTurn]]:
    """How many turns the conversation has had, and those that come next."""
    played, last = 0, RecordedTurn()
    for message in messages:
        match message:
            case AssistantMessage():
                played, last, turns = played + 1, turns[0] if turns else RecordedTurn(), turns[1:]
            case ToolMessage(error=Failure(kind="rejected")) if last.if_rejected:
                turns = last.if_rejected
            case _:
                pass
    return played, turns


def _response(model: str, turn: RecordedTurn, number: int) -> ModelResponse:
    calls = tuple(
        AskedCall(model_call_id=f"replay-{number}-{index}", tool=call.tool, args=call.args)
        for index, call in enumerate(turn.tool_calls)
    )
    stop_reason = "tool_use" if calls else "end_turn"
    return ModelResponse(model=model, text=turn.text, tool_calls=calls, stop_reason=stop_reason, usage=turn.usage)


def _find(folder: Path, request: ModelRequest) -> Path:
    file = request.metadata.get("recording", request.key)
    if not isinstance(file, str) or not file:
        raise _refusal(
            "recording_missing",
            f"nothing names the recording of execution {request.execution_id!r}: start it with "
            "metadata={'recording': '<file>'}, or with a ticket or idempotency key of the file's name",
        )
    paths = [_inside(folder, f"{request.model}/{file}.json"), _inside(folder, f"{file}.json")]
    for path in paths:
        if _exists(path):
            return path
    looked = " and ".join(repr(str(path)) for path in paths)
    named = "" if "recording" in request.metadata else ", or start the run with metadata={'recording': '<file>'}"
    raise _refusal("recording_missing", f"no recording {file!r}: looked for {looked}; put the file there{named}")


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the file system
        return False


def _inside(folder: Path, name: str) -> Path:
    """The path of a name in the folder; refused when it, or a link in it, leads out of the folder."""
    parts = name.split("/")
    plain = "\0" not in name and "\\" not in name and all(part not in ("", ".", "..") for part in parts)
    path = folder.joinpath(*parts) if plain else folder
    if not plain or not path.resolve().is_relative_to(folder.resolve()):
        raise _refusal(
            "recording_refused", f"recording {name!r} leads out of the folder of recordings; name a file inside it"
        )
    return path


def _read(path: Path) -> Recording:
    try:
        return Recording.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _refusal(
            "recording_unreadable",
            f'recording {str(path)!r}: {describe(error)}; it should look like {{"turns": [{{"text": "…"}}]}}',
        ) from error
    except OSError as error:
        raise _refusal("recording_unreadable", f"recording {str(path)!r} cannot be read: {error.strerror}") from error


def _refusal(kind: str, message: str) -> ModelError:
    return ModelError(kind, message, retryable=False)
