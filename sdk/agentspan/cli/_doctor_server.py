"""The checks that ask the server: whether it answers, takes work, is of this release and keeps its history up;
its clock; and what open runs wait for that nobody can give them."""

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from agentspan.agents import AgentspanError, ConfigurationError
from agentspan.agents._discovery import server_url
from agentspan.cli._api import MOST, Server, talk
from agentspan.cli._ask import Answer, fetched, reason
from agentspan.cli._checks import Check
from agentspan.cli._history import open_calls
from agentspan.cli._respond import missing_for

SKEW_S = 5.0
OPEN_RUNS = 200
"""So many open runs are looked at, the newest first."""


class Asked:
    """One server."""

    def __init__(self, url: str, *, has_server: bool, get: "Callable[[str], Answer] | None" = None) -> None:
        self._url = url
        self._has_server = has_server
        self._get = get or fetched
        self._alive: Answer | None = None

    def checks(self) -> Sequence[Callable[[], Check | None]]:
        """What is not asked of one that does not answer is left out."""
        return (self.reached, self.ready, self.release, self.clock, self.waiting, self.missing)

    def reached(self) -> Check:
        """Whether an Agentspan server is there."""
        try:
            server_url(self._url)
        except ConfigurationError as error:
            return Check("server", "fail", str(error), "correct AGENTSPAN_SERVER_URL, or take it out")
        try:
            answer = self._get(f"{self._url}/livez")
        except OSError as error:
            return Check("server", "fail", f"nobody answers at {self._url} ({reason(error)})", self._start())
        if answer.status != 200 or answer.body.get("status") != "ok":
            said = f"{self._url} answers, and is no Agentspan server (GET /livez: {answer.status})"
            return Check("server", "fail", said, "name another in AGENTSPAN_SERVER_URL, or free the port")
        self._alive = answer
        return Check("server", "ok", f"answers at {self._url}")

    def ready(self) -> Check | None:
        """Whether it takes work; and whether history falls behind."""
        if self._alive is None:
            return None
        answer = self._get(f"{self._url}/readyz")
        if answer.status != 200:
            why = answer.body.get("detail") or f"GET /readyz: {answer.status}"
            return Check(
                "ready", "fail", f"it takes no work: {why}", "wait a moment; `agentspan server logs` says more"
            )
        if waiting := answer.body.get("approvals"):
            next_step = "upgrade the server to the release of the others: until then those requests are shown nowhere"
            return Check("ready", "warn", f"takes work; {waiting}", next_step)
        if still := answer.body.get("executions"):
            next_step = "`agentspan server logs --level warning`, and `agentspan dlq list --topic events`"
            return Check("ready", "warn", f"takes work; {still}", next_step)
        if behind := answer.body.get("history"):
            next_step = "work goes on, lists are late; `agentspan server logs --level warning` says why"
            return Check("ready", "warn", f"takes work; history falls behind: {behind}", next_step)
        return Check("ready", "ok", "takes work, and history is up to date")

    def release(self) -> Check | None:
        """Whether it is of the release of this client."""
        if self._alive is None:
            return None
        info = self._get(f"{self._url}/api/v1/openapi.json").body.get("info")
        theirs = info.get("version") if isinstance(info, dict) else None
        try:
            ours = version("agentspan")
        except PackageNotFoundError:
            return None
        if theirs is None or theirs == ours:
            return Check("release", "ok", f"the server is {theirs or 'of a release that it does not tell'}")
        return Check("release", "warn", f"the server is {theirs}, this is {ours}", f"pip install 'agentspan=={theirs}'")

    def clock(self) -> Check | None:
        """Whether both clocks agree; nothing breaks when not, but moments look wrong."""
        if self._alive is None or self._alive.date is None:
            return None
        skew_s = self._alive.at - self._alive.date.timestamp() - 0.5  # the header has whole seconds
        if abs(skew_s) <= SKEW_S:
            return Check("clock", "ok", f"within {SKEW_S:g} s of the server's")
        ahead = "ahead of" if skew_s > 0 else "behind"
        said = f"this clock is {abs(skew_s):.0f} s {ahead} the server's"
        return Check("clock", "warn", said, "set both by NTP: ages, --since and leases read wrong otherwise")

    def waiting(self) -> Check | None:
        """What waits for a person."""
        if self._alive is None:
            return None
        try:
            pending, doubtful = talk(_waiting)
        except AgentspanError as error:
            return Check("approvals", "fail", str(error), "`agentspan server logs` says more")
        said = f"{_many(pending)} wait for a decision, {_many(doubtful)} are in doubt"
        if doubtful:
            return Check(
                "approvals", "warn", said, "`agentspan approvals list --state in_doubt`, then find out and resolve"
            )
        return Check("approvals", "ok", said)

    def missing(self) -> Check | None:
        """Open calls that no live worker can run."""
        if self._alive is None:
            return None
        try:
            looked_at, problems = talk(_unserved)
        except AgentspanError as error:
            return Check("workers", "fail", str(error), "`agentspan server logs` says more")
        if problems:
            return Check("workers", "warn", f"waited for, {len(problems)} in all: {problems[0]}", NEXT_WORKER)
        return Check("workers", "ok", f"nothing in {looked_at} open runs waits for a worker")

    def _start(self) -> str:
        local = urlsplit(self._url).hostname in ("localhost", "127.0.0.1", "::1")
        if not local:
            return "check the address in AGENTSPAN_SERVER_URL, and that the server runs there"
        return (
            "`agentspan server start --detach`"
            if self._has_server
            else "pip install 'agentspan[server]', then start it"
        )


async def _waiting(server: Server) -> tuple[int, int]:
    """How many calls are pending, and how many in doubt."""
    pending, doubtful = [await server.approvals([("state", state)]) for state in ("pending", "in_doubt")]
    return len(pending), len(doubtful)


def _many(count: int) -> str:
    return str(count) if count < MOST else f"{MOST} or more"


NEXT_WORKER = (
    "`agentspan tool-runner MODULE:AGENT`; `agentspan agent rebind MODULE:AGENT --check` says whether code fits"
)


async def _unserved(server: Server) -> tuple[int, list[str]]:
    """How many open runs were looked at, and what to start for them."""
    runs, _ = await server.executions([("status", "running"), ("status", "waiting")], OPEN_RUNS)
    calls = {
        (call.agent, call.tool, call.input_schema_hash)
        for run in runs
        if run.totals.tool_calls
        for call in open_calls(await server.events(run))
    }
    found = [await missing_for(server, *call) for call in sorted(calls)]
    return len(runs), [problem for problem in found if problem]
