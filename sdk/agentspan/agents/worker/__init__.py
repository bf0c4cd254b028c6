"""The worker: takes tool calls from a gateway, runs them where their code is, and brings the results back.

It knows no HTTP, no thread and no clock of its own: `Worker(transport, clock, new_id, run_tool, …)` is what production
and the simulation both drive. The adapters stand beside it (`agentspan.agents._http`, `ToolRunner`).
"""

from agentspan.agents.worker._limits import ToolLimits
from agentspan.agents.worker._ports import Admit, Clock, Outcome, RunTool, SystemClock, TooLate, WorkerTransport
from agentspan.agents.worker._runner import ToolRunner
from agentspan.agents.worker._threads import ToolThreads
from agentspan.agents.worker._worker import Worker

__all__ = [
    "Admit",
    "Clock",
    "Outcome",
    "RunTool",
    "SystemClock",
    "TooLate",
    "ToolLimits",
    "ToolRunner",
    "ToolThreads",
    "Worker",
    "WorkerTransport",
]
