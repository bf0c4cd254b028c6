"""`ScriptedModel`: a test says what the model replies, and the real server asks for it, turn by turn.

The server calls back into this process, so that a turn may be a function of the conversation, and so that the test
can see what the model was asked.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from agentspan.agents._agent import Agent
from agentspan.agents._errors import ConfigurationError
from agentspan.agents.testing._check_script import checked
from agentspan.agents.testing._recording import read
from agentspan.agents.testing._script import MockEvent, Said, ScriptError
from agentspan_schemas import JsonObject, Usage
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import AssistantMessage, Message

PROVIDER = "scripted"

_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """What the server asked the model: the conversation so far, and the agent whose turn it is."""

    execution_id: str
    turn: int
    messages: tuple[Message, ...]
    definition: AgentDefinition
    metadata: Mapping[str, Any]

    @property
    def instructions(self) -> str:
        """The system prompt."""
        return self.definition.instructions


Turn: TypeAlias = (
    str | MockEvent | Sequence[MockEvent] | Callable[[ModelAsked], "str | MockEvent | Sequence[MockEvent]"]
)
"""One reply: its text, a line as in a mock run's script, several of them, or a function of what was asked."""


class ScriptedModel:
    """What a model says, one item a turn; each run begins with the first.

    Made by `agentspan_scripted` or `LocalServer.scripted`, which tell the server of it.

    >>> from agentspan.agents import Agent
    >>> from agentspan.agents.testing import MockEvent, ScriptedModel
    >>> model = ScriptedModel("shop", [MockEvent.tool_call("refund", {"amount_usd": 99.0}), "Refunded."])
    >>> model.plays(Agent("support", "anthropic/claude-sonnet-4-6")).model
    'scripted/shop'
    """

    def __init__(self, name: str, turns: Sequence[Turn]) -> None:
        named: object = name
        if not isinstance(named, str) or not named:
            raise ConfigurationError(f"scripted model: {named!r} is no name; write ScriptedModel('shop', [...])")
        given: object = turns
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise ConfigurationError(
                f"scripted model {name!r}: turns is {turns!r}; give a list with an item a turn, as in "
                "[MockEvent.tool_call('refund', {...}), 'Refunded.']"
            )
        self.name = name
        self.asked: list[ModelAsked] = []
        """What the server asked, in order: once for each attempt of each turn."""
        self._turns = list(turns)
        for index, turn in enumerate(self._turns):
            if not callable(turn):
                _reply(name, index, turn)

    def plays(self, agent: Agent) -> Agent:
        """The same agent with this as its model."""
        given: object = agent
        if not isinstance(given, Agent):
            raise ConfigurationError(
                f"scripted model {self.name!r}: {given!r} is no Agent; write model.plays(my_agent)"
            )
        model = f"{PROVIDER}/{self.name}"
        twin = copy.copy(agent)
        twin.model = model
        # not `definition`: where instructions are a function, that asks it
        twin._definition = AgentDefinition.model_validate({**dict(agent._definition), "model": model})
        return twin

    def reply(self, body: JsonObject) -> JsonObject:
        """The answer to the server's request, both as JSON."""
        asked = _asked(body)
        self.asked.append(asked)
        played = sum(isinstance(message, AssistantMessage) for message in asked.messages)
        if played >= len(self._turns):
            return _error(
                "script_played_out",
                f"scripted model {self.name!r} has {len(self._turns)} turns and all are played: add turn {played + 1}, "
                f"or end turn {len(self._turns)} without tool calls",
            )
        turn = self._turns[played]
        return _reply(self.name, played, turn(asked) if callable(turn) else turn)


def recorded_turns(path: str | Path) -> list[Turn]:
    """What the model said in a recording, for a ScriptedModel: the tools and the people are real then."""
    replies = (fact for fact in read(path).events if fact.type == "model_replied")
    return [
        [
            *([MockEvent.says(fact.text)] if fact.text else []),
            *([MockEvent.used(**fact.usage.model_dump())] if fact.usage != Usage() else []),
            *(MockEvent.tool_call(call.tool, call.args) for call in fact.tool_calls),
        ]
        or ""
        for fact in replies
    ]


def _asked(body: JsonObject) -> ModelAsked:
    metadata: Any = body["metadata"]
    return ModelAsked(
        execution_id=str(body["execution_id"]),
        turn=int(str(body["turn"])),
        messages=_MESSAGES.validate_python(body["messages"]),
        definition=AgentDefinition.model_validate(body["definition"]),
        metadata=metadata,
    )


def _reply(model: str, index: int, turn: object) -> JsonObject:
    """A turn as the server reads it. Raises ScriptError."""
    where = f"scripted model {model!r}, turns[{index}]"
    if isinstance(turn, str):
        return {"text": turn}
    if not isinstance(turn, MockEvent | list | tuple):
        raise ScriptError(
            f"{where}: {turn!r} is no turn",
            "write its text, a MockEvent, a list of them, or a function that returns one of these",
        )
    lines = [turn] if isinstance(turn, MockEvent) else turn
    try:
        return _of_lines(checked(lines))
    except ScriptError as error:
        raise ScriptError(f"{where}: {error.args[0].partition('. Next: ')[0]}", error.next_step) from None


def _of_lines(lines: Sequence[MockEvent]) -> JsonObject:
    said, calls = Said(), list[Any]()
    for line in lines:
        match line.kind:
            case "thinking" | "says" | "used":
                said = said.then(line)
            case "done":
                said = replace(said, text=_text(line.value))
            case "tool_call":
                calls.append({"tool": line.tool, "args": to_jsonable_python(dict(line.args))})
            case "failed":
                return _error("scripted", line.text or "")
            case other:
                raise ScriptError(
                    f"{other} is nothing that a model says",
                    "take the line out: with the real server it happens for real",
                )
    blocks: Any = said.blocks
    usage = said.usage.model_dump()
    return {"text": said.text, "tool_calls": calls, "blocks": list(blocks) if blocks else None, "usage": usage}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ScriptError(f"the answer {value!r} is no text", "write what the model would write, as JSON text")
    return value


def _error(kind: str, message: str) -> JsonObject:
    return {"error": {"kind": kind, "message": message}, "retryable": False}
