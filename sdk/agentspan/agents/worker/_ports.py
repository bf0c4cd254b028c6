"""What the worker needs from outside: a way to its gateway, a clock, and something that runs a tool's code."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from agentspan.agents._serialise import Raised, Returned
from agentspan_schemas.http import ReportAnswer, SessionGrant, SessionRequest, WorkerReport
from agentspan_schemas.tasks import ToolTask


class WorkerTransport(Protocol):
    """The gateway, as a worker sees it.

    Each method raises ServerUnavailable (try again), NotFound (the session is gone: open another), or another
    RequestFailed (the gateway refuses what was sent).
    """

    async def open_session(self, request: SessionRequest) -> SessionGrant:
        """Say hello: what this worker runs, and what it still holds."""
        ...

    def tasks(self, session_id: str) -> AsyncGenerator[ToolTask | None, None]:
        """The tasks as they are handed out; None is the gateway's sign of life."""
        ...

    async def report(self, session_id: str, report: WorkerReport) -> ReportAnswer:
        """Claims, declines and results; what is answered is on the log."""
        ...

    async def close(self, session_id: str) -> None:
        """Say good-bye, so that nobody waits for the lease to end."""
        ...


class Clock(Protocol):
    """Time as a worker needs it."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def boottime(self) -> float:
        """Seconds that also pass while the machine sleeps: what a grant is measured by."""
        ...


class SystemClock:
    """The machine's clocks: CLOCK_BOOTTIME where there is one, else the monotonic one."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """Seconds since the machine booted, its sleep included."""
        clock = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class TooLate:
    """The grant was over before the tool's code began: it has not started, and never will under this claim."""


Outcome = Returned | Raised | TooLate

Admit = Callable[[], bool]
"""Whether the code may begin now: asked as the last thing before it does."""


class RunTool(Protocol):
    """Runs the code of one task. Never raises: what goes wrong is a Raised."""

    async def __call__(self, task: ToolTask, admit: Admit) -> Outcome:
        """What came of the call."""
        ...
