"""What comparable products have and this release does not: each is refused by name, with what to do instead.

Apart from the places that refuse, so that nothing is ever accepted and ignored, and one table says what is missing.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

from agentspan.agents._errors import NotSupported

__tracebackhide__ = True  # a test that gives a wrong option shows its own line

P = ParamSpec("P")
R = TypeVar("R")

_TEAM = "one agent runs at a time; call another from a tool with start(), or chain runs in your own code"
_GUARD = "check inside the tool, require approval, or give the agent an output_type"
_SERVER_TOOL = "write a @tool that makes the request: it runs in your process, with your client and your secrets"
_SECRET = "tools run in your own process: read secrets from its environment"
_HOOK = "follow handle.stream(): every step is an event"
_MEMORY = "put what it should know into the prompt or metadata, or give it a tool that looks it up"
_CODE = "write a @tool that runs the code where you allow it"
_STOP = "max_turns, timeout_s and handle.cancel() end a run"
_FOREIGN = "write the agent as an Agent with @tool functions"
_MEDIA = "write a @tool that calls the service"
_SCHEDULE = "start runs from your scheduler with start(..., idempotency_key=...), or send tickets"

NAMES: Mapping[str, str] = {
    **dict.fromkeys(("Strategy", "scatter_gather", "agent_tool", "plan_execute"), _TEAM),
    **dict.fromkeys(("HandoffCondition", "OnToolResult", "OnTextMention", "OnCondition", "TextGate"), _TEAM),
    **dict.fromkeys(("Action", "Context", "Generate", "Op", "Plan", "Ref", "Step", "Validation", "coerce_plan"), _TEAM),
    "PrefillToolCall": _TEAM,
    **dict.fromkeys(("agent", "AgentDef"), "make an Agent(name, model, instructions, tools)"),
    **dict.fromkeys(("Guardrail", "GuardrailDef", "GuardrailResult", "RegexGuardrail", "LLMGuardrail"), _GUARD),
    **dict.fromkeys(("guardrail", "OnFail", "Position"), _GUARD),
    **dict.fromkeys(("http_tool", "api_tool", "mcp_tool"), _SERVER_TOOL),
    **dict.fromkeys(("human_tool", "wait_for_message_tool"), "require approval of a tool, or use handle.send()"),
    **dict.fromkeys(("image_tool", "audio_tool", "video_tool", "pdf_tool", "index_tool", "search_tool"), _MEDIA),
    **dict.fromkeys(("ConversationMemory", "SemanticMemory", "MemoryStore", "MemoryEntry"), _MEMORY),
    **dict.fromkeys(("CallbackHandler",), _HOOK),
    **dict.fromkeys(("get_secret", "get_credential", "resolve_credentials", "CredentialFile"), _SECRET),
    **dict.fromkeys(("CredentialNotFoundError", "CredentialAuthError", "CredentialServiceError"), _SECRET),
    "CredentialRateLimitError": _SECRET,
    **dict.fromkeys(("CodeExecutor", "LocalCodeExecutor", "DockerCodeExecutor", "JupyterCodeExecutor"), _CODE),
    **dict.fromkeys(("ServerlessCodeExecutor", "CodeExecutionConfig", "CliConfig", "ExecutionResult"), _CODE),
    **dict.fromkeys(("TerminationCondition", "TextMentionTermination", "StopMessageTermination"), _STOP),
    **dict.fromkeys(("MaxMessageTermination", "TokenUsageTermination", "TerminationResult"), _STOP),
    **dict.fromkeys(("ClaudeCode", "GPTAssistantAgent", "Runner", "function_tool", "skill", "load_skills"), _FOREIGN),
    **dict.fromkeys(("RunResult", "SkillLoadError"), _FOREIGN),
    **dict.fromkeys(("ocg_agent", "ocg_tools", "OCG_SYSTEM_PROMPT"), _SERVER_TOOL),
    "ToolDef": "decorate a function with @tool: tool.definition is what the server knows of it",
    "UserProxyAgent": "a person decides through approvals, and speaks through handle.send()",
    "TerminalToolError": "raise any exception: with retries=0, the default, the model reads it at once",
    "PromptTemplate": "give Agent(instructions=) a text or a function that returns one",
    **dict.fromkeys(("deploy", "deploy_async", "DeploymentInfo"), "serve(agent) registers it, and runs its tools"),
    "clear_discovery_cache": "agents are imported by name: nothing is discovered",
    **dict.fromkeys(("plan", "discover_agents", "prepare"), "agents need no compiling: start() and serve() register"),
    **dict.fromkeys(
        ("resume", "resume_async"), "serve(agent, blocking=False), then AgentHandle(execution_id): the run goes on"
    ),
    **dict.fromkeys(("Schedule", "ScheduleInfo", "schedules", "schedules_client"), _SCHEDULE),
    **dict.fromkeys(("ScheduleError", "ScheduleNameConflict", "ScheduleNotFound"), _SCHEDULE),
    "InvalidCronExpression": _SCHEDULE,
    "AgentConfig": "configure(server_url=...) or AgentRuntime(server_url=...)",
    "is_tracing_enabled": "the server traces; the run's events say what happened and when",
    "AgentAPIError": "catch RequestFailed, which has .status and .code",
    "AgentNotFoundError": "catch NotFound",
    "Status": "compare with the strings: result.status == 'completed'",
    "FinishReason": "result.status, result.error and result.output_error say how it ended",
}
"""Names that one might import from agentspan.agents."""

_EVALUATION = "run the cases with pytest: agentspan_runtime for the real server, expect(result) for what has to be true"

TESTING_NAMES: Mapping[str, str] = {
    "AgentResultExpectation": "it is Expectation, which expect(result) returns",
    **dict.fromkeys(("validate_strategy", "StrategyViolation"), _TEAM),
    **dict.fromkeys(("CorrectnessEval", "EvalCase", "EvalCaseResult"), _EVALUATION),
    **dict.fromkeys(("EvalCheckResult", "EvalSuiteResult"), _EVALUATION),
}
"""Names that one might import from agentspan.agents.testing."""

AGENT_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("agents", "strategy", "router", "handoffs", "allowed_transitions", "introduction"), _TEAM),
    **dict.fromkeys(("gate", "include_contents", "planner", "enable_planning", "plan_source", "synthesize"), _TEAM),
    **dict.fromkeys(("fallback", "fallback_max_turns", "planner_context", "prefill_tools"), _TEAM),
    **dict.fromkeys(("guardrails", "required_tools", "masked_fields"), _GUARD),
    **dict.fromkeys(("memory", "context_window_budget"), _MEMORY),
    **dict.fromkeys(("callbacks", "before_agent_callback", "after_agent_callback"), _HOOK),
    **dict.fromkeys(("before_model_callback", "after_model_callback"), _HOOK),
    "credentials": _SECRET,
    **dict.fromkeys(("local_code_execution", "allowed_languages", "allowed_commands", "code_execution"), _CODE),
    **dict.fromkeys(("cli_commands", "cli_allowed_commands", "cli_config"), _CODE),
    **dict.fromkeys(("stop_when", "termination"), _STOP),
    "dependencies": "tools are your own functions: let them close over what they need",
    "stateful": "a call runs in whichever process serves its tool: keep facts in a database of yours",
    "timeout_seconds": "it is timeout_s",
    "metadata": "give it to start(): metadata belongs to a run",
    **dict.fromkeys(("reasoning_effort", "thinking_budget_tokens"), "the model's own default is used"),
    "base_url": "the server calls models: its environment names their addresses",
}
"""Options that one might give to Agent()."""

TOOL_OPTIONS: Mapping[str, str] = {
    "timeout_seconds": "it is timeout_s",
    "retry_count": "it is retries",
    **dict.fromkeys(("retry_delay_seconds", "retry_policy"), "retries=n waits longer before each of n attempts"),
    "guardrails": _GUARD,
    "credentials": _SECRET,
    "stateful": AGENT_OPTIONS["stateful"],
    "external": "declare the tool where its code is, and serve() it there under the same agent",
    "max_calls": "concurrency=n limits how many run at once; max_turns limits the run",
}
"""Options that one might give to @tool."""

START_OPTIONS: Mapping[str, str] = {
    "media": "put an address into the prompt, or let a tool fetch it",
    "session_id": "put it into metadata: tools find it in their context, and history keeps it",
    "credentials": _SECRET,
    "runtime": "call the method of that runtime: runtime.start(...)",
    "timeout": "it is timeout_s",
    "timeout_seconds": "it is timeout_s",
    "context": "it is metadata",
    "version": "the agent that you hand over is the version that runs",
}
"""Options that one might give to start(), run() or stream()."""

SERVE_OPTIONS: Mapping[str, str] = {
    "packages": "import your agents and name them: serve(agent, other)",
    "runtime": "call the method of that runtime: runtime.serve(...)",
}

CONFIGURE_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("api_key", "api_secret", "auth_key", "auth_secret"),
        "the server listens on this machine only; put an authenticating proxy in front of another one",
    ),
    "auto_start_server": "it is autostart",
    **dict.fromkeys(("llm_retry_count", "auto_register_integrations"), "the server calls models, and retries them"),
    **dict.fromkeys(
        ("worker_poll_interval_ms", "worker_thread_count", "auto_start_workers", "daemon_workers"),
        "workers are told of calls, and run each sync tool in a thread; @tool(concurrency=n) limits one tool",
    ),
    "streaming_enabled": "events always stream",
    "log_level": "logging.getLogger('agentspan').setLevel(...)",
    **dict.fromkeys(("credential_strict_mode", "secret_strict_mode"), _SECRET),
    "config": "name the options: configure(server_url=...)",
}
"""Options that one might give to configure() or AgentRuntime()."""


METHODS: Mapping[str, str] = {
    **dict.fromkeys(("stop", "stop_async"), "cancel() ends the run; send() can ask the agent to finish"),
    **dict.fromkeys(("signal", "signal_async"), "send() tells the agent something"),
    **dict.fromkeys(("deploy", "deploy_async"), NAMES["deploy"]),
    **dict.fromkeys(("plan", "prepare"), NAMES["plan"]),
    "schedules_client": _SCHEDULE,
}
"""Methods that one might look for on a handle or a runtime."""


def takes(
    where: str, absent: Mapping[str, str] = MappingProxyType({}), *, otherwise: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that refuses an option that it does not have: NotSupported with what to do instead, else TypeError.
    `otherwise` is what to do about one that is like none; without it, those that there are.

    It looks before Python does, which would miss the option that was meant and not name the one that was misspelt.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = _named(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            _refuse(where, kwargs, absent, known, otherwise)
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            _refuse(where, kwargs, absent, known, otherwise)
            return await cast(Any, function(*args, **kwargs))

        return cast("Callable[P, R]", awaited) if inspect.iscoroutinefunction(function) else called

    return decorate


def _named(function: Callable[..., Any]) -> frozenset[str]:
    """What can be given by its name."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return frozenset(each.name for each in parameters if each.kind in named) - {"self", "cls"}


def _refuse(
    where: str, given: Iterable[str], absent: Mapping[str, str], known: frozenset[str], otherwise: str | None
) -> None:
    for option in given:
        if option in known:
            continue
        if instead := absent.get(option):
            raise NotSupported(f"{where} has no option {option!r}: {instead}")
        close = get_close_matches(option, sorted(known), n=1)
        hint = f"did you mean {close[0]!r}?" if close else otherwise or f"it has {', '.join(sorted(known))}"
        raise TypeError(f"{where} has no option {option!r}; {hint}")


def missing_name(module: str, name: str, absent: Mapping[str, str] = NAMES) -> Exception:
    """What to raise when the module is asked for a name that it does not have."""
    if instead := absent.get(name):
        return NotSupported(f"{module} has no {name!r} in this release: {instead}")
    return AttributeError(f"module {module!r} has no attribute {name!r}")


def missing_method(owner: str, name: str) -> Exception:
    """What to raise when a handle or a runtime is asked for a method that it does not have."""
    hint = METHODS.get(name)
    return AttributeError(f"{owner} has no {name!r}" + (f": {hint}" if hint else ""))
