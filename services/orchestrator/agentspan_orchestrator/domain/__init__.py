"""The pure core: `decide` says what comes of a command, `evolve` folds events, `open_tasks` says what is to be done.

No clock, no random, no I/O: time and ids come in as arguments. The tests' laws, production and mock runs share it.
"""

from agentspan_orchestrator.domain.decide import decide
from agentspan_orchestrator.domain.evolve import evolve, evolve_note
from agentspan_orchestrator.domain.outcome import Draft, Outcome
from agentspan_orchestrator.domain.rules import GRANT_S, schema_error, schema_problem
from agentspan_orchestrator.domain.snapshot import SNAPSHOT_VERSION, dump_state, load_state
from agentspan_orchestrator.domain.state import Call, Execution, Grant, ModelStep
from agentspan_orchestrator.domain.tasks import granted_keys, has_work, open_tasks
from agentspan_orchestrator.domain.timers import Timer, due_commands, next_due, timers
from agentspan_orchestrator.domain.turns import read_output

__all__ = [
    "GRANT_S",
    "SNAPSHOT_VERSION",
    "Call",
    "Draft",
    "Execution",
    "Grant",
    "ModelStep",
    "Outcome",
    "Timer",
    "decide",
    "due_commands",
    "dump_state",
    "evolve",
    "evolve_note",
    "granted_keys",
    "has_work",
    "load_state",
    "next_due",
    "open_tasks",
    "read_output",
    "schema_error",
    "schema_problem",
    "timers",
]
