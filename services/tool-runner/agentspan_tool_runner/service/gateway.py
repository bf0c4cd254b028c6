"""The gateway: sessions of workers, the tasks they are given, what they report, and the leases that this keeps alive.

A report is answered only when its commands are released on the log. A session lives while something is heard of it:
a report, also an empty one, or its stream being opened. An open stream proves nothing, as a frozen process keeps its
connection; so after half a lease of silence the gateway ends the stream, and opening it again is a sign of life.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from agentspan.eventlog import Table
from agentspan.eventlog.commands import Commands
from agentspan_schemas.http import (
    ClaimItem,
    ItemAnswer,
    ReportAnswer,
    ResultItem,
    SessionGrant,
    SessionRequest,
    WorkerReport,
)
from agentspan_schemas.ids import task_key_for
from agentspan_schemas.tasks import WorkerSession
from agentspan_tool_runner.domain.dispatch import Dispatcher, Handout, OpenCall, Session
from agentspan_tool_runner.domain.peers import News, Peers
from agentspan_tool_runner.ports import NewId, Now, Sleep
from agentspan_tool_runner.service import reports
from agentspan_tool_runner.service.announcer import Announcer
from agentspan_tool_runner.service.stream import TaskStream

__all__ = ["Draining", "Gateway", "GatewayError", "TaskStream", "UnknownSession"]


class GatewayError(Exception):
    """The root of what the gateway refuses: UnknownSession, Draining."""


class UnknownSession(GatewayError):
    """There is no such session, or its lease is over: open another one, with what the worker still holds."""


class Draining(GatewayError):
    """This gateway is about to stop and takes no new sessions."""


class Gateway:
    """One gateway. `run()` owns its loops; the other methods are its doors."""

    def __init__(
        self,
        *,
        gateway_id: str,
        commands: Commands,
        workers: Table,
        now: Now,
        sleep: Sleep,
        new_id: NewId,
        lease_s: float = 10.0,
        grant_s: float = 5.0,
        steady: Now | None = None,
    ) -> None:
        """`steady`: a clock that nobody sets, for leases; None: `now` is one."""
        self._commands = commands
        self._now = now
        self._steady = steady or now
        self._sleep = sleep
        self._new_id = new_id
        self._lease_s = lease_s
        self._grant_s = grant_s
        peers = Peers(timedelta(seconds=lease_s))
        self.announcer = Announcer(gateway_id, workers, now=self._steady, sleep=sleep, peers=peers)
        """Who else in this process shares work with others' joins its members."""
        self.announcer.members.append(self)
        self._dispatcher = Dispatcher(gateway_id, peers)
        self._streams: dict[str, TaskStream] = {}
        self._draining = False

    async def run(self) -> None:
        """Keep leases and announce the workers, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.announcer.run())
            group.create_task(self._keep_leases())

    async def drain(self) -> None:
        """Before the server stops: end every session, so that no connection stays open, and take no new ones.

        What the workers hold they keep, and tell the next gateway.
        """
        await self.announcer.retire()

    # The feed of tasks

    def opened(self, call: OpenCall, *, new: bool = True) -> None:
        """A tool call is to be run: from now on, or, if not new, already before. One that no worker fits is kept."""
        self._give(self._dispatcher.open(call, self._steady(), new=new))

    def closed(self, key: str) -> None:
        """A tool call is not to be run any more."""
        self._dispatcher.close(key)

    # The doors

    def hello(self, request: SessionRequest) -> SessionGrant:
        """Open a session. Raises Draining."""
        if self._draining:
            raise Draining("this server is about to stop; try again in a moment")
        session_id = self._new_id()
        hand = dict.fromkeys(request.holds)
        self._dispatcher.join(Session(session_id, request.worker, request.tools, self._steady(), hand))
        self.announcer.changed(session_id)
        return SessionGrant(session_id=session_id, lease_s=self._lease_s, grant_s=self._grant_s)

    @contextmanager
    def stream(self, session_id: str) -> Iterator[TaskStream]:
        """The session's tasks, in batches as they come; None in one is a sign of life. A newer stream ends this one.

        Raises UnknownSession.
        """
        self._heard(session_id)
        self._end_stream(session_id)
        stream = self._streams[session_id] = TaskStream()
        stream.put(None)
        self._give(self._dispatcher.listen(session_id, self._steady()))
        try:
            yield stream
        finally:
            if self._streams.get(session_id) is stream:
                self._end_stream(session_id)

    async def report(self, session_id: str, report: WorkerReport) -> ReportAnswer:
        """The answers to what a worker reports, in its order. Raises UnknownSession."""
        session = self._heard(session_id)
        session.reporting += 1
        try:
            answers = await _together(
                [
                    *(self._claim(session, item) for item in report.claims),
                    *(self._decline(session, item) for item in report.declines),
                    *(self._result(session, item) for item in report.results),
                ]
            )
        finally:
            session.reporting -= 1
            session.heard_at = self._steady()
        declines, results = len(report.claims), len(report.claims) + len(report.declines)
        return ReportAnswer.of(claims=answers[:declines], declines=answers[declines:results], results=answers[results:])

    def leave(self, session_id: str) -> None:
        """A worker says good-bye, or its lease is over. Raises UnknownSession."""
        self._heard(session_id)
        self._end_stream(session_id)
        handouts = self._dispatcher.leave(session_id, self._steady())
        self.announcer.changed(session_id)
        self._give(handouts)

    def workers_for(
        self, agent: str | None = None, tool: str | None = None, input_schema_hash: str | None = None
    ) -> tuple[WorkerSession, ...]:
        """The live workers of all gateways that serve this agent, this tool, in this version; None: any."""
        here = [self._record(session) for session in self._dispatcher.sessions.values()]
        elsewhere = [session for session in self.announcer.peers.sessions() if session.tools]  # else it is a model lane
        return tuple(session for session in here + elsewhere if _serves(session, agent, tool, input_schema_hash))

    @property
    def sessions(self) -> int:
        """How many workers have a session here."""
        return len(self._dispatcher.sessions)

    @property
    def unassigned(self) -> int:
        """How many open tool calls no worker here has in hand; another gateway's may."""
        return self._dispatcher.unassigned

    # Among others

    def announced(self) -> Iterable[str]:
        """As `Member` says."""
        return self._dispatcher.sessions

    def record(self, session_id: str) -> WorkerSession | None:
        """As `Member` says."""
        session = self._dispatcher.sessions.get(session_id)
        return self._record(session) if session else None

    def stands(self, session_id: str) -> None:
        """As `Member` says."""
        self._give(self._dispatcher.stands(session_id, self._steady()))

    def others(self, news: News) -> None:
        """As `Member` says."""
        self._give(self._dispatcher.reconsider(news, self._steady()))

    def retire(self) -> None:
        """As `Member` says."""
        self._draining = True
        for session_id in list(self._dispatcher.sessions):
            self.leave(session_id)

    # Reports

    async def _claim(self, session: Session, item: ClaimItem) -> ItemAnswer:
        answer = await reports.submit(self._commands, reports.claim(item, session.worker))
        if reports.is_final(answer):
            self._reported(session, item, out_of_hand=not answer.accepted)
        return answer

    async def _decline(self, session: Session, item: ClaimItem) -> ItemAnswer:
        answer = await reports.submit(self._commands, reports.decline(item, session.worker))
        if reports.is_final(answer):
            self._reported(session, item, out_of_hand=True)
        return answer

    async def _result(self, session: Session, item: ResultItem) -> ItemAnswer:
        answer = await reports.submit(self._commands, reports.result(item, session.worker))
        if reports.is_final(answer):
            self._reported(session, item, out_of_hand=True)
        return answer

    def _reported(self, session: Session, item: ClaimItem | ResultItem, *, out_of_hand: bool) -> None:
        key, now = task_key_for(item.execution_id, item.call_id, item.attempt), self._steady()
        self._dispatcher.settle(key, now)
        if out_of_hand:
            self._give(self._dispatcher.let_go(session.session_id, key, now))
            self.announcer.changed(session.session_id)

    # Leases

    def _record(self, session: Session) -> WorkerSession:
        at, silent = self._now(), self._steady() - session.heard_at
        return WorkerSession(
            session_id=session.session_id,
            gateway_id=self.announcer.gateway_id,
            worker=session.worker,
            tools={agent: dict(tools) for agent, tools in session.tools.items()},
            holds=tuple(session.hand),
            at=at,
            lease_until=at - silent + timedelta(seconds=self._lease_s),
        )

    async def _keep_leases(self) -> None:
        while True:
            await self._sleep(self._lease_s / 6)
            now = self._steady()
            for session in self._dispatcher.silent(now):
                self.leave(session.session_id)
            for session in self._dispatcher.silent(now, of_lease=0.5):
                self._end_stream(session.session_id)
            for stream in self._streams.values():
                stream.put(None)

    def _heard(self, session_id: str) -> Session:
        session = self._dispatcher.sessions.get(session_id)
        if session is None:
            raise UnknownSession(
                f"no session {session_id!r} (its lease may be over, or the server new): "
                "open another one, with the tasks you still hold"
            )
        session.heard_at = self._steady()
        return session

    def _end_stream(self, session_id: str) -> None:
        if stream := self._streams.pop(session_id, None):
            stream.end()
            self._dispatcher.sessions[session_id].listening = False

    def _give(self, handouts: Iterable[Handout]) -> None:
        for handout in handouts:
            self._streams[handout.session_id].put(handout.json)
            self.announcer.changed(handout.session_id)


async def _together(asking: Sequence[Coroutine[None, None, ItemAnswer]]) -> tuple[ItemAnswer, ...]:
    """All answers, in order; for one alone no task is made."""
    if len(asking) == 1:
        return (await asking[0],)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in asking]
    return tuple(task.result() for task in tasks)


def _serves(session: WorkerSession, agent: str | None, tool: str | None, input_schema_hash: str | None) -> bool:
    if tool is None and input_schema_hash is None:
        return agent is None or agent in session.tools
    return any(
        agent in (None, served) and tool in (None, name) and input_schema_hash in (None, schema)
        for served, tools in session.tools.items()
        for name, schema in tools.items()
    )
