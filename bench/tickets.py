"""From a ticket on the topic to the first model call that it leads to, as another team would see it.

Apart because only a cluster has the topic, and because it measures by the events' own times: the model lane notes when
each call began.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from agentspan.topics import Ticket, Topics, connect
from agentspan_schemas.ids import execution_id_for

from . import job
from .results import p
from .site import TOPIC_PREFIX, Site

SOURCE: Final = "bench"
EVERY_S: Final = 0.05


async def measured(site: Site, bootstrap: str, count: int) -> dict[str, float]:
    """One ticket after the other, at leisure; they stay parked."""
    async with connect(bootstrap, prefix=TOPIC_PREFIX) as topics:
        await _send(topics, "tickets-warm")  # connects
        sent = {f"tickets-{number}": await _send(topics, f"tickets-{number}") for number in range(count)}
    await site.until_history_has("waiting", count + 1)
    took_ms = [await _took_ms(site, name, at) for name, at in sent.items()]
    return {"ticket_to_model_ms/p50": p(50, took_ms), "ticket_to_model_ms/p99": p(99, took_ms)}


async def _send(topics: Topics, name: str) -> datetime:
    await asyncio.sleep(EVERY_S)
    at = datetime.now(UTC)
    await topics.emit(Ticket(id=name, source=SOURCE, agent=job.AGENT, text=job.ticket_text(name)))
    return at


async def _took_ms(site: Site, name: str, at: datetime) -> float:
    events = (await site.get(f"/executions/{execution_id_for(SOURCE, name)}/events"))["items"]
    replied = next(event for event in events if event["type"] == "model_replied")
    return (datetime.fromisoformat(replied["began_at"]) - at).total_seconds() * 1000
