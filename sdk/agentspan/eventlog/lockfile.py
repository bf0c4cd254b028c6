"""One process per log: a lock that the kernel gives back when its holder dies, however it dies."""

import fcntl
import os
from pathlib import Path

from agentspan.eventlog._errors import LogLocked


class LockFile:
    """Held from construction to `release`. The file stays, with the pid of its last holder. Raises LogLocked."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "of unknown id"
            os.close(self._fd)
            raise LogLocked(
                f"the data in {str(path.parent)!r} is in use by process {holder}: stop that server, or give this one"
                " another data folder"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._fd)
