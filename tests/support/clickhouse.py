"""A ClickHouse that a test and the query service both ask: the embedded one, with a port and a password of its own."""

import secrets
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from agentspan_query.adapters.chdb_server import READY

MEMORY_BYTES = 1024 * 1024 * 1024
ENDS_WITHIN_S = 20.0


class ClickHouse:
    """`with ClickHouse(folder) as clickhouse:` it serves; `url` is for whoever asks it plainly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.password = secrets.token_hex(16)

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
            module = ("-m", "agentspan_query.adapters.chdb_server", "--path", str(self._folder))
            flags = ("--fd", str(listener.fileno()), "--memory-bytes", str(MEMORY_BYTES))
            self._process = subprocess.Popen(
                [sys.executable, *module, *flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self.password.encode() + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == READY
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=ENDS_WITHIN_S)

    @property
    def url(self) -> str:
        """With user and password."""
        return f"http://default:{self.password}@127.0.0.1:{self._port}"

    @property
    def address(self) -> str:
        """As the server takes it, the password apart."""
        return f"http://default@127.0.0.1:{self._port}"
