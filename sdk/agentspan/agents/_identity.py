"""Who calls, and through what: said with every request, so that the log can keep both."""

import getpass
import re
from collections.abc import Callable
from typing import Literal

Client = Literal["sdk", "cli"]


def identity(client: Client, user: Callable[[], str] = getpass.getuser) -> dict[str, str]:
    """The headers of a caller. Where the system has no name for the user, the server calls it `local`."""
    try:
        name = re.sub(r"[^A-Za-z0-9_.@+-]", "_", user()).lstrip("_.@+-")[:64]
    except (OSError, KeyError):
        name = ""
    return {"Agentspan-Client": client, **({"Agentspan-User": name} if name else {})}
