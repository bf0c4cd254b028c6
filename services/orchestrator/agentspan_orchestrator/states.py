"""The states of an owned partition: what was decided last, whether released or not, over the disposable cache."""

from collections import Counter, OrderedDict

from agentspan_orchestrator.domain import Execution, has_work
from agentspan_orchestrator.ports import StateCache

STATES_PARKED = 500
"""How many states stay in memory of executions that wait, or are over, beside those with outcomes under way: a parked
execution costs none."""

STATES_AT_WORK = 5_000
"""How many of those with something to do. They are asked for again within seconds, and whoever reads a file lets go of
the interpreter's lock, which the event loop gets back milliseconds later while other threads are busy."""


class States:
    """A bounded dictionary of states; one that is not in it is read from the cache."""

    def __init__(self, cache: StateCache, parked: int = STATES_PARKED, at_work: int = STATES_AT_WORK) -> None:
        self._cache = cache
        self._most_parked, self._most_at_work = parked, at_work
        self._parked: OrderedDict[str, Execution] = OrderedDict()
        """Of those that wait, or are over; the coldest first."""
        self._at_work: OrderedDict[str, Execution] = OrderedDict()
        self._under_way: Counter[str] = Counter()

    def get(self, execution_id: str) -> Execution | None:
        """The state that the next command of this execution meets."""
        for states in (self._at_work, self._parked):
            if (state := states.get(execution_id)) is not None:
                states.move_to_end(execution_id)
                return state
        state = self._cache.get(execution_id)
        if state is not None:  # it is asked for again before the command is decided
            self._keep(execution_id, state)
            self._forget_coldest()
        return state

    def decided(self, execution_id: str, state: Execution | None) -> None:
        """An outcome was decided and is on its way to the log."""
        self._under_way[execution_id] += 1
        if state is not None:
            self._keep(execution_id, state)

    def released(self, execution_id: str) -> None:
        """An outcome of the execution was released, and its state is in the cache."""
        self._under_way[execution_id] -= 1
        if not self._under_way[execution_id]:
            del self._under_way[execution_id]
        self._forget_coldest()

    def _keep(self, execution_id: str, state: Execution) -> None:
        here, there = (self._at_work, self._parked) if has_work(state) else (self._parked, self._at_work)
        there.pop(execution_id, None)
        here[execution_id] = state
        here.move_to_end(execution_id)

    def _forget_coldest(self) -> None:
        for states, most in ((self._at_work, self._most_at_work), (self._parked, self._most_parked)):
            while len(states) > most:
                coldest = next((x for x in states if x not in self._under_way), None)
                if coldest is None:
                    break
                del states[coldest]
