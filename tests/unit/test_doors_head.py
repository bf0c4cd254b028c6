"""HEAD says what GET would, and nothing more: at FastAPI's doors, at plain ones, and where GET would go on for ever."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentspan_doors import create_app, not_found
from agentspan_doors.measured import Requests

begun: list[str] = []
ended: list[str] = []


async def endless(name: str) -> AsyncIterator[bytes]:
    begun.append(name)
    try:
        while True:
            yield b"data: {}\n\n"
            await asyncio.sleep(0)
    finally:
        ended.append(name)


async def stream(request: Request) -> Response:
    return EventSourceResponse(endless("plain"))


async def thing(request: Request) -> Response:
    return JSONResponse({"plain": True})


class Counted(Requests):
    in_progress = 0

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def answered(self, method: str, route: str, status: int, took: float) -> None:
        self.seen.append((method, route, status))


def client(counted: Counted | None = None) -> httpx.AsyncClient:
    api = APIRouter(prefix="/api")

    @api.get("/things/{name}")
    async def get_thing(name: str) -> dict[str, str]:
        if name == "none":
            raise not_found("thing", name, "look again")
        return {"name": name}

    @api.get("/stream")
    async def get_stream() -> EventSourceResponse:
        return EventSourceResponse(endless("fastapi"))

    @api.post("/write")
    async def write() -> None:
        raise AssertionError("nothing is written by HEAD")

    plain = [Route("/api/plain", thing, methods=["GET"]), Route("/api/plain/stream", stream, methods=["GET"])]
    transport = httpx.ASGITransport(create_app([api], plain_routes=plain, requests=counted))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.parametrize("path", ["/api/things/a", "/api/things/none", "/api/plain"])
async def test_the_headers_are_those_of_get_and_there_is_no_body(path: str) -> None:
    async with client() as http:
        got, asked = await http.get(path), await http.head(path)
    assert (asked.status_code, dict(asked.headers), asked.content) == (got.status_code, dict(got.headers), b"")
    assert int(asked.headers["content-length"]) == len(got.content) > 0


@pytest.mark.parametrize("path", ["/api/stream", "/api/plain/stream"])
async def test_a_stream_is_answered_at_once_and_does_not_stay_open(path: str) -> None:
    async with client() as http, asyncio.timeout(20):
        answer = await http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert begun == ended


async def test_what_has_no_get_has_no_head() -> None:
    async with client() as http:
        assert (await http.head("/api/write")).status_code == 405
        assert (await http.head("/api/nothing")).status_code == 404


async def test_it_is_counted_as_what_it_is() -> None:
    counted = Counted()
    async with client(counted) as http:
        for path in ("/api/things/a", "/api/plain"):
            await http.head(path)
    assert counted.seen == [("HEAD", "/api/things/{name}", 200), ("HEAD", "/api/plain", 200)]
