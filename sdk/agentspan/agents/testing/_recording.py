"""A real run as a file beside the tests: written by `record`, read by `replay` and by a ScriptedModel.

The file is JSON with a version, an event a paragraph, so that a review shows what changed; secrets are taken out.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from agentspan.agents._agent import Agent
from agentspan.agents._errors import AgentspanError, ConfigurationError
from agentspan.agents._result import AgentResult
from agentspan.agents.testing._facts import Fact, facts
from agentspan.agents.testing._secrets import Redactor
from agentspan.agents.testing._traceback import of_the_test
from agentspan_schemas import JsonObject, Request
from agentspan_schemas.codec import describe

FORMAT: Final = "agentspan-recording"

VERSION: Final = 1
"""The version that this code writes and reads."""


class RecordingError(AgentspanError):
    """A recording that is missing, unreadable, or that cannot be made; the text says what to do."""


__tracebackhide__ = of_the_test(RecordingError)


class Recording(Request):
    """What stands in the file."""

    format: Literal["agentspan-recording"] = FORMAT
    version: int = VERSION
    redacted: tuple[str, ...] = ()
    """The names that were taken out besides those that are secret by themselves."""
    agent: JsonObject
    """The agent's definition as it was, without what is as by default."""
    events: tuple[Fact, ...]

    def text(self) -> str:
        """The file's text: stable, for a diff that can be read."""
        head = self.model_dump(mode="json", exclude={"events"})
        return json.dumps({**head, "events": [fact.plain for fact in self.events]}, indent=2, ensure_ascii=False) + "\n"


def recording_of(result: AgentResult, agent: Agent, redact: Sequence[str] = ()) -> Recording:
    """The recording of a run, without its secrets."""
    redactor = Redactor(redact, os.environ)
    kept = (redactor.clean(fact.plain) for fact in facts([event.data for event in result.events]))
    definition = redactor.clean(agent.definition.model_dump(mode="json", exclude_defaults=True))
    return Recording.model_validate({"redacted": list(redact), "agent": definition, "events": list(kept)})


def read(path: str | Path) -> Recording:
    """The recording of that file. Raises RecordingError."""
    path = Path(path)
    try:
        given = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecordingError(
            f"there is no recording {str(path)!r}; make it with record(result, path, agent), or, where a test replays "
            "it, with `pytest --agentspan-record`"
        ) from None
    except (OSError, ValueError) as error:
        raise RecordingError(f"recording {str(path)!r} cannot be read: {error}; record it again") from error
    _check_version(path, given)
    try:
        return Recording.model_validate(given)
    except ValidationError as error:
        raise RecordingError(f"recording {str(path)!r}: {describe(error)}; record it again") from error


def write(path: Path, recording: Recording) -> None:
    """Write the file, and the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(recording.text(), encoding="utf-8")


def check_recordable(result: object, agent: object) -> None:
    """Raises ConfigurationError for what cannot be recorded."""
    if not isinstance(result, AgentResult):
        raise ConfigurationError(f"record: result is {result!r}, not a run's result; give handle.result()")
    if not isinstance(agent, Agent):
        raise ConfigurationError(f"record: agent is {agent!r}, not an Agent; write record(result, path, my_agent)")
    ran = result.events[0].data.agent
    if ran != agent.name:
        raise ConfigurationError(f"record: the run is one of agent {ran!r}, not of {agent.name!r}; give that agent")


def _check_version(path: Path, given: object) -> None:
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise RecordingError(
            f"{str(path)!r} is no recording: its 'format' is not {FORMAT!r}; give a file that record() wrote"
        )
    version = given.get("version")
    if version != VERSION:
        raise RecordingError(
            f"recording {str(path)!r} has version {version!r}, and this Agentspan reads version {VERSION}; "
            "record it again, or install the Agentspan that wrote it"
        )
