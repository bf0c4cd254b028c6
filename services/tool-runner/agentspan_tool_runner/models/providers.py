"""Finds the provider of an agent's model by the part of its name before the slash.

Apart from the lane because the door that starts runs asks the same question earlier: is there anything missing?
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models._keys import setting_prefix
from agentspan_tool_runner.models.openai import compatible
from agentspan_tool_runner.models.ports import ModelError, ModelProvider, ModelRequest, ModelResponse, ModelSettings

GROUP = "agentspan.models"
"""The entry point group of model providers."""


class Providers:
    """All providers that are installed, each made when it is first asked for."""

    def __init__(
        self,
        makers: Mapping[str, Callable[[], ModelProvider]],
        otherwise: Callable[[str], ModelProvider | None] = lambda name: None,
    ) -> None:
        """`otherwise`: the provider of a name that has no maker, or None."""
        self._makers = dict(makers)
        self._otherwise = otherwise
        self._made: dict[str, ModelProvider] = {}

    @classmethod
    def installed(cls, settings: ModelSettings) -> "Providers":
        """The providers that installed packages offer, and the endpoints that are compatible with OpenAI's."""
        makers = {entry.name: _maker(entry, settings) for entry in entry_points(group=GROUP)}
        return cls(makers, lambda name: compatible(name, settings))

    def check(self, definition: AgentDefinition) -> str | None:
        """What is missing to serve this agent's model, and what to do about it; None when nothing is."""
        try:
            return self._provider_of(definition).check(definition)
        except ModelError as error:
            return error.message

    async def reply(self, request: ModelRequest) -> ModelResponse:
        """The reply of the request's model. Raises ModelError."""
        return await self._provider_of(request.definition).reply(request)

    async def aclose(self) -> None:
        """Close every provider that was made."""
        while self._made:
            _, provider = self._made.popitem()
            await provider.aclose()

    def _provider_of(self, definition: AgentDefinition) -> ModelProvider:
        name = definition.model.partition("/")[0]
        if name not in self._made:
            made = self._makers[name]() if name in self._makers else self._otherwise(name)
            if made is None:
                raise _unknown(definition, self._makers)
            self._made[name] = made
        return self._made[name]


def _maker(entry: EntryPoint, settings: ModelSettings) -> Callable[[], ModelProvider]:
    def make() -> ModelProvider:
        try:
            made: ModelProvider = entry.load()(settings)
        except ImportError as error:
            raise ModelError(
                "unknown_provider",
                f"model provider {entry.name!r} cannot be imported on the server: {error}; install what it needs there",
                retryable=False,
            ) from error
        return made

    return make


def _unknown(definition: AgentDefinition, makers: Mapping[str, object]) -> ModelError:
    name = definition.model.partition("/")[0]
    known = ", ".join(f"{name}/…" for name in sorted(makers)) or "none"
    return ModelError(
        "unknown_provider",
        f"no provider for model {definition.model!r} of agent {definition.name!r}; the server has {known}: "
        f"use one of these, set {setting_prefix(name)}_BASE_URL on the server if it speaks OpenAI's API, "
        f"or install a package with an entry point in group {GROUP!r}",
        retryable=False,
    )
