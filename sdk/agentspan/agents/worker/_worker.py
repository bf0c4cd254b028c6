"""The worker itself: one session with the gateway, the tasks in hand, and the claims that guard `once` calls.

Everything it may lose is on the other side: a session is opened again with what the worker still holds, a report is
sent again until it is answered, and a task that is handed out twice is run once.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from agentspan.agents._errors import AgentspanError, NotFound, ServerUnavailable
from agentspan.agents._outage import Outage
from agentspan.agents._serialise import Raised, Returned
from agentspan.agents.worker._last_words import in_hand_ended
from agentspan.agents.worker._limits import Limit, unlimited
from agentspan.agents.worker._outbox import Entry, Outbox, report_of
from agentspan.agents.worker._ports import Clock, Outcome, RunTool, TooLate, WorkerTransport
from agentspan_schemas import Failure
from agentspan_schemas.http import ClaimItem, ItemAnswer, ResultItem, SessionGrant, SessionRequest
from agentspan_schemas.tasks import ToolTask

logger = logging.getLogger(__name__)

CAPACITY = 100
"""How many tools one worker runs at once; a call that finds no place is not claimed yet."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
TOLD_AFTER = 6
"""So many pauses in a row are told: three seconds, in which a server that is started again is back."""
GOODBYE_S = 1.0

MALFORMED = "malformed"
"""The answer that the worker gives itself when the gateway will not read what it says."""

REMEMBERED = 4096
"""How many finished tasks are remembered, so that one handed out twice is not run twice."""

Sleep = Callable[[float], Awaitable[None]]


class _Timing(NamedTuple):
    began_at: datetime
    duration_ms: float


