"""A server on loopback that plays scripted answers, whatever model's API it speaks.

Apart from the servers that know an API's wire format and rules: those say what they refuse and how they answer.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from aiohttp import web

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Raw:
    """Any bytes: half a message, another server's page."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"

    def response(self) -> web.Response:
        """As it stands."""
        return web.Response(status=self.status, body=self.body, content_type=self.content_type)


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, until the client gives up."""


class ScriptedServer(ABC, Generic[AnswerT]):
    """`async with`: it listens on `base_url`, and each request that keeps the API's rules takes the next answer."""

    def __init__(self, *paths: str, version: str = "") -> None:
        self.requests: list[dict[str, Any]] = []
        """The bodies that kept the rules, in order."""
        self.base_url = ""
        self._version = version
        self._answers: deque[AnswerT] = deque()
        self._closing = asyncio.Event()
        app = web.Application()
        for path in paths:
            app.router.add_post(path, self.asked)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)

    @abstractmethod
    async def asked(self, request: web.Request) -> web.StreamResponse:
        """Answer it: refused in the API's words, or by `next_answer`."""

    def script(self, *answers: AnswerT) -> None:
        """Add answers; each request that keeps the rules takes one."""
        self._answers.extend(answers)

    def next_answer(self, body: dict[str, Any]) -> AnswerT:
        """For a request that keeps the rules."""
        self.requests.append(body)
        return self._answers.popleft()

    async def silence(self) -> web.Response:
        """Until the server closes."""
        await self._closing.wait()
        return web.Response()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}{self._version}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()


def pieces(words: str, length: int = 5) -> list[str]:
    """As a stream gives them."""
    return [words[at : at + length] for at in range(0, len(words), length)]
