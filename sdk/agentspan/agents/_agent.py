"""`Agent`: a model, its instructions, its tools and the shape of its answer."""

import difflib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Never

from pydantic import JsonValue, TypeAdapter, ValidationError

from agentspan.agents._errors import ConfigurationError
from agentspan.agents._signature import PlainSchema
from agentspan.agents._tools import Tool
from agentspan_schemas import JsonSchema
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import describe

_OPTIONS = ("name", "model", "instructions", "tools", "output_type", "max_turns", "max_tokens")


class Agent:
    """An agent. It is a description: nothing runs before `start` or `serve`.

    Args:
        name: How the server, the history and the approvers know it.
        model: `provider/model`, such as `anthropic/claude-sonnet-4-6`.
        instructions: The system prompt.
        tools: Functions decorated with `@tool`.
        output_type: A pydantic model, dataclass or TypedDict that the answer has to fit; None: the answer is text.
        max_turns: After how many model turns a run without an answer fails.
        max_tokens: The most tokens of one model reply.

    Raises ConfigurationError for what cannot work, TypeError for an option that it does not have.
    """

    def __init__(
        self,
        name: str,
        model: str,
        instructions: str = "",
        tools: Sequence[Tool[..., Any]] = (),
        output_type: Any = None,
        max_turns: int = 25,
        max_tokens: int = 4096,
        **unknown: Never,
    ) -> None:
        _refuse_unknown(unknown)
        self.name = name
        self.model = model
        self.instructions = instructions
        self.tools = _tools(name, tools)
        self.output_type = output_type
        self.definition = self._define(max_turns, max_tokens)

    def __repr__(self) -> str:
        return f"<agent {self.name!r} version {self.definition.version}>"

    def tool(self, name: str) -> Tool[..., Any] | None:
        """The tool of that name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def tool_hashes(self) -> dict[str, str]:
        """Tool name to input-schema hash: what a worker with this agent can run."""
        return {tool.name: tool.input_schema_hash for tool in self.definition.tools}

    def read_output(self, output: JsonValue) -> Any:
        """The answer as `output_type`. Raises pydantic's ValidationError when it does not fit."""
        return self._output.validate_python(output) if self._output else output

    @cached_property
    def _output(self) -> TypeAdapter[Any] | None:
        return TypeAdapter(self.output_type) if self.output_type is not None else None

    def _define(self, max_turns: int, max_tokens: int) -> AgentDefinition:
        try:
            return AgentDefinition(
                name=self.name,
                model=self.model,
                instructions=self.instructions,
                tools=tuple(tool.definition for tool in self.tools),
                output_schema=self._output_schema(),
                max_turns=max_turns,
                max_tokens=max_tokens,
            )
        except ValidationError as error:
            raise ConfigurationError(f"agent {self.name!r}: {describe(error)}") from error

    def _output_schema(self) -> JsonSchema | None:
        try:
            return self._output.json_schema(schema_generator=PlainSchema) if self._output else None
        except Exception as error:
            raise ConfigurationError(
                f"agent {self.name!r}: output_type {self.output_type!r} has no JSON Schema ({error}); "
                "use a pydantic model, a dataclass or a TypedDict"
            ) from error


def _tools(agent: str, tools: Sequence[Any]) -> tuple[Tool[..., Any], ...]:
    for given in tools:
        if not isinstance(given, Tool):
            raise ConfigurationError(f"agent {agent!r}: {given!r} is no tool; decorate the function with @tool")
    return tuple(tools)


def _refuse_unknown(unknown: dict[str, Any]) -> None:
    for option in unknown:
        close = difflib.get_close_matches(option, _OPTIONS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(_OPTIONS)}"
        raise TypeError(f"Agent() has no option {option!r}{hint}")
