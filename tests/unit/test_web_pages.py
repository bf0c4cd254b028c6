"""The pages over a history that is made by hand: what they show, what they escape, and what goes wrong."""

import ast
import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from agentspan.agents import Agent
from agentspan.eventlog.memory import MemoryLog
from agentspan_query.domain.filters import ExecutionFilter
from agentspan_query.domain.rows import execution_row
from agentspan_query.domain.story import PendingCall, stopped_call
from agentspan_query.domain.views import HistoryPage, Start, StoredEvent, listed_view
from agentspan_query.errors import BadCursor, HistoryFailed, HistoryUnavailable, QueryError
from agentspan_query.service import Query
from agentspan_query.tail import Tail
from agentspan_query.web import web_routes
from agentspan_query.web.rendering import HERE
from agentspan_schemas import JsonObject
from agentspan_schemas.codec import EVENTS, encode
from agentspan_schemas.events import Event, Started, Status, Waiting
from agentspan_schemas.http import ExecutionView
from tests.support.query_history import T0, History

EVIL = "<script>alert('x')</script> & \"quotes\""


class Told:
    """A history port that tells what it was given, or fails."""

    def __init__(
        self,
        *histories: History,
        error: QueryError | None = None,
        events: Sequence[StoredEvent] = (),
        lacks_calls: bool = False,
    ) -> None:
        self._events = {history.execution_id: [_stored(event) for event in history.events] for history in histories}
        self._rows = [_view(history) for history in histories]
        self._more = events
        self._error = error
        self._lacks_calls = lacks_calls

    async def executions(self, chosen: ExecutionFilter, *, cursor: str | None = None, limit: int = 50) -> HistoryPage:
        self._fail()
        return HistoryPage(tuple(row for row in self._rows if chosen.agent in (None, row.agent)), None)

    async def pending(self, views: Sequence[ExecutionView]) -> Mapping[str, Sequence[PendingCall]]:
        names = [view.execution_id for view in views]
        stopped = {name: [EVENTS.decode(e.payload.encode()) for e in self._events[name]] for name in names}
        return {
            name: [stopped_call(event) for event in events if isinstance(event, Waiting)]
            for name, events in stopped.items()
            if not self._lacks_calls
        }

    async def edges(self, execution_id: str) -> tuple[Started, Event] | None:
        raise AssertionError("pages read the events themselves")

    async def events(self, execution_id: str, *, after: int = 0, limit: int = 500) -> Sequence[StoredEvent]:
        self._fail()
        return [item for item in (*self._events.get(execution_id, ()), *self._more) if item.seq > after][:limit]

    async def status_counts(self, chosen: ExecutionFilter) -> Mapping[Status, int]:
        return {"waiting": len(self._rows)}

    async def agents(self) -> Sequence[str]:
        return sorted({row.agent for row in self._rows})

    def _fail(self) -> None:
        if self._error:
            raise self._error


def _stored(event: Event) -> StoredEvent:
    return StoredEvent(event.seq, event.type, encode(event).decode())


def _view(history: History) -> Any:
    first = history.events[0]
    assert isinstance(first, Started)
    return listed_view(execution_row(history.events[-1]), Start(first.prompt, first.requested_by, "", ""))


@asynccontextmanager
async def browsing(told: Told) -> AsyncIterator[httpx.AsyncClient]:
    log = MemoryLog(1)
    tail = Tail(log)
    query = Query(log=log, history=told, tail=tail, now=lambda: T0)
    app = Starlette(routes=web_routes(query, now=lambda: T0 + timedelta(hours=2)))
    following = asyncio.create_task(tail.run())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:7000") as client:
        yield client
    following.cancel()


async def get(told: Told, path: str) -> httpx.Response:
    async with browsing(told) as client:
        return await client.get(path)


async def test_a_place_that_the_log_has_not_is_a_page_that_says_so() -> None:
    page = await get(Told(History("exec-a").started()), "/executions/exec-a?min_position=9:9")
    assert page.status_code == 422
    assert "there is no partition 9" in page.text


