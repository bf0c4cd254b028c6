"""Whether the process lives, and whether it can take work now: for supervisors and load balancers."""

from collections.abc import Callable

from fastapi import APIRouter

from agentspan_doors import DoorError
from agentspan_schemas import Wire


class Health(Wire):
    """It does."""

    status: str = "ok"


def router(unready: Callable[[], str | None]) -> APIRouter:
    """`unready` says why no work can be taken now; None: it can."""
    api = APIRouter(tags=["health"])

    @api.get("/livez", summary="Does the process live?")
    async def livez() -> Health:
        """Always, when it answers."""
        return Health()

    @api.get("/readyz", summary="Can it take work?")
    async def readyz() -> Health:
        """503 while it restores, drains, or cannot write. It does not wait for ClickHouse: history may come later."""
        if reason := unready():
            raise DoorError(503, "not_ready", reason)
        return Health()

    return api
