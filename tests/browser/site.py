"""A server with runs to look at, and one browser on it: what all browser tests share, made once."""

import asyncio
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext

from agentspan.agents import AgentRuntime
from tests.browser import agents
from tests.support.program import Program
from tests.support.server import Json, Server, turn

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

REFUND = {"customer_id": "cust-1", "amount_usd": 99.5, "reason": "charged twice <b>in November</b>"}
LETTER = {
    "address": "x" * 3_000,
    "text": "".join(f"line {number} of a long letter\n" for number in range(4_000)),
    "enclosures": [{"number": number, "title": f"invoice {number}"} for number in range(1_000)],
}
DOUBTS = 4


class Site:
    """The server, the runtime that serves its agents in this process, and the browser."""

    def __init__(self, server: Server, browser: Browser) -> None:
        self.server = server
        self.browser = browser
        self.runtime = AgentRuntime(server.url)
        self.doubtful: list[str] = []
        """Executions whose only call is in doubt, or will be in a few seconds; the last one stays so."""

    def prepare(self) -> None:
        """Record what models say, serve the agents, and lose a worker in the middle of some calls."""
        self._record()
        self._lose_a_worker()
        self.runtime.serve(agents.shop, agents.desk, agents.post, blocking=False)

    def _record(self) -> None:
        say = self.server.record
        lookup = turn("I look the customer up.", ("lookup_customer", {"email": "ada@example.com"}))
        say("answer", lookup, turn("Settings, then Export."))
        say("refund", lookup, turn("Charged twice.", ("issue_refund", REFUND)), turn("That is settled."))
        calls: list[tuple[str, Json]] = [("issue_refund", REFUND), ("suspend_account", {"customer_id": "cust-1"})]
        say("two", turn("", *calls), turn("Both are settled."))
        say("letter", turn("", ("send_letter", LETTER)), turn("It is sent."))
        say("charge", turn("", ("charge_card", {"amount_usd": 12})), turn("The card is settled."))

    def _lose_a_worker(self) -> None:
        with Program(["-m", "tests.browser.agents", self.server.url], self.server.environment) as program:
            assert program.line() == "serving"
            self.doubtful = [self.server.begin("charge", agent="fragile") for _ in range(DOUBTS)]
            for execution_id in self.doubtful:
                self.server.await_event(execution_id, "waiting")
                assert self.server.decide(execution_id, "1-0").is_success
            for _ in self.doubtful:
                assert program.line() == "inside"
            program.kill()

    def begin(self, recording: str, prompt: str = "Refund me, please.", *, agent: str = "shop") -> str:
        """Start an execution; its id."""
        body = {"agent": agent, "prompt": prompt, "metadata": {"recording": recording}}
        return str(self.server.post("/executions", body)["execution_id"])

    async def waiting(
        self, recording: str = "refund", prompt: str = "Refund me, please.", *, agent: str = "shop"
    ) -> str:
        """An execution that waits for a person."""
        execution_id = self.begin(recording, prompt, agent=agent)
        await self.event(execution_id, "waiting")
        return execution_id

    async def event(self, execution_id: str, *types: str) -> Json:
        """The first event of these types."""
        return await asyncio.to_thread(self.server.await_event, execution_id, *types)

    async def decide(self, execution_id: str, call_id: str, decision: str, user: str, **more: object) -> httpx.Response:
        """Somebody else decides."""
        return await asyncio.to_thread(self.server.decide, execution_id, call_id, decision, user, **more)

    async def listed(self) -> None:
        """Return when the list knows all that has happened until now: it knows a later write."""
        body = {"agent": "desk", "prompt": "a later one", "metadata": {"recording": "answer"}}
        position = self.server.post("/executions", body)["position"]
        await asyncio.to_thread(self.server.get, "/executions", limit=1, min_position=position)

    async def context(self, **options: Any) -> BrowserContext:
        """A browser of its own, that a test closes."""
        return await self.browser.new_context(base_url=self.server.url, **options)
