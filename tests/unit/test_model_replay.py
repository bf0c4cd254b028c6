"""The replay provider: which recording it plays, which turn, and what it says when there is none."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentspan_schemas import Failure, JsonObject
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, ModelSettings
from agentspan_tool_runner.models.replay import Replay, provider

AGENT = AgentDefinition(name="shop", model="replay/retail")
TURNS: list[JsonObject] = [
    {"text": "Looking.", "tool_calls": [{"tool": "look_up", "args": {"n": 1}}, {"tool": "look_up", "args": {"n": 2}}]},
    {"text": "Done.", "usage": {"input_tokens": 5, "output_tokens": 6}},
]


def write(path: Path, turns: object = TURNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"turns": turns}), encoding="utf-8")


async def play(
    folder: Path,
    *,
    replies: int = 0,
    after: Sequence[Message] = (),
    key: str = "ticket-1",
    metadata: JsonObject | None = None,
    model: str = "",
) -> ModelResponse:
    messages: list[Message] = [UserMessage(text="Go"), *[AssistantMessage(text="…")] * replies, *after]
    definition = AGENT.model_copy(update={"model": model or AGENT.model})
    return await Replay(folder).reply(
        ModelRequest(
            definition=definition,
            messages=tuple(messages),
            metadata=metadata or {},
            execution_id="exec-1",
            turn=replies + 1,
            key=key,
        )
    )


async def failure(folder: Path, *, replies: int = 0, key: str = "ticket-1", metadata: JsonObject | None = None,
                  model: str = "") -> ModelError:  # fmt: skip
    with pytest.raises(ModelError) as caught:
        await play(folder, replies=replies, key=key, metadata=metadata, model=model)
    assert not caught.value.retryable
    return caught.value


async def test_a_rejection_is_answered_with_the_turns_recorded_for_it(tmp_path: Path) -> None:
    asked, sorry = AssistantMessage(text="Looking."), AssistantMessage(text="Sorry.")
    rejected = ToolMessage(
        call_id="1-0", model_call_id="replay-1-0", tool="look_up", error=Failure(kind="rejected", message="no")
    )
    failed = rejected.model_copy(update={"error": Failure(kind="tool_error", message="no")})
    write(tmp_path / "ticket-1.json", [TURNS[0] | {"if_rejected": [{"text": "Sorry."}, {"text": "Bye."}]}, TURNS[1]])
    assert (await play(tmp_path, after=(asked, failed))).text == "Done."
    assert (await play(tmp_path, after=(asked, rejected, failed))).text == "Sorry."
    assert (await play(tmp_path, after=(asked, rejected, rejected, sorry))).text == "Bye."
    with pytest.raises(ModelError, match="is played out: record turn 4, or end turn 3 without tool calls"):
        await play(tmp_path, after=(asked, rejected, sorry, sorry))


async def test_the_turn_follows_from_the_replies_that_the_conversation_has(tmp_path: Path) -> None:
    write(tmp_path / "retail" / "ticket-1.json")
    first, second = await play(tmp_path), await play(tmp_path, replies=1)
    assert first.text == "Looking."
    assert [(call.model_call_id, call.tool, call.args) for call in first.tool_calls] == [
        ("replay-1-0", "look_up", {"n": 1}),
        ("replay-1-1", "look_up", {"n": 2}),
    ]
    assert (first.stop_reason, second.stop_reason) == ("tool_use", "end_turn")
    assert (second.text, second.usage.input_tokens, second.usage.output_tokens) == ("Done.", 5, 6)
    assert second.model == "replay/retail"


async def test_metadata_names_the_file_before_the_ticket_does(tmp_path: Path) -> None:
    write(tmp_path / "retail" / "ticket-1.json", [{"text": "ticket"}])
    write(tmp_path / "retail" / "other.json", [{"text": "metadata"}])
    assert (await play(tmp_path, metadata={"recording": "other"})).text == "metadata"


async def test_the_named_folder_goes_before_the_whole_one(tmp_path: Path) -> None:
    write(tmp_path / "ticket-1.json", [{"text": "shared"}])
    assert (await play(tmp_path)).text == "shared"
    write(tmp_path / "retail" / "ticket-1.json", [{"text": "own"}])
    assert (await play(tmp_path)).text == "own"


async def test_a_missing_recording_names_where_it_was_looked_for(tmp_path: Path) -> None:
    error = await failure(tmp_path, key="dev-7")
    assert error.kind == "recording_missing"
    assert str(tmp_path / "retail" / "dev-7.json") in error.message
    assert error.message.endswith("put the file there, or start the run with metadata={'recording': '<file>'}")
    named = await failure(tmp_path, metadata={"recording": "dev-7"})
    assert named.message.endswith("put the file there"), "it is named already"


async def test_a_name_too_long_for_a_file_is_a_missing_recording(tmp_path: Path) -> None:
    assert (await failure(tmp_path, key="x" * 256)).kind == "recording_missing"


@pytest.mark.parametrize("metadata", [{}, {"recording": 7}, {"recording": ""}])
async def test_a_run_that_names_no_recording_is_told_how(tmp_path: Path, metadata: JsonObject) -> None:
    error = await failure(tmp_path, key="", metadata=metadata)
    assert "metadata={'recording': '<file>'}" in error.message


async def test_a_played_out_recording_says_which_turn_to_record(tmp_path: Path) -> None:
    write(tmp_path / "ticket-1.json")
    error = await failure(tmp_path, replies=2)
    assert error.kind == "recording_played_out"
    assert "record turn 3" in error.message


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "a\0b", "./x", "a//b"])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.json")
    folder = tmp_path / "recordings"
    folder.mkdir()
    assert (await failure(folder, key=name)).kind == "recording_refused"
    assert (await failure(folder, metadata={"recording": name})).kind == "recording_refused"


async def test_no_model_name_and_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "secret.json")
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    assert (await failure(folder, key="link")).kind == "recording_refused"
    assert (await failure(folder, key="secret", model="replay/..")).kind == "recording_refused"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"turns": [{"txt": "a"}]}', '{"turns": [{"tool_calls": [{"args": {}}]}]}']
)
async def test_an_unreadable_recording_says_what_is_wrong_in_which_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "ticket-1.json").write_text(text, encoding="utf-8")
    error = await failure(tmp_path)
    assert error.kind == "recording_unreadable"
    assert str(tmp_path / "ticket-1.json") in error.message


def test_the_folder_is_a_setting_of_the_servers(tmp_path: Path) -> None:
    def missing(environment: dict[str, str]) -> str | None:
        return provider(ModelSettings(environment, now=lambda: datetime.now(UTC))).check(AGENT)

    assert missing({"AGENTSPAN_REPLAY_DIR": str(tmp_path)}) is None
    assert "set AGENTSPAN_REPLAY_DIR" in str(missing({}))
    assert "is no folder" in str(missing({"AGENTSPAN_REPLAY_DIR": str(tmp_path / "gone")}))
