"""`agent run`, `agent serve` and `agent stream`: an author's agent from a module, and a run's events as they come."""

import difflib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from agentspan.agents import Agent, AgentEvent, AgentHandle, AgentRuntime, ConfigurationError, EventType
from agentspan.agents._client import new_key
from agentspan.cli._api import Server, talk
from agentspan.cli._exits import ExitCode
from agentspan.cli._options import Format
from agentspan.cli._show import as_json, as_json_lines, compact, excerpt, moment, one, out, printable, say
from agentspan_schemas import events as e

LONGEST = 200
"""Of a result in an event's line; as JSON it is whole."""


def load_agent(target: str, folder: Path) -> Agent:
    """The agent that `module:name` means, or `path/to/module.py:name`, looked for from `folder`. Raises
    ConfigurationError when there is none."""
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ConfigurationError(f"{target!r} names no agent: write module:agent, as in my_app.agents:support_agent")
    if module_name.endswith(".py") or "/" in module_name:
        module_name = _module_of(module_name, name, folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the author's own code raises
        raise _not_imported(module_name, folder, error) from error
    found = getattr(module, name, None)
    if not isinstance(found, Agent):
        agents = [known for known, value in vars(module).items() if isinstance(value, Agent)]
        close = difflib.get_close_matches(name, agents, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its agents: {', '.join(agents) or 'none'}"
        raise ConfigurationError(f"{module_name!r} has no agent {name!r}; {hint}")
    return found


def text_of(given: str) -> str:
    """The words that are meant: `-` stands for standard input. Raises ConfigurationError when there are none."""
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        where = "standard input is empty" if given == "-" else "the text is empty"
        raise ConfigurationError(f"{where}, and the agent would have nothing to read: write what it is asked or told")
    return text


class Printer:
    """Events as data: a line each, a JSON document a line, or one JSON array that is closed in the end."""

    def __init__(self, output: Format) -> None:
        self._output = output
        self._has_any = False

    def __enter__(self) -> Self:
        if self._output is Format.JSON:
            out("[")
        return self

    def __exit__(self, *_: object) -> None:
        if self._output is Format.JSON:
            out("\n]" if self._has_any else "]")

    def show(self, event: AgentEvent) -> None:
        """One more."""
        match self._output:
            case Format.JSONL:
                as_json_lines([event.data])
            case Format.JSON:
                print(",\n" if self._has_any else "", event.data.model_dump_json(), sep="", end="", flush=True)
            case Format.TABLE:
                out(line(event))
        self._has_any = True


def run(agent: Agent, prompt: str, metadata: Mapping[str, str], output: Format, target: str) -> ExitCode:
    """Start a run, serve its tools and follow it to its end: OK when it completed."""
    with AgentRuntime() as runtime:
        try:
            handle = runtime.start(agent, prompt, metadata=metadata)
        except KeyboardInterrupt:
            say(f"interrupted while it starts; if it has begun, `agentspan agent list --agent {agent.name}` shows it")
            return ExitCode.INTERRUPTED
        say(f"run {handle.execution_id}")
        try:
            code = _follow(handle, output)
        except KeyboardInterrupt:
            say(
                f"{handle.execution_id} goes on without you; its tools run while somebody serves them:\n"
                f"  agentspan agent serve {target}\n  agentspan agent stream {handle.execution_id}"
            )
            return ExitCode.INTERRUPTED
    if output is Format.JSON:
        as_json(talk(lambda server: server.client.execution(handle.execution_id)))
    return code


def start_only(agent: Agent, prompt: str, metadata: Mapping[str, str], output: Format, target: str) -> None:
    """Start a run and leave it to other workers."""
    key = new_key()
    ref = talk(lambda server: server.client.start(agent.definition, prompt, metadata, key, None))
    if output is Format.TABLE:
        out(ref.execution_id)
    else:
        one(ref, output)
    say(f"its tools run while somebody serves them: `agentspan agent serve {target}`")


def serve(agents: list[Agent], *, autostart: bool | None = None) -> None:
    """Run these agents' tools until interrupted."""
    with AgentRuntime(autostart=autostart) as runtime:
        runtime.serve(*agents, blocking=False)
        say(f"serving {', '.join(agent.name for agent in agents)}; Ctrl-C ends it")
        try:
            runtime.serve(*agents)  # the first Ctrl-C ends it in peace
        except KeyboardInterrupt:
            say(
                "cut short: a call that was running is run again by another worker, or, if it may run once only, is in "
                "doubt when its lease is over: `agentspan approvals list` shows it then"
            )
            raise


async def stream(server: Server, execution_id: str, after: int, printer: Printer) -> None:
    """The events behind `after`, until the run has ended."""
    await server.client.execution(execution_id)  # an unknown one is refused at once
    async for event in server.client.stream(execution_id, after):
        printer.show(event)


def line(event: AgentEvent) -> str:
    """One event on one line."""
    parts = [
        event.tool_name or "",
        compact(event.args) if event.args is not None else "",
        _output(event.output),
        _again(event.data),
        f"({printable(event.reason)})" if event.reason else "",
    ]
    details = " ".join(part for part in parts if part)
    return f"{event.seq:>4}  {event.at.astimezone():%H:%M:%S}  {event.type:<16} {details}".rstrip()


def _follow(handle: AgentHandle, output: Format) -> ExitCode:
    """JSONL: events as data. Else events as messages; for people the answer is the data."""
    last: AgentEvent | None = None
    for event in handle.stream(after=0):
        last = event
        match output:
            case Format.JSONL:
                as_json_lines([event.data])
            case Format.TABLE | Format.JSON:
                say(line(event))
        if event.type is EventType.WAITING:
            approval = f"{event.execution_id}.{event.call_id}"
            say(f'      agentspan agent respond {approval} --approve   (or --reject "why")')
    if last is None or last.status != "completed":
        return ExitCode.REFUSED
    if output is Format.TABLE:
        out(_answer(last.output))
    return ExitCode.OK


def _module_of(path: str, name: str, folder: Path) -> str:
    """The module that a file is, seen from the folder: `my_app.agents` of `my_app/agents.py`."""
    file = Path(os.path.normpath(folder / path))
    file = file if file.suffix == ".py" else file.with_name(f"{file.name}.py")
    if not file.is_file():
        raise ConfigurationError(
            f"there is no file {str(file)!r}: write module:agent, as in my_app.agents:support_agent"
        )
    parts = file.relative_to(folder).with_suffix("").parts if file.is_relative_to(folder) else ()
    if not parts or any("." in part for part in parts):
        raise ConfigurationError(
            f"{str(file)!r} is no module of {str(folder)!r}: go to the folder that its imports begin in, "
            f"{str(file.parent)!r} maybe, and write module:agent, as in {file.stem}:{name}"
        )
    return ".".join(parts)


def _not_imported(module_name: str, folder: Path, error: Exception) -> ConfigurationError:
    """Why the module can't be had: there is none, or its own code raised, and where."""
    is_absent = isinstance(error, ModuleNotFoundError) and error.name is not None
    if is_absent and f"{module_name}.".startswith(f"{error.name}."):  # type: ignore[attr-defined]
        return ConfigurationError(
            f"there is no module {module_name!r} in {str(folder)!r} or on the path; go to the folder that holds it, "
            "or install its package"
        )
    what = error.msg if isinstance(error, SyntaxError) else error
    return ConfigurationError(
        f"importing {module_name!r} failed: {type(error).__name__}: {what} ({_where(error, folder)}); "
        f"try it with `{Path(sys.executable).name} -c 'import {module_name}'`"
    )


def _where(error: Exception, folder: Path) -> str:
    """The author's own line: it says more than that of the library which refused it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_inside(frame.filename, folder)] or frames
    return f"{own[-1].filename}:{own[-1].lineno}"


def _is_inside(file: str, folder: Path) -> bool:
    return Path(file).is_relative_to(folder) and "site-packages" not in Path(file).parts


def _again(event: e.Event) -> str:
    """Of what is tried again, when: it may be a day, in which nothing else is heard."""
    if not isinstance(event, e.RetryScheduled):
        return ""
    return f"attempt {event.attempt} at {moment(event.retry_at)}"


def _answer(output: object) -> str:
    return (
        printable(output, lines=True) if isinstance(output, str) else json.dumps(output, ensure_ascii=False, indent=2)
    )


def _output(output: object) -> str:
    if output in (None, ""):
        return ""
    return f"→ {excerpt(printable(output) if isinstance(output, str) else compact(output), LONGEST)}"
