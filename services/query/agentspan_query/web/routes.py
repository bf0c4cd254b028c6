"""The routes of the pages: plain Starlette, as they are no part of the API. What goes wrong is a page too."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agentspan_query.domain.story import spent
from agentspan_query.errors import BadCursor, BadPosition, HistoryFailed, HistoryUnavailable
from agentspan_query.ports import Now
from agentspan_query.service import PAGE, At, Query
from agentspan_query.web.listing import PATH, STATUSES, BadFilter, Listing, parse, presets, tidied
from agentspan_query.web.reading import read_execution
from agentspan_query.web.rendering import HERE, Assets, Pages
from agentspan_schemas.codec import EVENTS

ROWS = 50
"""Executions on a page of the list."""

AGAIN_S = 2
"""How soon a page looks again for a history that is not there yet."""

DECIDED = "agentspan-decided"
"""The cookie with the place on the log of what this browser decided last."""

_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})")

Endpoint = Callable[[Request], Awaitable[Response]]


def web_routes(query: Query, *, now: Now) -> list[Route]:
    """The pages of history and their files."""
    web = _Web(query, Pages(now), now)
    return [
        Route("/", web.shown(web.executions), methods=["GET"]),
        Route(PATH, web.shown(web.executions), methods=["GET"]),
        Route(f"{PATH}/{{execution_id}}", web.shown(web.execution), methods=["GET"]),
        Route("/static/{name}", Assets().file, methods=["GET"]),
        Route("/{page}", web.shown(web.nowhere), methods=["GET"]),
    ]


class _Web:
    def __init__(self, query: Query, pages: Pages, now: Now) -> None:
        self._query = query
        self._pages = pages
        self._now = now
        self._quickstart = (HERE / "templates" / "quickstart.py.txt").read_text(encoding="utf-8")

    def shown(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with its errors as pages."""

        async def answered(request: Request) -> Response:
            try:
                return await endpoint(request)
            except (BadFilter, BadCursor, BadPosition) as error:
                return self._problem(422, "This filter can't be used", str(error), clear=True)
            except HistoryUnavailable as error:
                return self._not_yet(str(error))
            except HistoryFailed as error:
                return self._problem(500, "History can't be read", str(error))

        return answered

    async def executions(self, request: Request) -> Response:
        """The list, its filters and its counts."""
        listing = parse(request.query_params)
        if url := tidied(request.query_params, listing):
            return RedirectResponse(url, 303)
        await self._see_own_decision(request)
        page, counts, agents = await asyncio.gather(
            self._query.executions(listing.chosen, cursor=listing.cursor, limit=ROWS),
            self._query.status_counts(listing.chosen),
            self._query.agents(),
        )
        return self._pages.page(
            "executions.html",
            listing=listing,
            page=page,
            pending=await self._query.pending(page) if listing.waits else {},
            counts=counts,
            agents=sorted({*agents, *([listing.agent] if listing.agent else [])}),
            statuses=STATUSES,
            presets=presets(self._now()),
            here="waiting" if listing.url(order=None) == Listing(statuses=("waiting",)).url() else "executions",
            server=_address(request),
            quickstart=self._quickstart,
        )

    async def _see_own_decision(self, request: Request) -> None:
        """Who decides and goes back to the list at once does not find there what was decided: the page's script keeps
        the place of a decision on the log as a cookie, for some seconds."""
        found = _PLACE.fullmatch(request.cookies.get(DECIDED, ""))
        if found:
            with suppress(BadPosition):  # of another server, which this browser spoke to as well
                await self._query.lists(At(int(found[1]), int(found[2])))

    async def execution(self, request: Request) -> Response:
        """One execution: what waits first, then how it stands, then its events."""
        execution_id = request.path_params["execution_id"]
        after, at = _number(request, "after"), _position(request)
        reading = await read_execution(self._query, execution_id, after=after, at=at)
        if reading is None:
            return self._unknown(execution_id)
        return self._pages.page(
            "execution.html",
            reading=reading,
            view=reading.view,
            story=reading.story,
            spent=spent(reading.story, self._now()),
            types=" ".join(EVENTS.types),
            page_size=PAGE,
            here="execution",
        )

    async def nowhere(self, request: Request) -> Response:
        """For a browser a page; a program reads a problem, as of every path that there is not."""
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404)
        return self._problem(404, "No such page", f"There is nothing at {request.url.path!r} on this server.")

    def _unknown(self, execution_id: str) -> Response:
        detail = f"There is no execution {execution_id!r} on this server. Was the id copied whole?"
        return self._problem(404, "No such execution", detail)

    def _not_yet(self, why: str) -> Response:
        detail = "Nothing is lost, and agents go on meanwhile. This page looks again every two seconds."
        more = {"refresh_s": AGAIN_S, "headers": {"Retry-After": str(AGAIN_S)}, "why": why}
        return self._problem(503, "History isn't here yet", detail, **more)

    def _problem(self, status: int, title: str, detail: str, **more: Any) -> Response:
        shown = {"clear": False, "refresh_s": None, "why": None, "here": "", **more}
        return self._pages.page("problem.html", status=status, title=title, detail=detail, **shown)


def _address(request: Request) -> str:
    """The server's, as the browser asked for it. That a proxy speaks https is told to nobody but who said so, and so
    believed of everybody."""
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    scheme = said if said in ("http", "https") else request.url.scheme
    return str(request.base_url.replace(scheme=scheme)).rstrip("/")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not re.fullmatch(r"\d{1,9}", text):
        raise BadFilter(name, f"{text!r} is not the number of an event")
    return int(text)


def _position(request: Request) -> At | None:
    text = request.query_params.get("min_position")
    if text is None:
        return None
    found = _PLACE.fullmatch(text)
    if not found:
        raise BadFilter("min_position", f"{text!r} is no position on the log")
    return At(int(found[1]), int(found[2]))
