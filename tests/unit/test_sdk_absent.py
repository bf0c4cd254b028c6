"""What comparable products have and this one has not: refused by name with what to do instead, never ignored."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import agentspan.agents as sdk
import agentspan.agents.testing as testing
from agentspan.agents import (
    Agent,
    AgentHandle,
    AgentRuntime,
    AgentspanError,
    NotSupported,
    _absent,
    configure,
    run,
    run_async,
    serve,
    start,
    start_async,
    stream,
    stream_async,
    tool,
)

ORIGINAL_NAMES = [
    "Strategy",
    "scatter_gather",
    "agent_tool",
    "HandoffCondition",
    "OnToolResult",
    "OnTextMention",
    "OnCondition",
    "Guardrail",
    "RegexGuardrail",
    "LLMGuardrail",
    "GuardrailResult",
    "guardrail",
    "OnFail",
    "Position",
    "http_tool",
    "api_tool",
    "mcp_tool",
    "human_tool",
    "wait_for_message_tool",
    "image_tool",
    "audio_tool",
    "video_tool",
    "pdf_tool",
    "index_tool",
    "search_tool",
    "ConversationMemory",
    "SemanticMemory",
    "CallbackHandler",
    "get_secret",
    "resolve_credentials",
    "LocalCodeExecutor",
    "DockerCodeExecutor",
    "CliConfig",
    "TextMentionTermination",
    "MaxMessageTermination",
    "TokenUsageTermination",
    "ClaudeCode",
    "GPTAssistantAgent",
    "PromptTemplate",
    "UserProxyAgent",
    "deploy",
    "deploy_async",
    "plan",
    "resume",
    "resume_async",
    "discover_agents",
    "AgentConfig",
    "agent",
    "skill",
    "Runner",
    "function_tool",
    "TerminalToolError",
    "DeploymentInfo",
    "AgentAPIError",
    "AgentNotFoundError",
    "Status",
    "FinishReason",
    "Plan",
    "Step",
    "Validation",
    "coerce_plan",
    "PrefillToolCall",
    "SkillLoadError",
    "ocg_agent",
    "RunResult",
    "ToolDef",
    "clear_discovery_cache",
    "CredentialRateLimitError",
    "Schedule",
    "ScheduleInfo",
    "ScheduleNotFound",
    "InvalidCronExpression",
    "schedules",
]


@pytest.mark.parametrize("name", sorted({*_absent.NAMES, *ORIGINAL_NAMES}))
def test_a_name_that_is_not_here_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(f"from agentspan.agents import {name}", {})
    assert isinstance(caught.value, NotSupported)
    assert str(caught.value) == f"agentspan.agents has no {name!r} in this release: {_absent.NAMES[name]}"


@pytest.mark.parametrize("name", sorted(_absent.TESTING_NAMES))
def test_a_name_that_the_testing_kit_lacks_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(f"from agentspan.agents.testing import {name}", {})
    expected = f"agentspan.agents.testing has no {name!r} in this release: {_absent.TESTING_NAMES[name]}"
    assert isinstance(caught.value, NotSupported)
    assert str(caught.value) == expected


def test_any_other_name_is_missing_as_usual() -> None:
    assert not hasattr(sdk, "nonsense")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from agentspan.agents import nonsense", {})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("agentspan.agents.guardrails")


def test_nothing_that_is_here_is_called_absent() -> None:
    assert not set(_absent.NAMES) & {*dir(sdk), *sdk.__all__}
    assert not set(_absent.TESTING_NAMES) & {*dir(testing), *testing.__all__}
    assert not set(_absent.METHODS) & {*dir(AgentHandle), *dir(AgentRuntime)}


AGENT = Agent("a", "p/m")


def body() -> None:
    """A tool."""


PLACES: list[tuple[str, Callable[..., Any], Any]] = [
    ("Agent()", lambda **given: Agent("a", "p/m", **given), _absent.AGENT_OPTIONS),
    ("@tool", lambda **given: tool(**given)(body), _absent.TOOL_OPTIONS),
    ("start()", lambda **given: start(AGENT, "x", **given), _absent.START_OPTIONS),
    ("run()", lambda **given: run(AGENT, "x", **given), _absent.START_OPTIONS),
    ("stream()", lambda **given: stream(AGENT, "x", **given), _absent.START_OPTIONS),
    ("serve()", lambda **given: serve(AGENT, **given), _absent.SERVE_OPTIONS),
    ("configure()", configure, _absent.CONFIGURE_OPTIONS),
    ("AgentRuntime()", AgentRuntime, _absent.CONFIGURE_OPTIONS),
]


@pytest.mark.parametrize(
    ("where", "call", "option", "instead"),
    [(where, call, option, instead) for where, call, options in PLACES for option, instead in options.items()],
)
def test_an_option_that_is_not_here_is_refused_whatever_its_value(
    where: str, call: Callable[..., Any], option: str, instead: str
) -> None:
    values: tuple[Any, ...] = (None, [], "x")
    for value in values:
        with pytest.raises(NotSupported) as caught:
            call(**{option: value})
        assert str(caught.value) == f"{where} has no option {option!r}: {instead}"
        assert isinstance(caught.value, AgentspanError | TypeError)


@pytest.mark.parametrize(("where", "call"), [(where, call) for where, call, _ in PLACES])
def test_a_misspelt_option_says_what_there_is(where: str, call: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="has no option 'nonsense'; it has "):
        call(nonsense=1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: start(AGENT, "x", idempotencykey="k"), r"start\(\) .* did you mean 'idempotency_key'\?"),  # type: ignore[call-arg]
        (lambda: run(AGENT, "x", on_evnt=print), r"run\(\) .* did you mean 'on_event'\?"),  # type: ignore[call-arg]
        (lambda: serve(AGENT, block=True), r"serve\(\) .* did you mean 'blocking'\?"),  # type: ignore[call-arg]
        (lambda: configure(server="x"), r"configure\(\) .* did you mean 'server_url'\?"),  # type: ignore[call-arg]
        (lambda: Agent("a", modle="p/m"), r"Agent\(\) .* did you mean 'model'\?"),  # type: ignore[call-arg]
        (lambda: start(AGENT, promt="x"), r"start\(\) .* did you mean 'prompt'\?"),  # type: ignore[call-arg]
        (lambda: AgentHandle(execution="exec-a"), r"AgentHandle\(\) .* did you mean 'execution_id'\?"),  # type: ignore[call-arg]
        (lambda: testing.mock_run(AGENT, "x", event=[]), r"mock_run\(\) .* did you mean 'events'\?"),  # type: ignore[call-arg]
        (lambda: tool(aproval_required=True)(body), r"@tool .* did you mean 'approval_required'\?"),  # type: ignore[call-overload]
        (lambda: tool(retry=1)(body), r"@tool .* did you mean 'retries'\?"),  # type: ignore[call-overload]
    ],
)
def test_a_near_miss_is_named(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        call()


@pytest.mark.parametrize("function", [start, start_async, run, AgentRuntime.serve_async, Agent.__init__])
def test_a_function_that_looks_at_its_options_shows_itself(function: Callable[..., Any]) -> None:
    own = inspect.unwrap(function)
    assert own is not function
    assert inspect.signature(function) == inspect.signature(own)
    assert function.__doc__ == own.__doc__
    assert inspect.iscoroutinefunction(function) is inspect.iscoroutinefunction(own)


@pytest.mark.parametrize("twin", [start_async, run_async, stream_async])
async def test_the_awaited_ones_refuse_the_same(twin: Callable[..., Any]) -> None:
    with pytest.raises(NotSupported, match=rf"{twin.__name__}\(\) has no option 'session_id': put it into metadata"):
        await twin(AGENT, "x", session_id="s")


@pytest.mark.parametrize(("name", "instead"), _absent.METHODS.items())
def test_a_method_that_is_not_here_says_what_to_call_instead(name: str, instead: str) -> None:
    runtime = AgentRuntime()
    for owner, kind in ((runtime, "AgentRuntime"), (AgentHandle("exec-1", runtime), "AgentHandle")):
        with pytest.raises(AttributeError) as caught:
            getattr(owner, name)
        assert str(caught.value) == f"{kind} has no {name!r}: {instead}"
        assert not hasattr(owner, "nonsense")
