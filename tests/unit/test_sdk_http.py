"""What the SDK makes of a connection on which something else than a server answers: an outage, to be tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentspan.agents import ServerUnavailable
from agentspan.agents._http import Http
from agentspan_schemas.http import ExecutionRef

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\n<html/>soon"
ROUND_AND_ROUND = b"HTTP/1.1 302 Found\r\nLocation: /api/v1/agents\r\nContent-Length: 0\r\n\r\n"
NOWHERE = b"HTTP/1.1 302 Found\r\nLocation: ftp://elsewhere\r\nContent-Length: 0\r\n\r\n"
NO_HTTP = b"SSH-2.0-OpenSSH_9.9\r\n"
CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
BAD_ENCODING = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"


@asynccontextmanager
async def answering(raw: bytes) -> AsyncIterator[Http]:
    """Whoever answers every request with these bytes, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    http = Http(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield http
    finally:
        await http.close()
        server.close()


@pytest.mark.parametrize("raw", [ROUND_AND_ROUND, NOWHERE, NO_HTTP, CUT_SHORT, BAD_ENCODING])
async def test_whatever_breaks_a_request_is_an_outage(raw: bytes) -> None:
    async with answering(raw) as http:
        with pytest.raises(ServerUnavailable):
            await http.request("GET", "/agents", retry=False)
        with pytest.raises(ServerUnavailable):
            [line async for line in http.lines("/agents")]


async def test_a_page_in_place_of_an_answer_is_an_outage_that_says_what_came() -> None:
    async with answering(PAGE) as http:
        reply = await http.request("GET", "/executions/exec-1", retry=False)
        with pytest.raises(ServerUnavailable, match=r"GET /executions/exec-1 was answered '<html/>soon', which is no"):
            reply.read(ExecutionRef)