class Worker:
    """Serves tools to a gateway. Create and use it on one event loop: `offer` tools, `run` it as a task, `stop` it."""

    def __init__(
        self,
        transport: WorkerTransport,
        clock: Clock,
        new_id: Callable[[], str],
        run_tool: RunTool,
        *,
        name: str,
        sleep: Sleep = asyncio.sleep,
        limit: Limit = unlimited,
        outage: Outage | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._new_id = new_id
        self._run_tool = run_tool
        self._name = name
        self._sleep = sleep
        self._limit = limit
        self._outage = outage or Outage()
        self._tools: dict[str, dict[str, str]] = {}
        self._outbox = Outbox()
        self._slots = asyncio.Semaphore(CAPACITY)
        self._held: dict[str, asyncio.Task[None]] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._session: SessionGrant | None = None
        self._grant_s = 0.0
        self._live = asyncio.Event()
        self._announced = asyncio.Event()
        self._reopen = asyncio.Event()
        self._refused: AgentspanError | None = None
        self._failures = 0
        self._stopping = False
        self._loops: tuple[asyncio.Task[None], ...] = ()

    @property
    def holds(self) -> tuple[str, ...]:
        """The keys of the tasks in hand: running, waiting for a grant, or with a result that is not yet answered."""
        return tuple(self._held)

    def offer(self, tools: Mapping[str, Mapping[str, str]]) -> None:
        """Serve these too: for each agent, tool name to input-schema hash. A running worker tells its gateway."""
        merged = {**self._tools, **{agent: dict(hashes) for agent, hashes in tools.items()}}
        if merged != self._tools:
            self._tools = merged
            self._announced.clear()
            self._reopen.set()

    async def connected(self) -> None:
        """Return when the gateway knows what this worker offers. Raises what the gateway refused it with."""
        await self._announced.wait()
        if self._refused is not None:
            raise self._refused

    async def run(self) -> None:
        """Serve until stopped or cancelled."""
        self._loops = (asyncio.ensure_future(self._sessions()), asyncio.ensure_future(self._reports()))
        try:
            await asyncio.gather(*self._loops)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            await _end(*self._loops, *self._held.values())

    async def stop(self, flush_s: float) -> None:
        """Take nothing new, give what is in hand `flush_s` seconds to end and be answered, say good-bye."""
        self._stopping = True
        self._outbox.drop_unsent_claims()
        await in_hand_ended(self._held, flush_s)
        for loop in self._loops:
            loop.cancel()
        if self._session is not None:
            await self._close(self._session)

    # The session

    async def _sessions(self) -> None:
        while True:
            self._reopen.clear()
            before = self._session
            grant = await self._open()
            if grant is None:
                continue
            if before is not None and before.session_id != grant.session_id:
                await self._close(before)
            await self._follow(grant)

    async def _open(self) -> SessionGrant | None:
        request = SessionRequest(worker=self._name, tools=self._tools, holds=self.holds)
        try:
            grant = await self._transport.open_session(request)
        except ServerUnavailable as error:
            await self._pause(error)
            return None
        except AgentspanError as error:
            logger.error("the gateway refuses this worker: %s", error)
            self._refused = error
            self._announced.set()
            await self._pause()
            return None
        self._refused, self._session, self._grant_s = None, grant, grant.grant_s
        self._live.set()
        if not self._reopen.is_set():
            self._announced.set()
        return grant

    async def _follow(self, grant: SessionGrant) -> None:
        """Take the session's tasks until it is gone, or has to be opened again."""
        reader = asyncio.ensure_future(self._read(grant))
        reopen = asyncio.ensure_future(self._reopen.wait())
        try:
            await asyncio.wait({reader, reopen}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
        finally:
            await _end(reader, reopen)

    async def _read(self, grant: SessionGrant) -> None:
        """A stream ends often, and opening the next one is a sign of life to the gateway; only NotFound ends this."""
        while True:
            tasks = self._transport.tasks(grant.session_id)
            why: Exception | None = None
            try:
                while True:
                    async with asyncio.timeout(grant.lease_s):
                        task = await anext(tasks)
                    self._answered()
                    if task is not None:
                        self._take(task)
            except StopAsyncIteration:
                logger.debug("the stream of tasks ended; opening the next one")
            except NotFound as error:
                logger.info("the session is gone, opening another: %s", error)
                self._lost(grant)
                return
            except (TimeoutError, AgentspanError) as error:
                why = error
            finally:
                await tasks.aclose()
            await self._pause(why)

    async def _close(self, session: SessionGrant) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._transport.close(session.session_id)
        except (AgentspanError, TimeoutError) as error:
            logger.info("session %s was not closed, its lease ends it: %s", session.session_id, error)

    def _answered(self) -> None:
        if self._failures and self._outage.ends():
            logger.warning("the server answers again")
        self._failures = 0

    async def _pause(self, why: Exception | None = None) -> None:
        if why is not None:
            is_told = self._failures == TOLD_AFTER and self._outage.begins()
            level = logging.WARNING if is_told else logging.INFO
            logger.log(level, "no calls are taken, trying again: %s", str(why) or "nothing was heard for a lease")
        seconds = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await self._sleep(seconds)

    # The tasks in hand

    def _take(self, task: ToolTask) -> None:
        key = task.task_key
        if key in self._held or key in self._finished or self._stopping:
            return
        self._held[key] = asyncio.ensure_future(self._handle(key, task))

    async def _handle(self, key: str, task: ToolTask) -> None:
        try:
            async with self._limit(task), self._slots:
                result = None if self._stopping else await self._perform(task)
            if result is None:
                return
            item, size = result
            answer = await self._outbox.put("result", item, size).answer
            if answer.code == MALFORMED and item.ok:
                answer = await self._outbox.put("result", _unsendable(item, answer)).answer
            if answer.accepted:
                self._remember(key)
            else:
                logger.warning("the result of %s was refused: %s", key, answer.message)
        finally:
            del self._held[key]

    async def _perform(self, task: ToolTask) -> tuple[ResultItem, int] | None:
        """The task's result; None when it must not run here."""
        if task.effects == "idempotent":
            outcome, timing = await self._timed(task, lambda: True)
            return _result(task, outcome, timing, None)
        claim = _claim(task, self._new_id())
        entry = self._outbox.put("claim", claim)
        granted = await entry.answer
        if not granted.accepted:
            logger.info("claim of %s was refused: %s", task.task_key, granted.message)
            return None
        outcome, timing = await self._timed(task, lambda: self._admits(entry))
        if isinstance(outcome, TooLate):
            logger.warning("the grant of %s came too late; declined", task.task_key)
            await self._outbox.put("decline", claim).answer
            return None
        return _result(task, outcome, timing, claim.claim_id)

    def _admits(self, claim: Entry) -> bool:
        """Whether the grant still holds: measured from the claim's first sending, by this machine's own clock."""
        if self._stopping or claim.sent_at is None:
            return False
        return self._clock.boottime() - claim.sent_at < self._grant_s

    async def _timed(self, task: ToolTask, admit: Callable[[], bool]) -> tuple[Outcome, _Timing]:
        began_at, began = self._clock.now(), self._clock.boottime()
        try:
            outcome = await self._run_tool(task, admit)
        except Exception as error:
            logger.exception("running %s failed", task.task_key)
            outcome = Raised(Failure(kind="worker_error", message=f"{type(error).__name__}: {error}"))
        return outcome, _Timing(began_at, max(0.0, (self._clock.boottime() - began) * 1000))

    def _remember(self, key: str) -> None:
        self._finished[key] = None
        while len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)

    # The reports

    async def _reports(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            await self._outbox.filled()
            await self._live.wait()
            if self._session is not None and await self._report(self._session):
                pause = FIRST_PAUSE_S
            else:
                await self._sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _report(self, session: SessionGrant) -> bool:
        """Say what there is to say; whether the gateway took it."""
        batch = self._outbox.batch()
        for entry in batch:
            entry.sent_at = self._clock.boottime() if entry.sent_at is None else entry.sent_at
        try:
            answer = await self._transport.report(session.session_id, report_of(batch))
        except NotFound:
            self._lost(session)
            return False
        except ServerUnavailable as error:
            logger.info("report not answered, sending it again: %s", error)
            return False
        except AgentspanError as error:
            self._refuse(batch, error)
            return False
        return self._outbox.settle(batch, answer)

    def _lost(self, session: SessionGrant) -> None:
        if self._session is session:
            self._session = None
            self._live.clear()
            self._reopen.set()

    def _refuse(self, batch: list[Entry], error: AgentspanError) -> None:
        """The gateway will never take this as it is: find the entry, and say what can be said in its place."""
        if len(batch) > 1:
            self._outbox.split(batch)
            return
        [entry] = batch
        logger.error("the gateway refuses a %s: %s", entry.kind, error)
        self._outbox.answer(entry, ItemAnswer(accepted=False, code=MALFORMED, message=str(error)))


def _result(task: ToolTask, outcome: Outcome, timing: _Timing, claim_id: str | None) -> tuple[ResultItem, int] | None:
    """What to report, and how many bytes it has; None of what never began."""
    match outcome:
        case Returned():
            value, error, size = outcome.value, None, outcome.size
        case Raised():
            value, error, size = None, outcome.error, 0
        case TooLate():
            return None
        case _:
            assert_never(outcome)
    item = ResultItem(
        execution_id=task.execution_id,
        call_id=task.call_id,
        attempt=task.attempt,
        claim_id=claim_id,
        ok=error is None,
        value=value,
        error=error,
        began_at=timing.began_at,
        duration_ms=timing.duration_ms,
    )
    return item, size


def _unsendable(item: ResultItem, refused: ItemAnswer) -> ResultItem:
    error = Failure(kind="unserialisable_result", message=f"the server refuses this result: {refused.message}")
    return item.model_copy(update={"ok": False, "value": None, "error": error})


def _claim(task: ToolTask, claim_id: str) -> ClaimItem:
    return ClaimItem(execution_id=task.execution_id, call_id=task.call_id, attempt=task.attempt, claim_id=claim_id)


async def _end(*tasks: "asyncio.Task[Any] | asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
