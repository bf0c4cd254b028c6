"""`agent run`, `agent serve` and `agent stream`: an author's agent from a module, and a run's events as they come."""

import difflib
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from agentspan.agents import Agent, AgentEvent, AgentHandle, AgentRuntime, ConfigurationError, EventType
from agentspan.cli._api import Server
from agentspan.cli._exits import ExitCode
from agentspan.cli._options import StreamFormat
from agentspan.cli._show import as_json_lines, compact, out, printable, say
from agentspan_schemas.http import ExecutionRef


def load_agent(target: str, folder: Path) -> Agent:
    """The agent that `module:name` means, looked for from `folder`. Raises ConfigurationError when there is none."""
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ConfigurationError(f"{target!r}: write module:agent, as in my_app.agents:support_agent")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"there is no module {module_name!r} in {str(folder)!r} or on the path") from error
    found = getattr(module, name, None)
    if not isinstance(found, Agent):
        agents = [known for known, value in vars(module).items() if isinstance(value, Agent)]
        close = difflib.get_close_matches(name, agents, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its agents: {', '.join(agents) or 'none'}"
        raise ConfigurationError(f"{module_name!r} has no agent {name!r}; {hint}")
    return found


def run(agent: Agent, prompt: str, metadata: Mapping[str, str], output: StreamFormat, target: str) -> ExitCode:
    """Start a run, serve its tools and follow it to its end: OK when it completed."""
    with AgentRuntime() as runtime:
        handle = runtime.start(agent, prompt, metadata=metadata)
        say(f"run {handle.execution_id}")
        try:
            return _follow(handle, output)
        except KeyboardInterrupt:
            say(
                f"{handle.execution_id} goes on without you; its tools run while somebody serves them:\n"
                f"  agentspan agent serve {target}\n  agentspan agent stream {handle.execution_id}"
            )
            return ExitCode.INTERRUPTED


async def start(server: Server, agent: Agent, prompt: str, metadata: Mapping[str, str], key: str) -> ExecutionRef:
    """Start a run and leave it to other workers."""
    return await server.client.start(agent.definition, prompt, metadata, key, None)


def serve(agents: list[Agent]) -> None:
    """Run these agents' tools until interrupted."""
    with AgentRuntime() as runtime:
        runtime.serve(*agents, blocking=False)
        say(f"serving {', '.join(agent.name for agent in agents)}; Ctrl-C ends it")
        runtime.serve(*agents)


async def stream(server: Server, execution_id: str, after: int, output: StreamFormat) -> None:
    """The events behind `after`, until the run has ended."""
    await server.client.execution(execution_id)  # an unknown one is refused at once
    async for event in server.client.stream(execution_id, after):
        show(event, output)


def show(event: AgentEvent, output: StreamFormat) -> None:
    """One event, as data."""
    match output:
        case StreamFormat.JSONL:
            as_json_lines([event.data])
        case StreamFormat.TEXT:
            out(line(event))


def line(event: AgentEvent) -> str:
    """One event on one line."""
    parts = [
        event.tool_name or "",
        compact(event.args) if event.args is not None else "",
        _output(event.output),
        f"({printable(event.reason)})" if event.reason else "",
    ]
    details = " ".join(part for part in parts if part)
    return f"{event.seq:>4}  {event.at.astimezone():%H:%M:%S}  {event.type:<16} {details}".rstrip()


def _follow(handle: AgentHandle, output: StreamFormat) -> ExitCode:
    """Text: events as messages, the answer as data. JSONL: events as data."""
    last: AgentEvent | None = None
    for event in handle.stream(after=0):
        last = event
        match output:
            case StreamFormat.JSONL:
                show(event, output)
            case StreamFormat.TEXT:
                say(line(event))
        if event.type is EventType.WAITING:
            approval = f"{event.execution_id}.{event.call_id}"
            say(f'      agentspan agent respond {approval} --approve   (or --reject "why")')
    if last is None or last.status != "completed":
        return ExitCode.REFUSED
    if output is StreamFormat.TEXT:
        out(_answer(last.output))
    return ExitCode.OK


def _answer(output: object) -> str:
    return (
        printable(output, lines=True) if isinstance(output, str) else json.dumps(output, ensure_ascii=False, indent=2)
    )


def _output(output: object) -> str:
    if output in (None, ""):
        return ""
    return f"→ {printable(output) if isinstance(output, str) else compact(output)}"
