"""Whether the process lives, and whether it can take work now: for supervisors and load balancers."""

from collections.abc import Callable

from fastapi import APIRouter

from agentspan_doors import DoorError
from agentspan_schemas import Wire


class Health(Wire):
    """The process lives, or can take work: whichever was asked."""

    status: str = "ok"
    history: str | None = None
    """Why lists and past runs fall behind, lack events, or can't be read. Work goes on; the log has everything."""
    approvals: str | None = None
    """Why requests for a decision are missing: their partitions wait for a later release."""
    executions: str | None = None
    """Of how many executions nothing is decided here, as a record of theirs can't be read."""


def router(unready: Callable[[], str | None], health: Callable[[], Health]) -> APIRouter:
    """`unready` says why no work can be taken now, None: it can; `health` what is to be said nevertheless."""
    api = APIRouter(tags=["health"])

    @api.get("/livez", summary="Does the process live?")
    async def livez() -> Health:
        """It answers, so it does."""
        return Health()

    @api.get("/readyz", summary="Can it take work?")
    async def readyz() -> Health:
        """503 while it restores, drains, or cannot write. It does not wait for ClickHouse, nor for an upgrade: see
        `history`, `approvals` and `executions`."""
        if reason := unready():
            raise DoorError(503, "not_ready", reason)
        return health()

    return api
