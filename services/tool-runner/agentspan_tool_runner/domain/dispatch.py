"""Which session gets which tool call, and who has it in hand.

A task goes to one live session that fits, and to no other while that one lives. Of several gateways with a fitting
worker, the one that rendezvous hashing names dispatches; the others step in when it has not after a lease. A double
hand-out is harmless, as results are de-duplicated and `once` calls are claimed; it only wastes work.

Apart from the gateway because it knows no clock and no I/O: every method takes the time and says what to hand out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b

from agentspan_schemas.tasks import ToolTask, WorkerSession

MAX_IN_HAND = 200
"""So many tasks at most are in one session's hand; the others wait for it, or for another worker."""

Fit = tuple[str, str, str]
"""Agent, tool and input-schema hash: what a worker must have for a call."""

Tools = Mapping[str, Mapping[str, str]]
"""For each agent: tool name to input-schema hash."""


@dataclass(frozen=True, slots=True)
class Handout:
    """Give this task to this session."""

    session_id: str
    task: ToolTask


@dataclass(slots=True)
class Session:
    """A connected worker. `hand` has the keys of the tasks it was given, or said it holds, until it reports them."""

    session_id: str
    worker: str
    tools: Tools
    heard_at: datetime
    hand: dict[str, None] = field(default_factory=dict)
    listening: bool = False
    """Whether its stream of tasks is open: only then is something given to it."""
    reporting: int = 0
    """How many of its reports are being answered: meanwhile it is not silent, we are slow."""

    def fits(self) -> Iterator[Fit]:
        """All that it can take."""
        return ((agent, tool, schema) for agent, tools in self.tools.items() for tool, schema in tools.items())


@dataclass(slots=True)
class _Open:
    task: ToolTask
    since: datetime


@dataclass(slots=True)
class _Elsewhere:
    session: WorkerSession
    heard_at: datetime


