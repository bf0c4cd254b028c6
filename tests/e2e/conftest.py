"""What every end-to-end test has: a server of its own, and the shop whose program runs against it."""

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support.program import Program
from tests.support.server import Json, Server, clean_environment, run, turn

REFUND = {"customer_id": "cust-1", "amount_usd": 25.5, "reason": "charged twice"}
LOOKUP = {"email": "ada@example.com"}

SERVE = ("-m", "tests.e2e.shop", "serve")


class Shop:
    """The shop's programs, all against one server, and the effects that they left."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._database = folder / "shop.sqlite3"
        shop.make_database(self._database)
        self.server = server
        self.environment = clean_environment() | {
            "AGENTSPAN_SERVER_URL": server.url,
            "AGENTSPAN_AUTOSTART": "0",
            "SHOP": str(self._database),
        }

    def worker(self, *, hangs: bool = False, program: tuple[str, ...] = SERVE) -> Program:
        """A worker process; one that `hangs` never returns from the tools that metadata names."""
        worker = Program(program, self.environment | ({"HANGS": "1"} if hangs else {}))
        assert worker.line() == "serving"
        return worker

    def program(self, *arguments: str) -> Program:
        """Any of the program's verbs."""
        return Program(["-m", "tests.e2e.shop", *arguments], self.environment)

    def command(self, *arguments: str) -> str:
        """What `agentspan ...` says on both its outputs, when it succeeds."""
        done = run([str(Path(sys.executable).with_name("agentspan")), *arguments], self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def register(self) -> None:
        """Tell the server of the agent, without any worker."""
        definition = shop.shop_agent.definition.model_dump(mode="json")
        assert self.server.http.put("/agents", json=definition).is_success

    def effects(self, tool: str, execution_id: str | None = None) -> list[tuple[str, int]]:
        """`(idempotency key, attempt)` of each time that the tool's code ran, oldest first."""
        query = "SELECT key, attempt FROM effects WHERE tool = ? AND execution_id = ifnull(?, execution_id)"
        with sqlite3.connect(self._database, timeout=20) as database:
            rows: list[tuple[str, int]] = database.execute(f"{query} ORDER BY rowid", (tool, execution_id)).fetchall()
        database.close()
        return rows


def offer_turns() -> tuple[Json, ...]:
    """Offer a credit that nobody decides in time, and answer."""
    return turn("", ("offer_credit", {"customer_id": "cust-1", "amount_usd": 10})), turn("No credit then.")


def refund_turns() -> tuple[Json, ...]:
    """Look up, refund, answer."""
    return (
        turn("", ("lookup_customer", LOOKUP)),
        turn("", ("issue_refund", REFUND)),
        turn("The refund is made."),
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, lease_s=3) as running:
        running.record("refund", *refund_turns())
        running.record("refund_at_once", *refund_turns()[1:])
        running.record("offer", *offer_turns())
        yield running


@pytest.fixture
def the_shop(server: Server, tmp_path: Path) -> Shop:
    return Shop(server, tmp_path)
