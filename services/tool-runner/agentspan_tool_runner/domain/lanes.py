"""Which of the open model calls this lane makes, when others have lanes too.

A call that somebody has in hand is left alone. When its lane dies the owner of the execution says that the call is lost
and opens the next attempt; so what a dead lane held waits for that, or calls that end their callers would never be
counted. Any other call is the first able lane's; those that the lane cannot serve, for want of a key, it leaves alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentspan_tool_runner.domain.peers import News, Peers
from agentspan_tool_runner.domain.rendezvous import LONG_AGO, Rendezvous

ORPHANED_FOR = 3
"""So many leases a dead lane's call waits for the owner's word, which comes after two; then anybody makes it."""

PATIENCE = 6
"""So many leases a call that no lane can serve waits for one that can to come back, where there was more than one."""


@dataclass(slots=True)
class _Call:
    model: str | None
    rendezvous: Rendezvous = field(default_factory=Rendezvous)
    not_before: datetime = LONG_AGO


class LaneRules:
    """The open calls as one lane sees them. `hand` has the keys of those it makes."""

    def __init__(self, lane: str, peers: Peers) -> None:
        self._lane = lane
        self._peers = peers
        self._open: dict[str, _Call] = {}
        self._queue: dict[str, None] = {}
        self._stands = False
        self.hand: dict[str, None] = {}
        self.lacks: dict[str, None] = {}
        """The models that it cannot serve."""
        self.retired = False
        """Whether it begins no more."""

    def open(self, key: str, model: str | None, now: datetime, *, new: bool = True) -> None:
        """A call is to be made; unless it is new somebody may be making it. `model` None: not known here (yet)."""
        call = self._open[key] = _Call(model)
        self._consider({key: call}, now, free=new)

    def close(self, key: str) -> None:
        """A call is not wanted any more."""
        for calls in (self._open, self._queue, self.hand):
            calls.pop(key, None)

    def begin(self) -> str | None:
        """The next call to make, which is in hand from now on; None: there is nothing to do."""
        while self._queue and not self.retired:
            key = next(iter(self._queue))
            del self._queue[key]
            if not self._peers.holds(key):
                del self._open[key]
                self.hand[key] = None
                return key
        return None

    def done(self, key: str) -> None:
        """A call was made and answered."""
        self.hand.pop(key, None)

    def stands(self, now: datetime) -> None:
        """The others can see this lane."""
        if not self._stands:
            self._stands = True
            self._consider(self._open, now)

    def reconsider(self, news: News, now: datetime) -> None:
        """Something changed among the others."""
        for key in news.orphaned & self._open.keys():
            self._open[key].not_before = now + self._peers.lease * ORPHANED_FOR
            self._queue.pop(key, None)
        self._consider({key: self._open[key] for key in sorted(news.freed & self._open.keys())}, now, free=True)
        if news.moved:
            self._consider(self._open, now)

    def _consider(self, calls: dict[str, _Call], now: datetime, *, free: bool = False) -> None:
        ours = [key for key, call in calls.items() if key not in self._queue and self._is_ours(key, call, now, free)]
        self._queue.update(dict.fromkeys(ours))

    def _is_ours(self, key: str, call: _Call, now: datetime, free: bool) -> bool:
        if now < call.not_before or self._peers.holds(key):
            return False
        others, us = self._peers.lanes(), frozenset({self._lane})
        if others and not self._stands:
            return False
        able = self._peers.lanes(call.model) | (us if call.model not in self.lacks else frozenset())
        if able == us:
            return True
        pause = timedelta() if able or not self._peers.met_lanes else self._peers.lease * PATIENCE
        nodes = able or others | us
        return self._lane in nodes and call.rendezvous.is_ours(
            key, self._lane, nodes, now, step_in=self._peers.lease, free=free, pause=pause
        )
