"""The model lane: runs the open model calls that are its own, so many at a time, and tells the core what came of them.

A reply is kept until its command is answered. Whether a failed call is made again is the core's decision: it opens
the next attempt as another task. A task that is closed meanwhile is dropped, with the call that is under way.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic_core import PydanticSerializationError

from agentspan.eventlog.commands import Commands, OutcomeUnknown, Unavailable
from agentspan_schemas import Failure, TooLarge
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.commands import ModelFailed, ModelReply
from agentspan_schemas.tasks import MODEL_LANE, ModelTask, WorkerSession
from agentspan_tool_runner.domain.lanes import LaneRules
from agentspan_tool_runner.domain.peers import News, Peers
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelResponse, Providers, mended, mended_text
from agentspan_tool_runner.ports import Chance, DefinitionOf, Deltas, Now, Sleep
from agentspan_tool_runner.service.announcer import Announcer
from agentspan_tool_runner.service.waiting import Waiting
from agentspan_tool_runner.service.words import Words

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class ModelLane:
    """One lane. `run()` owns the calls; `opened` and `closed` feed it."""

    def __init__(
        self,
        *,
        worker: str,
        providers: Providers,
        commands: Commands,
        definition_of: DefinitionOf,
        now: Now,
        sleep: Sleep,
        chance: Chance,
        limit: int,
        announcer: Announcer | None = None,
        deltas: Deltas | None = None,
        steady: Now | None = None,
    ) -> None:
        """`limit`: so many calls at a time. `announcer`: how they are shared with other lanes; None: it is alone.
        `deltas`: where words go as they are generated; None: nobody can follow them from here.
        `steady`: a clock that nobody sets, for leases and durations; None: `now` is one."""
        self._worker = worker
        self._providers = providers
        self._commands = commands
        self._definition_of = definition_of
        self._now = now
        self._steady = steady or now
        self._sleep = sleep
        self._chance = chance
        self._limit = limit
        self._announcer = announcer
        self._deltas = deltas
        self._peers = announcer.peers if announcer else Peers(timedelta.max)
        self._rules = LaneRules(worker, self._peers)
        if announcer:
            announcer.members.append(self)
        self._models: dict[tuple[str, str], str] = {}
        self._unknown: list[tuple[ModelTask, bool]] = []
        self._waiting = Waiting()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()
        self._news = asyncio.Event()

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return len(self._running)

    def opened(self, task: ModelTask, value: bytes, *, new: bool = True) -> None:
        """A model call is to be made: from now on, or, if not new, already before. A second time changes nothing.
        `value`: the same as the table has it."""
        key = task.task_key
        if key in self._running or key in self._answered or key in self._waiting:
            return
        self._waiting.put(task, value)
        model = self._models.get((task.agent, task.agent_version))
        if model is None and self._peers.lanes():
            self._unknown.append((task, new))
        else:
            self._rules.open(key, model, self._steady(), new=new)
        self._news.set()

    def closed(self, key: str) -> None:
        """A model call is not wanted any more."""
        self._answered.discard(key)
        self._waiting.drop(key)
        self._rules.close(key)
        if running := self._running.pop(key, None):
            running.cancel()
            self._changed()
            self._news.set()

    async def run(self) -> None:
        """Make the calls, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                unknown, self._unknown = self._unknown, []
                for task, new in unknown:
                    group.create_task(self._learn(task, new))
                while len(self._running) < self._limit and (key := self._rules.begin()):
                    self._running[key] = group.create_task(self._work(key, self._waiting.take(key)))
                    self._changed()

    # Among others

    def announced(self) -> Iterable[str]:
        """As `Member` says."""
        return () if self._is_over() else (self._worker,)

    def record(self, session_id: str) -> WorkerSession | None:
        """As `Member` says."""
        if session_id != self._worker or self._is_over() or self._announcer is None:
            return None
        return WorkerSession(
            session_id=session_id,
            gateway_id=self._announcer.gateway_id,
            worker=self._worker,
            tools={},
            holds=tuple(self._rules.hand),
            lanes=() if self._rules.retired else (MODEL_LANE,),
            lacks=tuple(self._rules.lacks),
            at=self._now(),
        )

    def stands(self, session_id: str) -> None:
        """As `Member` says."""
        if session_id == self._worker:
            self._rules.stands(self._steady())
            self._news.set()

    def others(self, news: News) -> None:
        """As `Member` says."""
        self._rules.reconsider(news, self._steady())
        self._news.set()

    def retire(self) -> None:
        """As `Member` says: what is under way is ended in peace, the rest is left to others."""
        self._rules.retired = True
        self._changed()

    def _is_over(self) -> bool:
        return self._rules.retired and not self._rules.hand

    def _changed(self) -> None:
        if self._announcer:
            self._announcer.changed(self._worker)

    async def _learn(self, task: ModelTask, new: bool) -> None:
        """Find out which model the call is of, and whether it can be made here."""
        definition = await self._definition_of(task.agent, task.agent_version)
        if definition is not None and definition.model not in self._models.values():
            self._find_out(definition)
        model = definition.model if definition else None
        if model is not None:
            self._models[task.agent, task.agent_version] = model
        if task.task_key in self._waiting:
            self._rules.open(task.task_key, model, self._steady(), new=new)
            self._news.set()

    def _find_out(self, definition: AgentDefinition) -> None:
        try:
            missing = self._providers.check(definition)
        except Exception:  # a plug-in's mistake: the call itself will say what is wrong
            logger.exception("the provider of model %r could not be checked", definition.model)
            return
        if missing:
            logger.warning("model %r is left to others while there are any: %s", definition.model, missing)
            self._rules.lacks[definition.model] = None
            self._changed()

    async def _work(self, key: str, task: ModelTask) -> None:
        command = await self._ask(task)
        try:
            try:
                await self._deliver(command)
            except PydanticSerializationError:  # half a character in a plug-in's reply
                await self._deliver(type(command).model_validate(mended(command.model_dump())))
        except TooLarge as error:  # no message can hold the reply
            message = f"the reply is {error}; have the model answer in fewer words"
            await self._deliver(self._failed(task, ModelError("reply_too_large", message, retryable=False)))
        # Cancelled meanwhile? Then this line is not reached, and `closed` has made room.
        del self._running[key]
        self._rules.done(key)
        self._changed()
        self._answered.add(key)
        self._news.set()

    async def _ask(self, task: ModelTask) -> ModelReply | ModelFailed:
        began_at, began = self._now(), self._steady()
        words = Words(task, self._deltas, self._sleep) if self._deltas else None
        try:
            response = await self._providers.reply(await self._request(task, words))
            return self._replied(task, response, began_at, (self._steady() - began).total_seconds() * 1000)
        except ModelError as error:
            return self._failed(task, error)
        except Exception as error:  # a plug-in's mistake must not stop the others' calls
            logger.exception("the provider of task %r failed", task.task_key)
            message = f"the model provider failed with {type(error).__name__}; the server's log has the details"
            return self._failed(task, ModelError("provider_failed", message, retryable=True))
        finally:
            if words is not None:
                words.close()

    def _replied(self, task: ModelTask, response: ModelResponse, began_at: datetime, duration_ms: float) -> ModelReply:
        return ModelReply(
            command_id=f"{task.task_key}/result",
            execution_id=task.execution_id,
            turn=task.turn,
            attempt=task.attempt,
            worker=self._worker,
            began_at=began_at,
            duration_ms=duration_ms,
            model=response.model,
            text=response.text,
            tool_calls=response.tool_calls,
            blocks=response.blocks,
            stop_reason=response.stop_reason,
            usage=response.usage,
        )

    async def _request(self, task: ModelTask, words: Words | None) -> ModelRequest:
        definition = await self._definition_of(task.agent, task.agent_version)
        if definition is None:
            message = f"agent {task.agent!r} has no version {task.agent_version!r} here (yet): register it again"
            raise ModelError("unknown_agent", message, retryable=True)
        return ModelRequest(
            definition=definition,
            messages=task.messages,
            metadata=task.metadata,
            execution_id=task.execution_id,
            turn=task.turn,
            key=task.key,
            on_text=words.take if words is not None else None,
        )

    def _failed(self, task: ModelTask, error: ModelError) -> ModelFailed:
        message = mended_text(error.message)
        logger.warning("model call %r failed: %s: %s", task.task_key, error.kind, message)
        return ModelFailed(
            command_id=f"{task.task_key}/result",
            execution_id=task.execution_id,
            turn=task.turn,
            attempt=task.attempt,
            error=Failure(kind=error.kind, message=message),
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
            worker=self._worker,
        )

    async def _deliver(self, command: ModelReply | ModelFailed) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = await self._commands.submit(command)
            except (Unavailable, OutcomeUnknown) as error:
                logger.info("%r is sent again: %s", command.command_id, error)
                await self._sleep(pause_s * (0.5 + self._chance() / 2))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                continue
            if answer.refusal is not None:
                logger.info("%r was refused: %s", command.command_id, answer.refusal.message)
            return