async def test_before_the_first_run_the_list_says_how_to_begin() -> None:
    page = await get(Told(), "/")
    assert page.status_code == 200
    assert "No agent has run here yet" in page.text
    assert "AGENTSPAN_SERVER_URL=http://localhost:7000 python hello.py" in page.text


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("https", "https://agentspan.example.com"),
        ("HTTPS, http", "https://agentspan.example.com"),
        ("http", "http://agentspan.example.com"),
        ("javascript", "http://agentspan.example.com"),
    ],
)
async def test_behind_a_proxy_it_says_the_address_that_the_browser_asked_for(said: str, address: str) -> None:
    async with browsing(Told()) as client:
        page = await client.get("/", headers={"Host": "agentspan.example.com", "X-Forwarded-Proto": said})
    assert f"AGENTSPAN_SERVER_URL={address} python hello.py" in page.text


def test_the_quickstart_is_a_program_with_an_agent() -> None:
    source = (HERE / "templates" / "quickstart.py.txt").read_text()
    ast.parse(source)
    names: dict[str, Any] = {"__name__": "hello"}
    exec(source, names)
    assert isinstance(names["agent"], Agent)
    assert names["agent"].definition.tools[0].approval_required


async def test_filters_that_match_nothing_lead_back_to_all() -> None:
    page = await get(Told(History("exec-a").started()), "/executions?agent=nobody")
    assert "No execution matches these filters" in page.text
    assert 'href="/executions">Clear filters' in page.text


async def test_a_row_shows_the_execution_and_escapes_what_was_asked() -> None:
    page = await get(Told(History("exec-a").started(EVIL).waiting()), "/executions")
    assert "/executions/exec-a" in page.text
    assert "issue_refund" in page.text
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text


async def test_what_waits_is_told_with_its_arguments_how_long_it_waits_and_until_when() -> None:
    args: JsonObject = {"amount_usd": 99, "note": f"{EVIL}, amount_usd=1", "hidden": "\u202e"}
    run = History("exec-a").started().waiting("suspend", call_id="1-1", args={"n": "x" * 500}, expires_s=7200)
    run.waiting(args=args)
    page = await get(Told(run), "/executions?status=waiting")
    assert "suspend(n=&#34;xxxx" in page.text
    assert "x" * 49 not in page.text
    assert "issue_refund(amount_usd=99, note=&#34;&lt;script&gt;alert(" in page.text
    assert r"hidden=&#34;\u202e&#34;" in page.text
    assert "1 h 59 min</time>; rejected at" in page.text
    assert "2026-03-01 11:00:02 UTC" in page.text
    assert page.text.count("unless somebody decides") == 1


async def test_where_history_lacks_a_call_its_tool_is_named() -> None:
    page = await get(Told(History("exec-a").started().waiting(), lacks_calls=True), "/executions?status=waiting")
    assert '<span class="id">issue_refund</span>' in page.text


async def test_a_bad_filter_is_a_page_that_names_it() -> None:
    page = await get(Told(), "/executions?status=<b>")
    assert page.status_code == 422
    assert "status: &#39;&lt;b&gt;&#39; is none of running" in page.text


async def test_a_cursor_of_another_list_is_a_page_that_leads_back() -> None:
    page = await get(Told(error=BadCursor("cursor 'x' belongs to a list with other filters")), "/executions?cursor=x")
    assert (page.status_code, "other filters" in page.text) == (422, True)


@pytest.mark.parametrize("path", ["/", "/executions/exec-a"])
async def test_while_history_is_not_there_the_page_says_so_and_looks_again(path: str) -> None:
    page = await get(Told(error=HistoryUnavailable("it starts")), path)
    assert (page.status_code, page.headers["retry-after"]) == (503, "2")
    assert "History isn&#39;t here yet" in page.text
    assert '<meta http-equiv="refresh" content="2">' in page.text


async def test_a_history_that_fails_is_an_error_and_is_not_asked_again_and_again() -> None:
    page = await get(Told(error=HistoryFailed("out of memory", 241)), "/")
    assert (page.status_code, "out of memory" in page.text, "refresh" in page.text) == (500, True, False)


