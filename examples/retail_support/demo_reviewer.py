"""The people who decide: they look at what waits for a decision, and approve or reject exactly the call they saw.

Apart because it is the one part that speaks for humans. It knows nothing of tickets or tasks: it reads the approvals
from the public API and posts decisions, each with the hash of the arguments it saw.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final, Literal

from agentspan_schemas.approvals import ApprovalRecord
from agentspan_schemas.http import DecisionRequest

from .demo_api import Api

LOOK_EVERY_S: Final = 0.1

SMALL_REFUND_USD: Final = 25
LARGE_REFUND_USD: Final = 250
LATE_DESK: Final = "support_agent"
"""What this agent asks for waits for somebody who comes in late, small refunds aside."""


class Reviewer:
    """Decides everything that waits; what the late desk has to decide, from `open_late_desk` on."""

    def __init__(self, api: Api) -> None:
        self.decided: Counter[str] = Counter()
        """How many calls were approved, and how many rejected."""
        self._api = api
        self._late_desk_is_open = False

    def open_late_desk(self) -> None:
        """Somebody came in."""
        self._late_desk_is_open = True

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            waiting = [record for record in await self._api.approvals("pending") if self._is_due(record)]
            async with asyncio.TaskGroup() as group:
                for record in waiting:
                    group.create_task(self._decide(record))
            await asyncio.sleep(0 if waiting else LOOK_EVERY_S)

    def _is_due(self, record: ApprovalRecord) -> bool:
        if self._late_desk_is_open or record.agent != LATE_DESK:
            return True
        amount = refund_usd(record)
        return amount is not None and amount <= SMALL_REFUND_USD

    async def _decide(self, record: ApprovalRecord) -> None:
        decision = judge(record)
        await self._api.decide(record.approval_id, decision)
        self.decided[decision.decision] += 1


def judge(record: ApprovalRecord) -> DecisionRequest:
    """What a reviewer says to the call: small refunds by rule, large ones never, the rest after a look."""
    match refund_usd(record):
        case int() | float() as amount if amount <= SMALL_REFUND_USD:
            return _decision(record, "approve", f"refunds up to ${SMALL_REFUND_USD} are approved by rule")
        case int() | float() as amount if amount > LARGE_REFUND_USD:
            return _decision(record, "reject", "Amount too large, escalate to finance")
        case _:
            return _decision(record, "approve", None)


def refund_usd(record: ApprovalRecord) -> float | None:
    """How much the call would refund; None when it is no refund."""
    match record.tool, record.args:
        case "issue_refund", {"amount_usd": int() | float() as amount}:
            return amount
        case _:
            return None


def _decision(record: ApprovalRecord, verdict: Literal["approve", "reject"], reason: str | None) -> DecisionRequest:
    return DecisionRequest(decision=verdict, args_hash=record.args_hash, reason=reason)
