"""The few tickets of the support agent (`examples/support_triage`) that travel along: other tools, people who say no.

Apart because they are another team's: its own agent, worker, database and expectations, on the same server.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agentspan_schemas.http import TicketRequest

from ..support_triage.clients import SupportApi
from ..support_triage.store import FILE_VARIABLE, Store
from ..support_triage.tickets import RECORDINGS, TICKETS

AGENT: Final = "support_agent"
WORKER: Final = "examples.support_triage.worker"
MODEL: Final = "support_triage"
MODEL_VARIABLE: Final = "SUPPORT_TRIAGE_MODEL"


class SupportDesk:
    """The support agent's tickets, and the company's systems in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._store = Store(lambda: file)

    @property
    def environment(self) -> dict[str, str]:
        """What its worker has to know."""
        return {MODEL_VARIABLE: f"replay/{MODEL}", FILE_VARIABLE: str(self._file)}

    def prepare(self, recordings: Path) -> list[TicketRequest]:
        """Lay out what the offline model plays, open the tickets in the company's systems, and return them."""
        shutil.copytree(RECORDINGS, recordings / MODEL)
        for ticket in TICKETS:
            SupportApi(self._store).open(ticket.id, ticket.email, ticket.message)
        return [TicketRequest(id=ticket.id, source="demo", agent=AGENT, text=ticket.prompt) for ticket in TICKETS]

    def effects(self) -> dict[str, Counter[str]]:
        """What was done, by execution: how often each kind of thing."""
        done: defaultdict[str, Counter[str]] = defaultdict(Counter)
        with self._store.reading() as connection:
            for key, kind in connection.execute("SELECT idempotency_key, kind FROM ledger"):
                done[key.partition(".")[0]][kind] += 1  # the product's key for a call: <execution id>.<call id>
        return done

    def wrong(self, executions: Mapping[str, str]) -> list[str]:
        """Tickets that did not leave exactly what they must, each thing once."""
        done = self.effects()
        return [
            f"{ticket.id}: expected {dict(Counter(ticket.effects))}, found {dict(done[executions[ticket.id]])}"
            for ticket in TICKETS
            if done[executions[ticket.id]] != Counter(ticket.effects)
        ]