async def test_an_unknown_execution_is_a_page_with_404() -> None:
    page = await get(Told(), "/executions/exec-nope")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is no execution &#39;exec-nope&#39;" in page.text


@pytest.mark.parametrize(("accept", "kind"), [("text/html,*/*;q=0.8", "text/html"), ("*/*", "text/plain")])
async def test_a_path_that_there_is_not_is_a_page_for_browsers_alone(accept: str, kind: str) -> None:
    async with browsing(Told()) as client:
        answer = await client.get("/approvals", headers={"Accept": accept})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith(kind)
    assert ("There is nothing at &#39;/approvals&#39;" in answer.text) == (kind == "text/html")


@pytest.mark.parametrize("path", ["/", "/executions/exec-a", "/executions/exec-nope", "/executions?status=x"])
async def test_nothing_but_the_servers_own_files_may_run_on_a_page(path: str) -> None:
    page = await get(Told(History("exec-a").started().waiting()), path)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;")
    for part in ("connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "http://" not in page.text.replace("http://localhost:7000", "")


async def test_a_waiting_call_stands_before_everything_else_with_what_a_decision_must_name() -> None:
    page = await get(Told(History("exec-a").started(EVIL).waiting()), "/executions/exec-a")
    card, facts = page.text.index("waits for your decision"), page.text.index('class="facts"')
    assert card < facts
    assert f'data-args-hash="{"1" * 64}"' in page.text
    assert 'data-url="/api/v1/approvals/exec-a.1-0/decision"' in page.text
    assert "Waiting for 1 h 59 min" in page.text
    assert "<script>alert" not in page.text


async def test_a_page_of_a_run_that_goes_on_is_followed_and_one_that_is_over_is_not() -> None:
    going = await get(Told(History("exec-a").started()), "/executions/exec-a")
    assert 'data-live="/api/v1/executions/exec-a/stream"' in going.text
    assert "tool_result" in going.text.partition("data-types=")[2][:300]
    over = await get(Told(History("exec-a").started().done()), "/executions/exec-a")
    assert "data-live" not in over.text


async def test_an_event_of_a_later_release_is_shown_as_it_is() -> None:
    later = StoredEvent(2, "teleported", '{"type": "teleported", "to": "<moon>"}')
    page = await get(Told(History("exec-a").started(), events=[later]), "/executions/exec-a")
    assert page.status_code == 200
    assert "written by a later release" in page.text
    assert "&lt;moon&gt;" in page.text


async def test_more_events_than_a_page_holds_are_paged() -> None:
    history = History("exec-a").started()
    for _ in range(1100):
        history.waiting()
    async with browsing(Told(history)) as client:
        first = (await client.get("/executions/exec-a")).text
        assert "1 to 500 of 1,101 events" in first
        assert "?after=500" in first
        assert "?after=1000" in first
        last = (await client.get("/executions/exec-a?after=1000")).text
        assert "1,001 to 1,101 of 1,101 events" in last
        assert 'id="e1101"' in last
        assert 'id="e1000"' not in last
        assert "waits for your decision" in last
        beyond = (await client.get("/executions/exec-a?after=9999")).text
        assert "There is no event behind number 9,999" in beyond


@pytest.mark.parametrize("query", ["after=x", "after=-1", "min_position=7"])
async def test_a_number_that_is_none_is_named(query: str) -> None:
    page = await get(Told(History("exec-a").started()), f"/executions/exec-a?{query}")
    assert (page.status_code, query.partition("=")[0] in page.text) == (422, True)


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    async with browsing(Told()) as client:
        first = await client.get("/static/app.css")
        assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
        again = await client.get("/static/app.css", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        script = await client.get("/static/app.js")
        assert "javascript" in script.headers["content-type"]


@pytest.mark.parametrize("path", ["/static/nope.js", "/static/../rendering.py", "/static/%2e%2e/rendering.py"])
async def test_no_other_file_is_served(path: str) -> None:
    assert (await get(Told(), path)).status_code == 404
