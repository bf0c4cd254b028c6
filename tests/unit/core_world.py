"""A tiny world around one execution: a model, workers with hands, people, a network that delays and repeats.

It counts what tools really did. Workers keep DESIGN.md section 6: the code of a `once` call runs under a grant that is
younger than GRANT_S since the claim was first sent, else the claim is declined; and people look before they resolve.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentspan_orchestrator.domain import GRANT_S, Call, open_tasks
from agentspan_schemas import commands as c
from agentspan_schemas.tasks import ModelTask, ToolTask
from tests.unit.core_agents import SUPPORT
from tests.unit.core_run import EXECUTION, Run, records, refold
from tests.unit.core_steps import Asked, approves, asks, is_lost, is_over, rejects, replies, resolves, resumes, started

TURNS: tuple[tuple[Asked, ...], ...] = (("refund",), ("mail", "lookup"), ("refund", "mail"), ("search", "suspend"))


@dataclass(frozen=True, slots=True)
class Hand:
    """A worker that has asked to run a call, and perhaps may."""

    claim: c.Claim
    asked_at: datetime
    granted: bool = False
    spent: bool = False
    """A claim is used once: to run the code, to decline, or to die with."""


class World:
    """One execution and everything around it."""

    def __init__(self) -> None:
        self.run = Run(SUPPORT.model_copy(update={"max_turns": 8}))
        self.hands: dict[str, Hand] = {}
        self.network: list[c.Command] = []
        self.effects: Counter[str] = Counter()
        """How often the code of each call really ran; an idempotent one's repetitions count once, by its key."""
        started()(self.run)

    def fork(self) -> "World":
        """The same world, to try out another future."""
        other = World()
        other.run, other.hands = self.run.fork(), dict(self.hands)
        other.network, other.effects = list(self.network), Counter(self.effects)
        return other

    def restart(self) -> None:
        """The owner is gone; another one has nothing but the log."""
        self.run.state = refold(records(self.run.log))

    def step(self, sort: int, pick: int) -> None:
        """One thing happens somewhere, of those that can happen now; 0 is nothing."""
        possible = self._possible()
        if sort:
            possible[sort % len(possible)](pick)

    def _possible(self) -> list[Callable[[int], None]]:
        tasks = open_tasks(self.run.living, self.run.now)
        ready = any(hand.granted and not hand.spent for hand in self.hands.values())
        return [
            *[self._ask_model] * 3 * any(isinstance(task, ModelTask) for task in tasks),
            *[self._take] * 3 * any(isinstance(task, ToolTask) for task in tasks),
            *[self._person] * 2 * bool(self._calls("waiting", "in_doubt")),
            *[self._deliver] * 3 * bool(self.network),
            *[self._act] * 2 * ready,
            *[self._die] * bool(self.hands),
            *[self._report] * 2 * bool(self._calls("open", "granted")),
            *[self._pass_time] * 2,
            self._command,
        ]

    def _pass_time(self, pick: int) -> None:
        self.run.pass_time((0.1, 1, GRANT_S, 60)[pick % 4])

    def _ask_model(self, pick: int) -> None:
        self._model(TURNS[pick % len(TURNS)] if pick % 16 else ())

    def finish(self) -> None:
        """Everybody does what is right until the run is over."""
        for _ in range(60):
            if is_over(self.run):
                return
            self._settle()
        raise AssertionError(f"the run never ends: {self.run.living}")

    def _settle(self) -> None:
        if self.run.living.paused:
            resumes()(self.run)
        self._model(())
        for pick in range(len(self.run.living.calls)):
            self._person(pick)
            self._take(pick)
        while self.network:
            self._deliver(0)
        for claim_id in list(self.hands):
            self._act_with(self.hands[claim_id])
        while self.network:
            self._deliver(0)
        self.run.pass_time(60)
        for call in self._calls("granted"):
            is_lost(call.call_id)(self.run)

    def _calls(self, *phases: str) -> list[Call]:
        return [call for call in self.run.living.calls if call.phase in phases]

    def _model(self, asked: tuple[Asked, ...]) -> None:
        if any(isinstance(task, ModelTask) for task in open_tasks(self.run.living, self.run.now)):
            (asks(*asked) if asked else replies("Done."))(self.run)

    def _person(self, pick: int) -> None:
        """Decides a call that waits; or looks what became of one in doubt, and says so."""
        if not (calls := self._calls("waiting", "in_doubt")):
            return
        call = calls[pick % len(calls)]
        if call.phase == "waiting":
            (rejects(call.call_id) if pick % 5 == 4 else approves(call.call_id))(self.run)
        else:
            resolves(call.call_id, "succeeded" if self.effects[call.call_id] else "not_run")(self.run)

    def _take(self, pick: int) -> None:
        """A worker takes a task: it claims a `once` call, and runs an idempotent one there and then."""
        tasks = [task for task in open_tasks(self.run.living, self.run.now) if isinstance(task, ToolTask)]
        if not tasks:
            return
        task = tasks[pick % len(tasks)]
        if task.effects == "idempotent":
            self.effects[task.call_id] = 1
            result_id = f"{EXECUTION}/{task.call_id}/{task.attempt}/result"
            self.network.append(_result(result_id, task.call_id, task.attempt, None))
            return
        claim_id = f"claim-{len(self.hands)}"
        claim = c.Claim(
            command_id=claim_id, execution_id=EXECUTION, call_id=task.call_id, attempt=task.attempt,
            claim_id=claim_id, worker="w",
        )  # fmt: skip
        self.hands[claim_id] = Hand(claim, self.run.now)
        self.network.append(claim)

    def _deliver(self, pick: int) -> None:
        """A command arrives; it may be on its way a second time."""
        if not self.network:
            return
        command = self.network[pick % len(self.network)]
        if pick < 200:
            self.network.remove(command)
        answer = self.run.give(command).answer
        if isinstance(command, c.Claim) and answer.accepted:
            self.hands[command.claim_id] = replace(self.hands[command.claim_id], granted=True)

    def _act(self, pick: int) -> None:
        granted = [hand for hand in self.hands.values() if hand.granted and not hand.spent]
        if granted:
            self._act_with(granted[pick % len(granted)])

    def _act_with(self, hand: Hand) -> None:
        """The last check, and the code right after it."""
        if hand.spent or not hand.granted:
            return
        claim = hand.claim
        self.hands[claim.claim_id] = replace(hand, spent=True)
        if self.run.now < hand.asked_at + timedelta(seconds=GRANT_S):
            self.effects[claim.call_id] += 1
            self.network.append(_result(f"{claim.claim_id}/result", claim.call_id, claim.attempt, claim.claim_id))
        else:
            self.network.append(
                c.Decline(
                    command_id=f"{claim.claim_id}/decline", execution_id=EXECUTION, call_id=claim.call_id,
                    attempt=claim.attempt, claim_id=claim.claim_id, worker="w",
                )
            )  # fmt: skip

    def _die(self, pick: int) -> None:
        """A worker is gone, with its grant or with a result that it had not delivered."""
        if self.hands:
            claim_id = list(self.hands)[pick % len(self.hands)]
            self.hands[claim_id] = replace(self.hands[claim_id], spent=True)
            self.network = [m for m in self.network if not m.command_id.startswith(claim_id)]

    def _report(self, pick: int) -> None:
        """A gateway misses somebody, rightly or not."""
        if calls := self._calls("open", "granted"):
            is_lost(calls[pick % len(calls)].call_id)(self.run)

    def _command(self, pick: int) -> None:
        run = self.run
        kind = c.Resume if run.living.paused else c.Cancel if pick % 8 == 7 else c.Pause
        run.give(kind(command_id=run.command_id(), execution_id=EXECUTION, by="user:bob", channel="ui"))


def _result(command_id: str, call_id: str, attempt: int, claim_id: str | None) -> c.ReturnResult:
    return c.ReturnResult(
        command_id=command_id, execution_id=EXECUTION, call_id=call_id, attempt=attempt, claim_id=claim_id,
        ok=True, value="done", worker="w",
    )  # fmt: skip
