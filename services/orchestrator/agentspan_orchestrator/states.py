"""The states of an owned partition: what was decided last, whether released or not, over the disposable cache."""

from collections import Counter, OrderedDict

from agentspan_orchestrator.domain import Execution
from agentspan_orchestrator.ports import StateCache

HOT_STATES = 500
"""How many states stay in memory beside those with outcomes under way: a parked execution costs none."""


class States:
    """A bounded dictionary of states; one that is not in it is read from the cache."""

    def __init__(self, cache: StateCache, hot: int = HOT_STATES) -> None:
        self._cache = cache
        self._hot = hot
        self._states: OrderedDict[str, Execution] = OrderedDict()
        self._under_way: Counter[str] = Counter()

    def get(self, execution_id: str) -> Execution | None:
        """The state that the next command of this execution meets."""
        state = self._states.get(execution_id)
        if state is not None:
            self._states.move_to_end(execution_id)
            return state
        state = self._cache.get(execution_id)
        if state is not None:  # it is asked for again before the command is decided
            self._states[execution_id] = state
            self._forget_coldest()
        return state

    def decided(self, execution_id: str, state: Execution | None) -> None:
        """An outcome was decided and is on its way to the log."""
        self._under_way[execution_id] += 1
        if state is not None:
            self._states[execution_id] = state
            self._states.move_to_end(execution_id)

    def released(self, execution_id: str) -> None:
        """An outcome of the execution was released, and its state is in the cache."""
        self._under_way[execution_id] -= 1
        if not self._under_way[execution_id]:
            del self._under_way[execution_id]
        self._forget_coldest()

    def _forget_coldest(self) -> None:
        while len(self._states) > self._hot:
            coldest = next((x for x in self._states if x not in self._under_way), None)
            if coldest is None:
                return
            del self._states[coldest]
