"""One row of a given-when-then table over the core, and how it is checked.

Apart from the tables because calls and turns share it.
"""

from dataclasses import dataclass

from agentspan_schemas.agents import AgentDefinition
from tests.unit.core_agents import SUPPORT
from tests.unit.core_run import Run
from tests.unit.core_steps import Step, given


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence: `then` lists the types of the events of the last step, `tasks` what is open afterwards."""

    name: str
    given: tuple[Step, ...]
    when: Step
    then: str = ""
    tasks: str = ""
    refused: str | None = None
    status: str = "running"
    agent: AgentDefinition = SUPPORT


def check(row: Row, run: Run | None = None) -> None:
    """Play the row, or only its last step on a run that has been given the others."""
    run = run or given(*row.given, agent=row.agent)
    outcome = row.when(run)
    assert " ".join(event.type for event in outcome.events) == row.then
    refusal = outcome.answer.refusal if outcome.events or outcome.note else None  # nothing at all came of time alone
    assert (refusal.code if refusal else None) == row.refused
    assert " ".join(run.tasks) == row.tasks
    assert run.living.status == row.status
