"""`record` and `replay`: a recorded run is decided anew, by the production core and with the agent as it is today.

What came from outside (the model's replies, results, decisions) is taken from the recording; everything else the core
makes again. Where that differs from what was recorded, the agent has drifted from the recording.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue, ValidationError

from agentspan.agents._agent import Agent
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._facts import Fact, fact
from agentspan.agents.testing._feed import feed
from agentspan.agents.testing._recording import Recording, RecordingError, check_recordable, read, recording_of, write
from agentspan.agents.testing._run import Run
from agentspan.agents.testing._script import ScriptError
from agentspan.agents.testing._secrets import Redactor
from agentspan.agents.testing._traceback import of_the_test
from agentspan_schemas import JsonObject
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import describe

__tracebackhide__ = of_the_test(RecordingError)


_MEND = "record again with `pytest --agentspan-record` if the change is meant, else undo it in the agent"


class DriftError(RecordingError, AssertionError):
    """The agent is not the one that was recorded, or a run of it would not go as recorded; the text says where."""


def record(result: AgentResult, path: str | Path, agent: Agent, *, redact: Sequence[str] = ()) -> Path:
    """Write a run to a file that `replay` reads: what happened in it, and the agent as it is.

    Args:
        result: Of a real run (`handle.result()`), or of any other.
        path: The file, by convention `….json` in a folder `recordings` beside the test.
        redact: Names of args, fields and metadata whose values are taken out. Taken out anyway: what stands under a
            name like `password`, `token` or `api_key`, what looks like a key, and this process's own secrets.

    Raises RecordingError when the run could not be replayed from what would be written.
    """
    check_recordable(result, agent)
    if isinstance(redact, str):
        raise ConfigurationError(f"record: redact is {redact!r}, not a list of names; write redact=[{redact!r}]")
    recording = recording_of(result, agent, redact)
    try:
        _replayed(recording, agent, str(path), strict=True)
    except DriftError as error:
        raise RecordingError(
            f"the run cannot be recorded to {str(path)!r}, as its replay would differ: {error}. "
            "Where a redacted value is what differs, let the tool take any text there"
        ) from error
    write(Path(path), recording)
    return Path(path)


def replay(path: str | Path, agent: Agent, *, strict: bool = True) -> AgentResult:
    """The result of a recorded run, decided anew with this agent: no server, no model, no tool's code.

    Args:
        strict: Also refuse a recording whose replies were given to another model, other instructions or other tools,
            even when the run would go the same way.

    Raises DriftError (an AssertionError, too) that names the first event that would differ and what changed in the
    agent, RecordingError for a file that is missing or unreadable.
    """
    if not isinstance(agent, Agent):
        raise ConfigurationError(f"replay: agent is {agent!r}, not an Agent; write replay(path, my_agent)")
    return _replayed(read(path), agent, str(path), strict=strict)


def _replayed(recording: Recording, agent: Agent, name: str, *, strict: bool) -> AgentResult:
    redactor = Redactor(recording.redacted)
    definition = redactor.clean(agent.definition.model_dump(mode="json"))
    changes = _changes("", _filled(recording, name), definition)
    recorded = recording.events
    if not recorded or recorded[0].type != "started":
        raise RecordingError(f"recording {name!r}: events[0] is no 'started' event; record it again")
    first = recorded[0]
    run = Run(agent, first.prompt or "", first.metadata or {}, timeout_s=first.timeout_s)
    for index, was in enumerate(recorded):
        now = _produced(run, index, was)
        if now is None or redactor.clean(now.plain) != was.plain:
            raise _drift(name, index, was, now, changes)
    if len(run.events) > len(recorded):
        raise _drift(name, len(recorded), None, fact(run.events, len(recorded)), changes)
    if strict and changes:
        raise DriftError(
            f"agent {agent.name!r} has changed since recording {name!r}: {_listed(changes)}. Next: {_MEND}"
        )
    return run.result()


def _filled(recording: Recording, name: str) -> JsonObject:
    """The recorded definition with what it leaves out, so that a field that came later is no change."""
    try:
        return AgentDefinition.model_validate(recording.agent).model_dump(mode="json")
    except ValidationError as error:
        raise RecordingError(f"recording {name!r}, field 'agent': {describe(error)}; record it again") from error


def _produced(run: Run, index: int, was: Fact) -> Fact | None:
    """The event of today's run that stands where this one stood; None when none comes."""
    if len(run.events) <= index:
        try:
            feed(run, was)
        except ScriptError:
            return None
    return fact(run.events, index) if len(run.events) > index else None


def _drift(name: str, index: int, was: Fact | None, now: Fact | None, changes: Sequence[str]) -> DriftError:
    because = f"\nchanged in the agent: {_listed(changes)}" if changes else "\nnothing changed in the agent itself"
    return DriftError(
        f"the run would not go as recorded in {name!r}: events[{index}]\n"
        f"  recorded: {_said(was)}\n"
        f"  now:      {_said(now)}{because}\nNext: {_MEND}"
    )


def _said(was: Fact | None) -> str:
    return "nothing" if was is None else json.dumps(was.plain, ensure_ascii=False)


def _listed(changes: Sequence[str]) -> str:
    more = f", and {len(changes) - 5} more" if len(changes) > 5 else ""
    return "; ".join(changes[:5]) + more


def _changes(path: str, before: JsonValue, now: JsonValue) -> list[str]:
    """Where two definitions differ, each as a path with both values; tools by name."""
    match before, now:
        case dict(), dict():
            names = dict.fromkeys([*before, *now])
            return [
                change
                for name in names
                for change in _changes(f"{path}.{name}".lstrip("."), before.get(name), now.get(name))
            ]
        case list(), list() if path == "tools":
            return _changes("tools", _by_name(before), _by_name(now))
        case _:
            return [] if before == now else [f"{path} was {_short(before)}, is {_short(now)}"]


def _by_name(tools: list[JsonValue]) -> JsonValue:
    return {str(tool["name"]): tool for tool in tools if isinstance(tool, dict)}


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return "absent" if value is None else text if len(text) <= 60 else f"{text[:57]}..."
