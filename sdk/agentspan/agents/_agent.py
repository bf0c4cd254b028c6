"""`Agent`: a model, its instructions, its tools and the shape of its answer."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from agentspan.agents._absent import AGENT_OPTIONS, takes
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._signature import PlainSchema
from agentspan.agents._tools import Tool
from agentspan_schemas import JsonSchema
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.errors import describe


class Agent:
    """An agent. It is a description: nothing runs before `start` or `serve`.

    >>> agent = Agent("greeter", "anthropic/claude-sonnet-4-6", "Greet in one sentence.", temperature=0.2)
    >>> agent.definition.max_turns
    25

    Args:
        name: How the server, the history and the approvers know it.
        model: `provider/model`, such as `anthropic/claude-sonnet-4-6`.
        instructions: The system prompt: a text, or a function without parameters that returns one. The function is
            called at each start, and that run keeps what it returned.
        tools: Functions decorated with `@tool`.
        output_type: A pydantic model, dataclass or TypedDict that the answer has to fit; None: the answer is text.
        max_turns: After how many model turns a run without an answer fails.
        max_tokens: The most tokens of one model reply.
        temperature: From 0, for answers that vary little, to 2; None: the model's own default.
        timeout_s: After how many seconds a run without an answer fails, the time that it waits for people included;
            None: never. `start(timeout_s=)` overrides it.

    Raises ConfigurationError for what cannot work, TypeError for an option that it does not have.
    """

    @takes("Agent()", AGENT_OPTIONS)
    def __init__(
        self,
        name: str,
        model: str,
        instructions: str | Callable[[], str] = "",
        tools: Sequence[Tool[..., Any]] = (),
        output_type: Any = None,
        max_turns: int = 25,
        max_tokens: int = 4096,
        temperature: float | None = None,
        timeout_s: float | None = None,
    ) -> None:
        _check_names(name, model)
        self.name = name
        self.model = model
        self.instructions = instructions
        self.tools = _tools(name, tools)
        self.output_type = output_type
        if callable(instructions):
            _check_instructions(name, instructions)
        text = "" if callable(instructions) else instructions
        self._definition = self._define(text, max_turns, max_tokens, temperature, timeout_s)

    def __repr__(self) -> str:
        return f"<agent {self.name!r} with model {self.model!r}>"

    @property
    def definition(self) -> AgentDefinition:
        """The agent as the server knows it. Where instructions are a function, it is called each time."""
        if not callable(self.instructions):
            return self._definition
        text = self.instructions()
        if not isinstance(text, str):
            raise ConfigurationError(
                f"agent {self.name!r}: instructions() returned a {type(text).__name__}; return the text"
            )
        return AgentDefinition.model_validate({**dict(self._definition), "instructions": text})

    def tool(self, name: str) -> Tool[..., Any] | None:
        """The tool of that name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def tool_hashes(self) -> dict[str, str]:
        """Tool name to input-schema hash: what a worker with this agent can run."""
        return {tool.name: tool.input_schema_hash for tool in self._definition.tools}

    def read_output(self, output: JsonValue) -> Any:
        """The answer as `output_type`. Raises pydantic's ValidationError when it does not fit."""
        return self._output.validate_python(output) if self._output else output

    @cached_property
    def _output(self) -> TypeAdapter[Any] | None:
        return TypeAdapter(self.output_type) if self.output_type is not None else None

    def _define(
        self, instructions: str, max_turns: int, max_tokens: int, temperature: float | None, timeout_s: float | None
    ) -> AgentDefinition:
        try:
            return AgentDefinition(
                name=self.name,
                model=self.model,
                instructions=instructions,
                tools=tuple(tool.definition for tool in self.tools),
                output_schema=self._output_schema(),
                max_turns=max_turns,
                max_tokens=max_tokens,
                temperature=temperature,
                timeout_s=timeout_s,
            )
        except ValidationError as error:
            raise ConfigurationError(f"agent {self.name!r}: {describe(error)}") from error

    def _output_schema(self) -> JsonSchema | None:
        try:
            return self._output.json_schema(schema_generator=PlainSchema) if self._output else None
        except Exception as error:
            raise ConfigurationError(
                f"agent {self.name!r}: output_type {self.output_type!r} has no JSON Schema ({_first_line(error)}); "
                "use a pydantic model, a dataclass or a TypedDict"
            ) from error


def _first_line(error: Exception) -> str:
    """What pydantic says, without its advice on schemas of one's own."""
    return str(error).partition("\n")[0].partition(". Set ")[0]


def _check_names(name: object, model: object) -> None:
    """In words what most get wrong first; the rest is the contract's to say."""
    if isinstance(name, str) and any(map(str.isspace, name)):
        raise ConfigurationError(f"agent {name!r}: a name has no spaces; write {'_'.join(name.split())!r}")
    if isinstance(model, str) and "/" not in model:
        raise ConfigurationError(
            f"agent {name!r}: model {model!r} names no provider; write provider/model, as in "
            "'anthropic/claude-sonnet-4-6'"
        )


def _tools(agent: str, tools: object) -> tuple[Tool[..., Any], ...]:
    if not isinstance(tools, Iterable) or isinstance(tools, str):
        raise ConfigurationError(f"agent {agent!r}: tools={tools!r} is no list; write tools=[one, another]")
    all_given = tuple(tools)
    for given in all_given:
        if not isinstance(given, Tool):
            raise ConfigurationError(f"agent {agent!r}: {given!r} is no tool; decorate the function with @tool")
    return all_given


def _check_instructions(agent: str, instructions: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(instructions):
        raise ConfigurationError(f"agent {agent!r}: instructions is an async function; make it a plain one")
    try:
        inspect.signature(instructions).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"agent {agent!r}: instructions is called without arguments, and {instructions!r} needs some ({error})"
        ) from error
