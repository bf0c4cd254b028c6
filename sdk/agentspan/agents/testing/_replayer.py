"""`Replayer`: a test's runs from their recordings, or for real, to record them. What `agentspan_replay` is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentspan.agents._agent import Agent
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._result import AgentResult
from agentspan.agents._runtime import AgentRuntime
from agentspan.agents.testing._approvals import Approvals, Reviewer
from agentspan.agents.testing._live import run_live
from agentspan.agents.testing._recording import RecordingError, read
from agentspan.agents.testing._replay import DriftError, record, replay
from agentspan.agents.testing._secrets import Redactor
from agentspan.agents.testing._traceback import of_the_test

__tracebackhide__ = of_the_test(RecordingError)


RUN_WITHIN_S = 300.0
"""How long a real run may take that is recorded, where nobody says."""


class Replayer:
    """Call it as `runtime.start` is called; the result is that of the recorded run.

    Args:
        path: The recording of the run that has no name of its own.
        live: Gives a runtime to run for real on; None: replay.
    """

    def __init__(self, path: Path, live: Callable[[], AgentRuntime] | None = None) -> None:
        self.path = path
        self._live = live
        self._used: set[Path] = set()

    def __call__(
        self,
        agent: Agent,
        prompt: str,
        *,
        name: str | None = None,
        approvals: Approvals | None = None,
        metadata: Mapping[str, Any] | None = None,
        redact: Sequence[str] = (),
        strict: bool = True,
        timeout_s: float | None = None,
    ) -> AgentResult:
        """The result of the recorded run.

        Args:
            name: Tells the runs of a test apart that has several.
            approvals: Who decides the waiting calls while it is recorded, as in `mock_run`.
            redact: As in `record`.
            strict: As in `replay`.
            timeout_s: How long the real run may take; None: as the agent says, else five minutes.

        Raises DriftError when agent, prompt or metadata are not those that were recorded.
        """
        path = self.path if name is None else self.path.with_stem(f"{self.path.stem}-{name}")
        if path in self._used:
            raise ConfigurationError(
                f"recording {str(path)!r} is of another run of this test; give this one name='...'"
            )
        self._used.add(path)
        reviewer = Reviewer(approvals)
        if self._live is not None:
            runtime = self._live()
            timeout_s = timeout_s or (None if agent.definition.timeout_s else RUN_WITHIN_S)
            real = run_live(runtime, agent, prompt, reviewer, metadata=metadata, timeout_s=timeout_s)
            record(real, path, agent, redact=redact)
        _check_start(path, prompt, dict(metadata or {}))
        return replay(path, agent, strict=strict)


def _check_start(path: Path, prompt: str, metadata: dict[str, Any]) -> None:
    recording = read(path)
    redactor, began = Redactor(recording.redacted), recording.events[0] if recording.events else None
    for field, was, now in (
        ("prompt", began.prompt if began else None, redactor.clean(prompt)),
        ("metadata", (began.metadata or {}) if began else {}, redactor.clean(metadata)),
    ):
        if was != now:
            raise DriftError(
                f"recording {str(path)!r} is of a run with another {field}: {was!r}, not {now!r}. "
                "Next: record again with `pytest --agentspan-record`"
            )
