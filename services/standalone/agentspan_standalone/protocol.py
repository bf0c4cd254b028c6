"""HTTP as uvicorn speaks it, but for one thing: what is said at one moment goes out by one write.

uvicorn writes an answer's head and its body apart, and a stream's frames one by one. Each write is a call of the system
and wakes the client, which took more of both processes than parsing the request. Apart from the server because it knows
what uvicorn is made of.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = b"HTTP/"
"""What an answer's head begins with, and no frame of a stream."""

MOST_HELD = 64 * 1024
"""So many bytes are held at most; beyond, the transport itself has to say whether the client keeps up."""


class GatheringProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's."""
        super().connection_made(Gathering(transport, self.loop))


class Gathering(asyncio.Transport):
    """A transport that holds an answer's head until its body is there, and anything else until the loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> None:
        """Write with what is held. An answer does not wait for the next turn, which in a flood is long in coming."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD or (len(self._held) == 2 and self._held[0].startswith(HEAD)):
            self._flush()

    def _flush(self) -> None:
        if self._held:
            data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held, self._size = [], 0
            self._transport.write(data)

    def close(self) -> None:
        """Close, when what is held is sent."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._held, self._size = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """As the transport's own; the following, too."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
