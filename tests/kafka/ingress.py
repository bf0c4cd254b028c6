"""One address for the services of a cluster, as an ingress gives them: it routes by path and method, spreads requests
over those that answer, and keeps workers with one tool-runner while that is there.

A service that goes away under a request, or answers no probe any more, cuts the client's connection, as its end would.
"""

import asyncio
import itertools
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

Routes = Mapping[str, Sequence[str]]
"""For each service, where it answers."""

ONLY_HERE = {"Host", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Encoding"}
QUIET_S = 60.0
PROBE_EVERY_S = 0.5
PROBE_WITHIN_S = 2.0


def service_of(method: str, path: str) -> str:
    """Which service a request is for."""
    door = path.removeprefix("/api/v1/").partition("/")[0]
    if door == "gateway":
        return "tool-runner"
    if door == "approvals":
        return "approvals"
    if door == "streams":
        return "query"
    reads = method in ("GET", "HEAD")
    return "query" if reads and door != "livez" else "orchestrator"


class Ingress:
    """Listens on the port from entering to leaving, in a thread of its own."""

    def __init__(self, port: int, routes: Routes) -> None:
        self._port = port
        self._routes = routes
        self._turns = itertools.count()
        self._answering = {backend for backends in routes.values() for backend in backends}
        self._under_way: dict[str, set[asyncio.Task[web.StreamResponse]]] = {each: set() for each in self._answering}
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingress")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(60), "the ingress listens"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=QUIET_S)
        # a connection of its own for each request: none is found dead, and each is tried anew
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._client:
            app = web.Application(client_max_size=2**22)
            app.router.add_route("*", "/{path:.*}", self._pass_on)
            runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._listening.set()
            probes = [asyncio.create_task(self._probe(backend)) for backend in self._under_way]
            await self._ending.wait()
            for probe in probes:
                probe.cancel()
            await asyncio.wait(probes)
            await runner.cleanup()

    async def _probe(self, backend: str) -> None:
        """Look every half second whether it answers; where it does not, cut what waits for it."""
        while True:
            try:
                async with asyncio.timeout(PROBE_WITHIN_S), self._client.get(f"{backend}/livez"):
                    self._answering.add(backend)
            except (aiohttp.ClientError, TimeoutError):
                self._answering.discard(backend)
                for task in self._under_way[backend]:
                    task.cancel()
            await asyncio.sleep(PROBE_EVERY_S)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        for backend in self._backends(service_of(request.method, request.path)):
            passing = asyncio.create_task(self._pass_to(backend, request, body))
            self._under_way[backend].add(passing)
            try:
                return await passing
            except aiohttp.ClientConnectorError:
                continue  # it never had the request
            except (aiohttp.ClientError, TimeoutError):
                return _cut(request)
            except asyncio.CancelledError:
                passing.cancel()
                return _cut(request)
            finally:
                self._under_way[backend].discard(passing)
        return web.Response(status=503, text='{"code": "no_service"}', content_type="application/problem+json")

    async def _pass_to(self, backend: str, request: web.Request, body: bytes) -> web.StreamResponse:
        sending = self._client.request(
            request.method,
            backend + request.path_qs,
            data=body or None,
            headers={name: value for name, value in request.headers.items() if name not in ONLY_HERE},
            allow_redirects=False,
        )
        async with sending as answer:
            headers = {name: value for name, value in answer.headers.items() if name not in ONLY_HERE}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _backends(self, service: str) -> Sequence[str]:
        """In the order to try them."""
        backends = self._routes[service]
        turn = 0 if service == "tool-runner" else next(self._turns) % len(backends)
        return sorted((*backends[turn:], *backends[:turn]), key=lambda each: each not in self._answering)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
