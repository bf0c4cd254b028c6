"""Which session gets which tool call, and who has it in hand.

A task goes to one live session that fits, and to no other while that one lives. Of several gateways with a fitting
worker, the one whose turn it is dispatches; the next steps in when it has not after a lease. A double hand-out is
harmless, as results are de-duplicated and `once` calls are claimed; it only wastes work.

Apart from the gateway because it knows no clock and no I/O: every method takes the time and says what to hand out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple

from agentspan_tool_runner.domain.peers import Fit, News, Peers, Tools, fits
from agentspan_tool_runner.domain.rendezvous import Rendezvous, ranking

MAX_IN_HAND = 200
"""So many tasks at most are in one session's hand; the others wait for it, or for another worker."""


class OpenCall(NamedTuple):
    """A task that somebody is to be given. Hundred thousands may wait: what is kept of each is its JSON, which a worker
    gets as it stands."""

    key: str
    fit: Fit
    json: bytes


class Handout(NamedTuple):
    """Give this task to this session."""

    session_id: str
    key: str
    json: bytes


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
    stands: bool = False
    """Whether the other gateways can see it: before, they would not leave to us what is ours."""

    @property
    def has_room(self) -> bool:
        """Whether something can be given to it."""
        return self.listening and len(self.hand) < MAX_IN_HAND

    def offers(self) -> Iterator[Fit]:
        """All that it can take."""
        return ((agent, tool, schema) for agent, tools in self.tools.items() for tool, schema in tools.items())


class Dispatcher:
    """The open tasks and the sessions of this gateway, among the others' sessions."""

    def __init__(self, gateway_id: str, peers: Peers) -> None:
        self._gateway_id = gateway_id
        self._peers = peers
        self._lease = peers.lease
        self._open: dict[str, OpenCall] = {}
        self._turns: defaultdict[str, Rendezvous] = defaultdict(Rendezvous)
        """Of the open tasks that others could have taken."""
        self._by_fit: dict[Fit, dict[str, None]] = defaultdict(dict)
        self._settled: dict[str, datetime] = {}
        self.sessions: dict[str, Session] = {}

    @property
    def unassigned(self) -> int:
        """How many open tasks no session here has in hand."""
        in_hand = {key for session in self.sessions.values() for key in session.hand}
        return len(self._open.keys() - in_hand)

    # Tasks

    def open(self, call: OpenCall, now: datetime, *, new: bool = True) -> list[Handout]:
        """A task is to be done; the same one again changes nothing. Somebody may have it already unless it is new."""
        if call.key not in self._open:
            self._open[call.key] = call
            self._by_fit[call.fit][call.key] = None
        return self._hand_out([call.key], now, free=new)

    def close(self, key: str) -> None:
        """The task is not to be done any more. Who has it in hand still has, and will say so."""
        self._settled.pop(key, None)
        self._turns.pop(key, None)
        call = self._open.pop(key, None)
        if call is not None:
            del self._by_fit[call.fit][key]
            if not self._by_fit[call.fit]:
                del self._by_fit[call.fit]

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
            Handout(session_id, key, self._open[key].json)
            for key in session.hand
            if key in self._open and key not in self._settled
        ]
        return again + self._fill([session], now)

    def let_go(self, session_id: str, key: str, now: datetime) -> list[Handout]:
        """The session has reported this task: it is out of its hand. A hand that was full is filled when half empty."""
        session = self.sessions.get(session_id)
        if session is None:
            return []
        session.hand.pop(key, None)
        return self._fill([session], now) if len(session.hand) == MAX_IN_HAND // 2 else []

    def leave(self, session_id: str, now: datetime) -> list[Handout]:
        """The session is over; what it had in hand goes to others."""
        session = self.sessions.pop(session_id)
        return self._hand_out(list(session.hand), now, free=True)

    def stands(self, session_id: str, now: datetime) -> list[Handout]:
        """The other gateways can see this session."""
        session = self.sessions.get(session_id)
        if session is None or session.stands:
            return []
        session.stands = True
        return self._fill([session], now)

    # Other gateways

    def reconsider(self, news: News, now: datetime) -> list[Handout]:
        """Something changed among the others, be it the time alone: hand out what is ours now."""
        for key, at in list(self._settled.items()):
            if now - at >= self._lease:  # nothing closed it after all
                del self._settled[key]
        handouts = self._hand_out(sorted(news.freed | news.orphaned), now, free=True)
        if not news.moved:
            return handouts
        sessions = self.sessions.values()
        if self._peers.alone:
            return handouts + self._fill(sessions, now)
        return handouts + self._hand_out(self._fitting_keys(sessions), now)  # whose turn each is may be another's now

    # Time

    def silent(self, now: datetime, of_lease: float = 1.0) -> list[Session]:
        """The sessions that nothing was heard of for a lease, or that part of one."""
        since = now - self._lease * of_lease
        return [session for session in self.sessions.values() if session.heard_at <= since and not session.reporting]

    # Choosing

    def _fill(self, sessions: Collection[Session], now: datetime) -> list[Handout]:
        """Hand out what fits these sessions until their hands are full; of a long queue, the rest is not looked at."""
        keys = takewhile(lambda _: any(session.has_room for session in sessions), self._fitting_keys(sessions))
        return self._hand_out(keys, now)

    def _fitting_keys(self, sessions: Iterable[Session]) -> Iterator[str]:
        fits = {fit: None for session in sessions for fit in session.offers()}
        return (key for fit in fits for key in self._by_fit.get(fit, ()))

    def _hand_out(self, keys: Iterable[str], now: datetime, *, free: bool = False) -> list[Handout]:
        chosen = (self._choose(key, now, free) for key in keys)
        return [handout for handout in chosen if handout is not None]

    def _choose(self, key: str, now: datetime, free: bool) -> Handout | None:
        call = self._open.get(key)
        if call is None or key in self._settled or self._is_in_hand(key):
            return None
        fitting = [session for session in self.sessions.values() if fits(session.tools, call.fit)]
        if not fitting or not self._is_ours(call, fitting, now, free):
            return None
        takers = [session for session in fitting if session.has_room]
        if not takers:
            return None
        least = min(len(session.hand) for session in takers)
        idlest = [session.session_id for session in takers if len(session.hand) == least]
        session_id = idlest[0] if len(idlest) == 1 else ranking(key, idlest)[0]
        self.sessions[session_id].hand[key] = None
        return Handout(session_id, key, call.json)

    def _is_in_hand(self, key: str) -> bool:
        return self._peers.holds(key) or any(key in session.hand for session in self.sessions.values())

    def _is_ours(self, call: OpenCall, fitting: list[Session], now: datetime, free: bool) -> bool:
        if self._peers.alone:
            return True
        if not any(session.stands for session in fitting):
            return False
        others = self._peers.gateways(call.fit)
        if not others:
            return True
        nodes = others | {self._gateway_id}
        turn = self._turns[call.key]
        return turn.is_ours(call.key, self._gateway_id, nodes, now, step_in=self._lease, free=free)
