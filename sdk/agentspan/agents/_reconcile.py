"""Asks the `reconcile` functions of the tools served here what became of the calls in doubt, and tells the server.

It looks when it begins and every `AGAIN_S` after; a call that nobody could tell about is asked about again. Two
processes may find out the same: the first answer counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, assert_never

from pydantic import ValidationError

from agentspan.agents._client import Client
from agentspan.agents._context import ToolContext, context_set
from agentspan.agents._errors import AgentspanError, Conflict, RequestFailed
from agentspan.agents._outcome import CallOutcome
from agentspan.agents._serialise import Raised, Returned, serialise
from agentspan.agents._tools import Tool
from agentspan.agents.worker import ToolThreads
from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.http import ResolutionRequest

logger = logging.getLogger(__name__)

AGAIN_S = 15.0

Served = tuple[str, Tool[..., Any]]
"""An agent's name, and one of its tools that has a reconcile function."""


class Reconciler:
    """Resolves calls in doubt of the tools that `served` names."""

    def __init__(
        self,
        client: Client,
        served: Callable[[], Iterable[Served]],
        threads: ToolThreads,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._served = served
        self._threads = threads
        self._sleep = sleep

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for agent, tool in tuple(self._served()):
                await self._look(agent, tool)
            await self._sleep(AGAIN_S)

    async def _look(self, agent: str, tool: Tool[..., Any]) -> None:
        try:
            async with aclosing(self._client.in_doubt(agent, tool.name)) as records:
                async for record in records:
                    await self._reconcile(record, tool)
        except AgentspanError as error:
            logger.info("calls in doubt of %r can't be looked at now: %s", tool.name, error)

    async def _reconcile(self, record: ApprovalRecord, tool: Tool[..., Any]) -> None:
        """A call that the server refuses something about keeps no other from being asked about."""
        try:
            if record.attempt is None or (outcome := await self._ask(record, tool)) is None:
                return
            request = _resolution(record.attempt, tool, outcome)
            if request is not None:
                await self._client.resolve(record.execution_id, record.call_id, request)
        except Conflict as error:
            logger.info("call %s of %r was resolved by somebody else: %s", record.call_id, tool.name, error)
        except RequestFailed as error:
            logger.warning("call %s of %r can't be resolved from here: %s", record.call_id, tool.name, error)

    async def _ask(self, record: ApprovalRecord, tool: Tool[..., Any]) -> CallOutcome | None:
        assert tool.reconciler is not None
        function, signature = tool.reconciler
        context = ToolContext(
            execution_id=record.execution_id,
            agent=record.agent,
            call_id=record.call_id,
            attempt=record.attempt or 1,
            idempotency_key=f"{record.execution_id}.{record.call_id}",
            metadata=(await self._client.execution(record.execution_id)).metadata,
        )

        def ask() -> CallOutcome | None:
            with context_set(context):
                args, kwargs = signature.bind(record.args, context)
                return function(*args, **kwargs)

        try:
            said: object = await asyncio.wrap_future(self._threads.submit(ask))
        except ValidationError as error:
            logger.warning("the args of call %s don't fit reconcile of %r: %s", record.call_id, tool.name, error)
            return None
        except Exception:
            logger.exception("reconcile of %r raised for call %s", tool.name, record.call_id)
            return None
        if said is not None and not isinstance(said, CallOutcome):
            logger.error("reconcile of %r returned %r; it returns a CallOutcome or None", tool.name, said)
            return None
        return said


def _resolution(attempt: int, tool: Tool[..., Any], outcome: CallOutcome) -> ResolutionRequest | None:
    if outcome.kind != "succeeded":
        return ResolutionRequest(attempt=attempt, outcome=outcome.kind, error=outcome.error, reason=outcome.reason)
    result = serialise(tool.name, outcome.value)
    match result:
        case Returned():
            return ResolutionRequest(attempt=attempt, outcome="succeeded", value=result.value, reason=outcome.reason)
        case Raised():
            logger.error("reconcile of %r: %s", tool.name, result.error.message)
            return None
        case _:
            assert_never(result)
