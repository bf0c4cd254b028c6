"""Which setting was meant by an `AGENTSPAN_…` name that nothing reads.

Here, where nothing of the server is imported: the SDK and the command line run where no server is installed.
"""

import difflib
from collections.abc import Collection, Mapping

PREFIX = "AGENTSPAN_"

NO_SERVERS = ("SERVER_URL", "AUTOSTART", "DEBUG", "REPLAY_DIR", "SCRIPTED_MODEL_URL")
"""Those that are no settings of a server. None of a server's is spelt like them."""


def meant(name: str, known: Collection[str]) -> str | None:
    """Which setting somebody may have meant: the shortest that has all words of it, else the one spelt most alike."""
    words = set(name.split("_"))
    having = [other for other in known if words <= set(other.split("_"))]
    close = sorted(having, key=lambda other: (len(other), other)) or difflib.get_close_matches(name, sorted(known), n=1)
    return close[0] if close else None


def mistaken(variable: str, environ: Mapping[str, str]) -> str | None:
    """What stands in the environment for this variable of ours, where the variable itself does not."""
    if variable in environ:
        return None
    others = (name.removeprefix(PREFIX) for name in sorted(environ) if name.startswith(PREFIX))
    setting = variable.removeprefix(PREFIX)
    return next(
        (PREFIX + name for name in others if name not in NO_SERVERS and meant(name, NO_SERVERS) == setting), None
    )