class Dispatcher:
    """The open tasks, the sessions of this gateway, and what other gateways announce of theirs."""

    def __init__(self, gateway_id: str, lease: timedelta) -> None:
        self._gateway_id = gateway_id
        self._lease = lease
        self._open: dict[str, _Open] = {}
        self._by_fit: dict[Fit, dict[str, None]] = defaultdict(dict)
        self._settled: dict[str, datetime] = {}
        self._elsewhere: dict[str, _Elsewhere] = {}
        self.sessions: dict[str, Session] = {}

    # Tasks

    def open(self, task: ToolTask, now: datetime) -> list[Handout]:
        """A task is to be done; the same one again changes nothing."""
        key = task.task_key
        if key not in self._open:
            self._open[key] = _Open(task, now)
            self._by_fit[_fit(task)][key] = None
        return self._hand_out([key], now)

    def close(self, key: str) -> None:
        """The task is not to be done any more. Who has it in hand still has, and will say so."""
        self._settled.pop(key, None)
        entry = self._open.pop(key, None)
        if entry is not None:
            fit = _fit(entry.task)
            del self._by_fit[fit][key]
            if not self._by_fit[fit]:
                del self._by_fit[fit]

    def settle(self, key: str, now: datetime) -> None:
        """What is on the log about this task will close it: it is handed to nobody meanwhile."""
        if key in self._open:
            self._settled[key] = now

    # Sessions

    def join(self, session: Session) -> None:
        """A worker said hello."""
        self.sessions[session.session_id] = session

    def listen(self, session_id: str, now: datetime) -> list[Handout]:
        """The session's stream is open: what it was given before is given again, for it may not have arrived."""
        session = self.sessions[session_id]
        session.listening = True
        again = [
            Handout(session_id, self._open[key].task)
            for key in session.hand
            if key in self._open and key not in self._settled
        ]
        return again + self._hand_out(self._fitting_keys([session]), now)

    def let_go(self, session_id: str, key: str, now: datetime) -> list[Handout]:
        """The session has reported this task: it is out of its hand. A hand that was full is filled when half empty."""
        session = self.sessions.get(session_id)
        if session is None:
            return []
        session.hand.pop(key, None)
        return self._hand_out(self._fitting_keys([session]), now) if len(session.hand) == MAX_IN_HAND // 2 else []

    def leave(self, session_id: str, now: datetime) -> list[Handout]:
        """The session is over; what it had in hand goes to others."""
        session = self.sessions.pop(session_id)
        return self._hand_out(list(session.hand), now)

    # Other gateways

    def announced(self, session: WorkerSession, now: datetime) -> list[Handout]:
        """Another gateway announced a session."""
        before = self._elsewhere.get(session.session_id)
        self._elsewhere[session.session_id] = _Elsewhere(session, now)
        given_up = set(before.session.holds).difference(session.holds) if before else set[str]()
        return self._hand_out(given_up, now)

    def gone(self, session_id: str, now: datetime) -> list[Handout]:
        """Another gateway's session is over."""
        if self._elsewhere.pop(session_id, None) is None:
            return []
        return self._hand_out(self._fitting_keys(self.sessions.values()), now)

    def elsewhere(self) -> Iterator[WorkerSession]:
        """The live sessions of other gateways."""
        return (other.session for other in self._elsewhere.values())

    # Time

    def silent(self, now: datetime, of_lease: float = 1.0) -> list[Session]:
        """The sessions that nothing was heard of for a lease, or that part of one."""
        since = now - self._lease * of_lease
        return [session for session in self.sessions.values() if session.heard_at <= since and not session.reporting]

    def sweep(self, now: datetime) -> list[Handout]:
        """Forget what is too old to count, and hand out what nobody took."""
        for session_id, other in list(self._elsewhere.items()):
            if now - other.heard_at >= self._lease:
                del self._elsewhere[session_id]
        for key, at in list(self._settled.items()):
            if now - at >= self._lease:  # nothing closed it after all
                del self._settled[key]
        return self._hand_out(self._fitting_keys(self.sessions.values()), now)

    # Choosing

    def _fitting_keys(self, sessions: Iterable[Session]) -> list[str]:
        fits = {fit: None for session in sessions for fit in session.fits()}
        return [key for fit in fits for key in self._by_fit.get(fit, ())]

    def _hand_out(self, keys: Iterable[str], now: datetime) -> list[Handout]:
        chosen = (self._choose(key, now) for key in keys)
        return [handout for handout in chosen if handout is not None]

    def _choose(self, key: str, now: datetime) -> Handout | None:
        entry = self._open.get(key)
        if entry is None or key in self._settled or self._is_in_hand(key):
            return None
        fitting = [session for session in self.sessions.values() if _takes(session, entry.task)]
        if not fitting or not (self._is_ours(entry.task) or now - entry.since >= self._lease):
            return None
        session = min(fitting, key=lambda session: (len(session.hand), _score(key, session.session_id)))
        session.hand[key] = None
        return Handout(session.session_id, entry.task)

    def _is_in_hand(self, key: str) -> bool:
        here = any(key in session.hand for session in self.sessions.values())
        return here or any(key in other.session.holds for other in self._elsewhere.values())

    def _is_ours(self, task: ToolTask) -> bool:
        """Whether this gateway is the one of those with a fitting worker that dispatches this task."""
        key = task.task_key
        others = {other.session.gateway_id for other in self._elsewhere.values() if other.session.fits(task)}
        mine = _score(key, self._gateway_id)
        return all(mine < _score(key, gateway_id) for gateway_id in others)


def _fit(task: ToolTask) -> Fit:
    return task.agent, task.tool, task.input_schema_hash


def _takes(session: Session, task: ToolTask) -> bool:
    fits = session.tools.get(task.agent, {}).get(task.tool) == task.input_schema_hash
    return fits and session.listening and len(session.hand) < MAX_IN_HAND


def _score(key: str, node: str) -> bytes:
    """Rendezvous hashing: the node with the lowest score has the key, whoever computes it."""
    return blake2b(f"{key}\0{node}".encode(), digest_size=8).digest()
