"""What an agent is, as the server knows it: the definition that a worker registers, addressed by its content."""

from functools import cached_property
from typing import Self

from pydantic import Field, field_validator, model_validator

from agentspan_schemas._base import Effects, JsonSchema, Name, Wire
from agentspan_schemas.canonical import content_hash

_LATER = ("temperature", "timeout_s")
"""Fields that came after the first agents were registered."""


class ToolDefinition(Wire):
    """One tool of an agent: its signature as JSON Schema and its promises."""

    name: Name
    description: str = ""
    input_schema: JsonSchema
    approval_required: bool = False
    effects: Effects = "idempotent"
    timeout_s: float | None = Field(default=None, gt=0)
    """How long one attempt may run; None: as long as its worker lives."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often an attempt that raised is tried again before the model sees the error; `idempotent` tools only."""
    approval_expires_s: float | None = Field(default=None, gt=0)
    """After how long an undecided approval is rejected; None: it waits for ever."""

    @model_validator(mode="after")
    def _once_is_never_retried(self) -> Self:
        if self.effects == "once" and self.retries:
            raise ValueError(
                f"tool {self.name!r} has effects='once' and retries={self.retries}: it is never re-run blindly"
            )
        return self

    @cached_property
    def input_schema_hash(self) -> str:
        """What a worker must have for this tool to take its calls: the hash of the input schema's meaning.

        Titles and descriptions don't count: a worker with a changed docstring finishes the old run.
        """
        return schema_hash(self.input_schema)


class AgentDefinition(Wire):
    """An agent: a model, its instructions, its tools, and the shape of its answer."""

    name: Name
    model: str = Field(pattern=r"^[a-z0-9_\-]+/.+$", examples=["anthropic/claude-sonnet-4-6"])
    instructions: str = ""
    tools: tuple[ToolDefinition, ...] = ()
    output_schema: JsonSchema | None = None
    max_turns: int = Field(default=25, ge=1, le=1000)
    max_tokens: int = Field(default=4096, ge=1)
    """The most tokens of one model reply."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """None: the model's own default."""
    timeout_s: float | None = Field(default=None, gt=0)
    """After how long a run without an answer fails, where its start does not say; None: never."""

    @field_validator("tools")
    @classmethod
    def _names_differ(cls, tools: tuple[ToolDefinition, ...]) -> tuple[ToolDefinition, ...]:
        names = [tool.name for tool in tools]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two tools named {twice[0]!r}; rename one")
        return tools

    @cached_property
    def version(self) -> str:
        """Twelve hex digits of the definition's hash: the same definition is the same version everywhere."""
        content = self.model_dump(mode="json")
        for name in _LATER:
            if content[name] is None:  # or what was registered before there was such a field would change its version
                del content[name]
        return content_hash(content)[:12]

    def tool(self, name: str) -> ToolDefinition | None:
        """The tool of that name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)


def schema_hash(schema: JsonSchema) -> str:
    """Hash of a JSON Schema without its titles, descriptions and examples."""
    return content_hash(_meaning(schema))[:16]


def _meaning(node: object, *, of_properties: bool = False) -> object:
    match node:
        case dict() if of_properties:
            return {key: _meaning(value) for key, value in node.items()}
        case dict():
            return {
                key: _meaning(value, of_properties=key in ("properties", "$defs"))
                for key, value in node.items()
                if key not in ("title", "description", "examples")
            }
        case list():
            return [_meaning(value) for value in node]
        case _:
            return node
