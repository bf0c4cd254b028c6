"""How a command ends: exit codes, and an error as a person reads it and a script sees it. `agentspan --help` and
docs/cli.md list the codes for people.

Apart from `_explained` because the SDK's errors take a while to import, and most calls of the command end without one.
"""

import json
import re
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from agentspan.cli._colours import painted


class ExitCode(IntEnum):
    """How a command ended; stable, for scripts."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    DECIDED = 5
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Explained:
    """What there is to say about an error."""

    exit_code: ExitCode
    code: str
    """Stable, to match on: the server's where it said one."""
    detail: str
    next: str | None = None
    """What to do, where the detail does not say it."""
    status: int | None = None
    """HTTP's, where the server refused."""

    def plain(self) -> dict[str, Any]:
        """As a script reads it: the names are those of the API's problems."""
        status = {} if self.status is None else {"status": self.status}
        told = {"code": self.code, **status, "detail": self.detail, "next": self.next}
        return {**told, "exit_code": int(self.exit_code)}


class Refused(Exception):
    """What a command was refused by something else than the server's API: it says why, and what to do."""

    def __init__(self, detail: str, exit_code: ExitCode = ExitCode.REFUSED, code: str = "refused") -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code


def code_of(error: BaseException) -> str:
    """`SeveralPending` as `several_pending`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


def tell(error: Explained, *, as_json: bool) -> None:
    """The error on standard error: for people, or as one JSON object on a line."""
    if as_json:
        return print(json.dumps(error.plain()), file=sys.stderr)
    print(f"{painted('error:', sys.stderr)} {error.detail}", file=sys.stderr)
    if error.next is not None:
        print(f"next:  {error.next}", file=sys.stderr)
