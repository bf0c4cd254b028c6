"""Those outside: teams that send tickets, and people who look at the requests for a decision and act on them, sometimes
twice, too late, or about something that they never saw. What they say about a call in doubt is true.
"""

import random
from dataclasses import dataclass
from functools import cached_property

from agentspan.eventlog.commands import OutcomeUnknown, Unavailable
from agentspan_approvals.ports import Search
from agentspan_approvals.service import Approvals
from agentspan_schemas import JsonObject
from agentspan_schemas import commands as c
from agentspan_schemas.answers import Answer
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.ids import execution_id_for
from tests.simulation.agents import AGENT, VERSION, args_of
from tests.simulation.auditor import Auditor
from tests.simulation.effects import Ledger
from tests.simulation.ports import AuditedCommands
from tests.simulation.process import Process


@dataclass(frozen=True)
class Piece:
    """A piece of work that some team has for the agent."""

    key: str
    prompt: str
    timeout_s: float | None

    @cached_property
    def execution_id(self) -> str:
        """Of the execution that it becomes, however often it is sent."""
        return execution_id_for("shop", self.key)

    def start(self, command_id: str) -> c.Start:
        """The command that starts it."""
        metadata: JsonObject = {"ticket": self.key}
        content = {"agent": AGENT.name, "prompt": self.prompt, "metadata": metadata}
        return c.Start(
            command_id=command_id,
            execution_id=self.execution_id,
            agent=AGENT.name,
            agent_version=VERSION,
            prompt=self.prompt,
            requested_by="team:shop",
            source="shop",
            key=self.key,
            metadata=metadata,
            content_hash=content_hash(content),
            timeout_s=self.timeout_s,
        )


async def send(process: Process, commands: AuditedCommands, command: c.Command) -> Answer:
    """Send a command until it is answered."""
    while True:
        try:
            return await commands.submit(command)
        except (OutcomeUnknown, Unavailable):
            await process.sleep(0.5)


class Person:
    """Somebody with the page of requests before them."""

    def __init__(
        self,
        process: Process,
        commands: AuditedCommands,
        approvals: Approvals,
        auditor: Auditor,
        ledger: Ledger,
        chances: random.Random,
    ) -> None:
        self.process = process
        self._auditor = auditor
        self._ledger = ledger
        self._chances = chances
        self._commands = commands
        self._approvals = approvals
        self.troubled = True
        process.start(self._attend())

    def begin(self, piece: Piece) -> None:
        """Send a ticket."""
        self._say(piece.start(self.process.new_id()))

    def meddle(self, execution_id: str) -> None:
        """Do something to a whole execution."""
        about = {"command_id": self.process.new_id(), "execution_id": execution_id}
        who = {"by": f"user:{self.process.name}", "channel": "ui"}
        match self._chances.randrange(8):
            case 0 | 1 | 2:
                self._say(c.Pause.model_validate(about | who))
            case 3 | 4:
                self._say(c.Resume.model_validate(about | who))
            case 5:
                self._say(c.Cancel.model_validate(about | who))
            case _:
                self._say(c.SendMessage.model_validate(about | who | {"text": "How far are you?"}))

    async def _attend(self) -> None:
        """Look at the page now and then, and at every execution that somebody has paused."""
        while True:
            await self.process.sleep(0.5 + self._chances.random() * 3)
            for record in await self._approvals.search(Search(states=("pending", "in_doubt"))):
                if not self.troubled or self._chances.random() < 0.6:
                    self._act_on(record)
            if not self.troubled:
                self._resume_all()

    def _act_on(self, record: ApprovalRecord) -> None:
        if record.state == "in_doubt":
            self._say(self._resolution(record))
            return
        self._say(self._decision(record))
        if self._chances.random() < 0.2:
            self._say(self._decision(record))

    def _decision(self, record: ApprovalRecord) -> c.Decide:
        chances = self._chances
        edited = args_of(record.tool, chances) if chances.random() < 0.2 else None
        stale = self.troubled and chances.random() < 0.15
        return c.Decide(
            command_id=self.process.new_id(),
            execution_id=record.execution_id,
            call_id=record.call_id,
            decision="reject" if chances.random() < 0.3 else "approve",
            args_hash=content_hash("something else") if stale else record.args_hash,
            edited_args=edited,
            by=f"user:{self.process.name}",
            channel="ui",
        )

    def _resolution(self, record: ApprovalRecord) -> c.Resolve:
        """The truth, as the ledger has it."""
        effects = self._ledger.of(record.execution_id, record.call_id)
        fields = {
            "command_id": self.process.new_id(),
            "execution_id": record.execution_id,
            "call_id": record.call_id,
            "attempt": record.attempt,
            "outcome": "succeeded" if effects else self._chances.choice(("not_run", "not_run", "failed")),
            "value": effects[0].value if effects else None,
            "by": f"user:{self.process.name}",
            "channel": "ui",
        }
        return c.Resolve.model_validate(fields)

    def _resume_all(self) -> None:
        for story in self._auditor.stories():
            if story.state is not None and story.state.paused:
                about = {"command_id": self.process.new_id(), "execution_id": story.execution_id}
                self._say(c.Resume.model_validate(about | {"by": f"user:{self.process.name}", "channel": "ui"}))

    def _say(self, command: c.Command) -> None:
        self.process.start(send(self.process, self._commands, command))
