"""A server on a cluster of its own topics, the shop's worker, and another team beside them with a plain client.

Apart from the tests, several of which need it.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentspan_schemas.ids import execution_id_for
from tests.e2e.conftest import Shop, refund_turns
from tests.kafka import history
from tests.kafka.servers import Process, create_topics
from tests.kafka.teams import Json, Team
from tests.support.eventually import eventually


@dataclass(frozen=True)
class Circle:
    """A server on a cluster, and the team beside it."""

    server: Process
    shop: Shop
    team: Team
    bootstrap: str
    prefix: str

    @property
    def log(self) -> str:
        return f"kafka://{self.bootstrap}?prefix={self.prefix}"

    def started(self) -> dict[str, int]:
        """How often each execution was started, by the log."""
        events = history.read(self.bootstrap, f"{self.prefix}.events").events
        return {key: sum(event["type"] == "started" for event in found) for key, found in events.items()}

    def exists(self, source: str, id_: str) -> bool:
        return self.server.http.get(f"/executions/{execution_id_for(source, id_)}").status_code == 200

    def await_started(self, source: str, id_: str) -> None:
        eventually(lambda: self.exists(source, id_), f"{source}/{id_} is started")

    def request(self) -> Json | None:
        """The one request on the approvals topic, as it stands."""
        return next(iter(self.team.latest("approvals").values()), None)

    def await_request(self, state: str, attempts: int = 0) -> Json:
        found: list[Json] = []

        def there() -> bool:
            request = self.request()
            found[:] = [request] if request else []
            return request is not None and (request["state"], request["attempts_total"]) == (state, attempts)

        eventually(there, f"the request is {state} after {attempts} decisions: {found}")
        return found[0]


@contextmanager
def opened_circle(bootstrap: str, folder: Path) -> Iterator[Circle]:
    """Its topics have a prefix of their own; the shop's agent is registered and not served."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    log = f"kafka://{bootstrap}?prefix={prefix}"
    create_topics(log)
    with Process(folder, log, "server", "start") as server:
        server.record("refund_at_once", *refund_turns()[1:])
        shop = Shop(server, folder)
        shop.register()
        yield Circle(server, shop, Team(bootstrap, prefix), bootstrap, prefix)
