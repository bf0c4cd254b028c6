"""Serving on a port: one uvicorn server, from an open socket to a clean end on SIGTERM or Ctrl-C."""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType

import uvicorn

from agentspan_doors import Application
from agentspan_standalone.app import make_app, running
from agentspan_standalone.errors import PortTaken
from agentspan_standalone.protocol import GatheringProtocol
from agentspan_standalone.settings import Settings

logger = logging.getLogger(__name__)

GRACE_S = 5
"""How long open requests may take to end when the server stops."""


class _Server(uvicorn.Server):
    """Says when it was asked to stop, so that streams can end before connections are waited for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask it to stop. Not uvicorn's own, which raises the signal again once its connections are closed: that would
        end the process before the services are."""
        self.stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def bound(settings: Settings) -> Sequence[socket.socket]:
    """The listening sockets: of the doors, and of metrics where they have their own. Raises PortTaken."""
    doors = _bound(settings.host, settings.port, "another port goes with --port")
    if settings.metrics_port is None:
        return [doors]
    try:
        return [doors, _bound(settings.host, settings.metrics_port, "another one goes with AGENTSPAN_METRICS_PORT")]
    except PortTaken:
        doors.close()
        raise


def _bound(host: str, port: int, hint: str) -> socket.socket:
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise PortTaken(
            f"port {port} on {host} can't be used ({_reason(error)}): `agentspan server status` says whether a server"
            f" runs there; {hint}"
        ) from error


def _reason(error: OSError) -> str:
    """In the system's words alone: Python adds the address, which we name."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def serve(settings: Settings, listening: Sequence[socket.socket]) -> bool:
    """Serve until stopped, the first of the sockets being that of the doors; whether it ended as it should."""
    failed = asyncio.Event()

    def fail() -> None:
        failed.set()
        signal.raise_signal(signal.SIGTERM)

    async with running(settings, fail) as services:
        server = _Server(config_of(make_app(settings, services)))
        _spare_the_collector()
        draining = asyncio.create_task(_drain(server, services.drain))
        settings.standing.write_text(json.dumps({"pid": os.getpid(), "url": _url(settings, listening[0])}))
        logger.info("serving on %s, data in %s", _url(settings, listening[0]), settings.data)
        try:
            await server.serve(sockets=list(listening))
        finally:
            draining.cancel()
            settings.standing.unlink(missing_ok=True)
    return not failed.is_set()


def config_of(app: Application) -> uvicorn.Config:
    """How uvicorn serves the doors."""
    return uvicorn.Config(
        app,
        http=GatheringProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def _spare_the_collector() -> None:
    """What stands now stays: the collector need not walk it again. It looks at what is young after 3,000 objects, in
    some 2 ms. What is left then is nearly all in use, and gone by itself soon: to walk it stops all else for 0.15 s in
    a flood, so it waits for 1,000 such looks, or until nothing comes (`memory.give_back`; docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(3_000, 1_000, 10)


async def _drain(server: _Server, drain: Callable[[], Awaitable[None]]) -> None:
    await server.stopping.wait()
    await drain()


def _url(settings: Settings, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    return settings.model_copy(update={"port": port}).url
