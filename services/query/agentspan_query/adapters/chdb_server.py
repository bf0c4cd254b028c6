"""ClickHouse's HTTP interface over chDB, as a process of its own: `python -m agentspan_query.adapters.chdb_server`.

Not for people: `ChdbChild` starts it with a listening socket to answer on and, as the first line of stdin, the
password. It says `ready` on stdout once the engine is open, and ends when stdin does, or with its parent.
"""

import argparse
import asyncio
import base64
import binascii
import ctypes
import hmac
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentspan_query.adapters.statements import EngineError, Statement, parse

if TYPE_CHECKING:
    from agentspan_query.adapters.chdb_engine import Engine

READY = b"ready\n"
UNOPENED = 3
"""The exit code where the engine can't open the folder."""
_AUTHENTICATION_FAILED = 516
_KEEP_ALIVE_S = 3600
"""Longer than any client keeps a connection: an insert is not sent again when its connection closes under it."""
_SHUTDOWN_S = 3
_MAX_FIELD_BYTES = 16 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_SCRATCH = "scratch"


def create_app(engine: "Engine", password: str) -> Starlette:
    """The two paths of ClickHouse that a client uses."""
    expected = f"default:{password}".encode()

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def statement(request: Request) -> Response:
        if not hmac.compare_digest(_credentials(request), expected):
            return _refusal("Code: 516. DB::Exception: default: Authentication failed", _AUTHENTICATION_FAILED, 403)
        return await _answer(engine, request)

    return Starlette(routes=[Route("/ping", ping), Route("/", statement, methods=["GET", "POST"])])


async def _answer(engine: "Engine", request: Request) -> Response:
    statement = await _statement(request)
    try:
        reply = await asyncio.wrap_future(engine.submit(statement))
    except EngineError as error:
        return _refusal(str(error), error.code, 500)
    headers = {
        "X-ClickHouse-Format": statement.format,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps({"written_rows": str(reply.written_rows)}),
    }
    return Response(reply.body, headers=headers)


async def _statement(request: Request) -> Statement:
    query = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        # how a client sends parameters that are too long for an address
        async with request.form(max_part_size=_MAX_FIELD_BYTES) as form:
            return parse(query | {name: str(value) for name, value in form.items()}, b"")
    return parse(query, await request.body())


def _credentials(request: Request) -> bytes:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(value, validate=True) if kind.lower() == "basic" else b""
    except binascii.Error:
        return b""


def _refusal(text: str, code: int, status: int) -> Response:
    return PlainTextResponse(text + "\n", status, {"X-ClickHouse-Exception-Code": str(code)})


async def _serve(app: Starlette, listener: socket.socket, stdout: int) -> None:
    config = uvicorn.Config(
        app,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    await asyncio.get_running_loop().connect_read_pipe(lambda: _EndsWithStdin(server), sys.stdin)
    os.write(stdout, READY)
    os.close(stdout)
    await server.serve(sockets=[listener])


class _EndsWithStdin(asyncio.Protocol):
    """The parent holds the other end: when it is gone, or lets go, this process ends."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.should_exit = True


def _die_with_parent() -> None:
    # a parent that was killed runs no shut-down; stdin's end would do, but not while the engine is being opened
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _keep_scratch_in(folder: Path) -> None:
    """While chDB is imported it has an engine in the temporary folder; killed then, it leaves that there for ever."""
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(scratch)


def _free_stdout() -> int:
    """The real stdout, for `ready` alone: what the engine prints goes to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    return stdout


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="chdb_server", description="ClickHouse's HTTP interface over chDB")
    parser.add_argument("--path", type=Path, required=True, help="folder of the database")
    parser.add_argument("--fd", type=int, required=True, help="listening socket, inherited")
    parser.add_argument("--memory-bytes", type=int, required=True, help="limit of the engine's memory")
    options = parser.parse_args(argv)
    _die_with_parent()
    stdout = _free_stdout()
    password = sys.stdin.readline().strip()
    os.environ["TZ"] = "UTC"
    _keep_scratch_in(options.path)
    # the engine imports pyarrow if it is there, for formats that nobody asks for here: half a second and 60 MB
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    from agentspan_query.adapters.chdb_engine import Engine

    try:
        engine = Engine(options.path, memory_bytes=options.memory_bytes)
    except RuntimeError as error:
        print(f"the database in {str(options.path)!r} can't be opened: {error}", file=sys.stderr)
        sys.exit(UNOPENED)
    try:
        uvloop.run(_serve(create_app(engine, password), socket.socket(fileno=options.fd), stdout))
    finally:
        engine.close()


if __name__ == "__main__":
    main()
