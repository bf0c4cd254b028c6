"""Sends a ticket, approves small refunds, and says what came of each decision."""

import asyncio
import os

from agentspan.topics import ApprovalRecord, Ticket, connect


async def main() -> None:
    prefix = os.environ.get("AGENTSPAN_PREFIX", "agentspan")
    async with connect(os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092"), prefix=prefix) as topics:
        await topics.emit(Ticket(id="T-1", source="crm", agent="support", text="My invoice is wrong"))
        async for request in topics.approvals():
            for attempt in request.attempts:
                if attempt.by == "service:risk":
                    print(request.approval_id, "accepted" if attempt.accepted else attempt.code, flush=True)
            if request.state == "pending" and is_small(request):
                await topics.decide(request, "approve", by="risk", reason="below the limit")


def is_small(request: ApprovalRecord) -> bool:
    usd = request.args.get("usd")
    return request.tool == "refund" and isinstance(usd, int | float) and usd < 50


if __name__ == "__main__":
    asyncio.run(main())
