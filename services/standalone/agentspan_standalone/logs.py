"""Logs as JSON lines on stderr: one object a line, with the time in UTC, and never a payload of an event."""

import json
import logging
import sys
from datetime import UTC, datetime

REPEAT_AFTER_S = 10.0
SAME_CHARS = 80
REMEMBERED = 1000


class JsonLines(logging.Formatter):
    """One record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class Repeats(logging.Filter):
    """Lets the same warning through once in a while: a broker that is away would fill the disk that the log needs."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it."""
        said = (record.name, record.getMessage()[:SAME_CHARS])
        if record.created - self._last.get(said, 0.0) < REPEAT_AFTER_S:
            return False
        if len(self._last) >= REMEMBERED:
            self._last.clear()
        self._last[said] = record.created
        return True


def configure(level: str) -> None:
    """Send all logs to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repeats())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
