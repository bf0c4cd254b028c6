"""The sessions that other tool-runners announce, as this one sees them: who lives, who holds what, who could take what.

A session lives for a lease after its record was last received here, by this process's own clock: no two clocks are
compared. One that dies without a good-bye leaves its record behind; after some more leases anybody may bury it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentspan_schemas.tasks import MODEL_LANE, WorkerSession

BURY_AFTER = 5
"""So many leases after the last sign of life a dead session's record is deleted."""

Fit = tuple[str, str, str]
"""Agent, tool and input-schema hash: what a worker must have for a call."""

Tools = Mapping[str, Mapping[str, str]]
"""What a worker has. For each agent: tool name to input-schema hash."""


def fits(tools: Tools, fit: Fit) -> bool:
    """Whether a worker with these tools can run the call: its agent's tool, of the same input schema."""
    agent, tool, schema = fit
    return tools.get(agent, {}).get(tool) == schema


@dataclass(frozen=True, slots=True)
class News:
    """What a change among the others means for the tasks."""

    freed: frozenset[str] = frozenset()
    """Who held these gave them up."""
    orphaned: frozenset[str] = frozenset()
    """Who held these is not heard of any more."""
    moved: bool = False
    """Whether there are others now who may take tasks; or it is time to look at all of them again."""

    def __bool__(self) -> bool:
        return bool(self.freed or self.orphaned or self.moved)


LOOK_AGAIN = News(moved=True)
"""Nothing changed but the time."""


@dataclass(slots=True)
class _Peer:
    session: WorkerSession
    heard_at: datetime
    holds: frozenset[str]


class Peers:
    """The others. Every method takes the time where it matters."""

    def __init__(self, lease: timedelta) -> None:
        self.lease = lease
        self.met_lanes = False
        """Whether there was ever another model lane."""
        self._live: dict[str, _Peer] = {}
        self._dead: dict[str, datetime] = {}
        self._held: Counter[str] = Counter()
        self._gateways: dict[Fit, frozenset[str]] = {}
        self._lanes: dict[str | None, frozenset[str]] = {}

    # What is heard

    def heard(self, session: WorkerSession, now: datetime) -> News:
        """A session was announced."""
        before = self._live.get(session.session_id)
        self._dead.pop(session.session_id, None)
        peer = self._live[session.session_id] = _Peer(session, now, frozenset(session.holds))
        self.met_lanes = self.met_lanes or MODEL_LANE in session.lanes
        self._held.update(peer.holds - before.holds if before else peer.holds)
        moved = before is None or _offer(before.session) != _offer(session)
        if moved:
            self._forget_candidates()
        return News(freed=self._let_go(before.holds - peer.holds) if before else frozenset(), moved=moved)

    def gone(self, session_id: str) -> News:
        """A session's record was deleted: it gave up what it held."""
        self._dead.pop(session_id, None)
        peer = self._live.pop(session_id, None)
        if peer is None:
            return News()
        self._forget_candidates()
        return News(freed=self._let_go(peer.holds), moved=True)

    def expire(self, now: datetime) -> News:
        """Those that were not heard of for a lease are dead."""
        dead = {name: peer for name, peer in self._live.items() if now - peer.heard_at >= self.lease}
        orphaned = frozenset[str]()
        for name, peer in dead.items():
            del self._live[name]
            self._dead[name] = peer.heard_at
            orphaned |= self._let_go(peer.holds)
        if dead:
            self._forget_candidates()
        return News(orphaned=orphaned, moved=bool(dead))

    def to_bury(self, now: datetime) -> list[str]:
        """The sessions that have been dead for so long that their records only mislead those who come; named once."""
        overdue = [name for name, heard_at in self._dead.items() if now - heard_at >= self.lease * BURY_AFTER]
        for name in overdue:
            del self._dead[name]
        return overdue

    # What is so

    def sessions(self) -> Iterator[WorkerSession]:
        """The live ones."""
        return (peer.session for peer in self._live.values())

    @property
    def alone(self) -> bool:
        """Whether there is nobody else, worker or lane."""
        return not self._live

    def holds(self, key: str) -> bool:
        """Whether a live one has this task in hand."""
        return key in self._held

    def gateways(self, fit: Fit) -> frozenset[str]:
        """The gateways that have a worker for such calls."""
        if fit not in self._gateways:
            self._gateways[fit] = frozenset(other.gateway_id for other in self.sessions() if fits(other.tools, fit))
        return self._gateways[fit]

    def lanes(self, model: str | None = None) -> frozenset[str]:
        """The model lanes that do not lack this model; None: all."""
        if model not in self._lanes:
            self._lanes[model] = frozenset(
                other.session_id for other in self.sessions() if MODEL_LANE in other.lanes and model not in other.lacks
            )
        return self._lanes[model]

    def _let_go(self, keys: frozenset[str]) -> frozenset[str]:
        """Those of the keys that nobody holds any more."""
        for key in keys:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
        return frozenset(key for key in keys if key not in self._held)

    def _forget_candidates(self) -> None:
        self._gateways.clear()
        self._lanes.clear()


def _offer(session: WorkerSession) -> tuple[object, ...]:
    return session.gateway_id, session.tools, session.lanes, session.lacks
