"""Which server to talk to; and the embedded one, started when none answers at the default address.

It is started as a process of its own, so that it outlives the program that needed it first, and so that nothing of the
server is imported here.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.util import find_spec
from urllib.parse import urlsplit

from agentspan.agents._environment import mistaken
from agentspan.agents._errors import ConfigurationError, ServerNotInstalled, ServerUnavailable

logger = logging.getLogger(__name__)

DEFAULT_URL = "http://localhost:6767"
URL_VARIABLE = "AGENTSPAN_SERVER_URL"
AUTOSTART_VARIABLE = "AGENTSPAN_AUTOSTART"

START = (sys.executable, "-m", "agentspan_standalone", "start", "--detach")
"""Exit code 0: a server answers, this one or one that somebody else started at the same moment."""

START_S = 60.0

_HERE = ("localhost", "127.0.0.1", "::1")


def server_url(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The server's address: as given, else from AGENTSPAN_SERVER_URL, else the default. Raises ConfigurationError."""
    if not given:
        _tell_of(URL_VARIABLE, environ)
    url = (given or environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"server address {url!r}: it begins with http:// or https://, as in {DEFAULT_URL}")
    try:
        is_one = bool(urlsplit(url).hostname) and urlsplit(url).port != 0 and not any(map(str.isspace, url))
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigurationError(f"server address {url!r} is none: write scheme, host and port, as in {DEFAULT_URL}")
    return url


def autostarts(given: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a server may be started: as given, else unless AGENTSPAN_AUTOSTART is 0."""
    if given is None:
        _tell_of(AUTOSTART_VARIABLE, environ)
    said = environ.get(AUTOSTART_VARIABLE, "1")
    if given is None and said not in ("0", "1"):
        raise ConfigurationError(f"{AUTOSTART_VARIABLE}={said!r}: it is 0 or 1")
    return said == "1" if given is None else given


def _tell_of(variable: str, environ: Mapping[str, str]) -> None:
    """Warn of a name that nothing reads, where this variable was meant and is not set."""
    if given := mistaken(variable, environ):
        _warn(f"nothing reads {given}; did you mean {variable}?")


@cache
def _warn(said: str) -> None:
    """Once in a process, however many runtimes it makes."""
    logger.warning(said)


def unanswered(url: str, why: str = "") -> str:
    """That nobody answers there, and what to do: a server can be started where the address is this machine's."""
    address = urlsplit(url)
    if address.hostname in _HERE:
        port = "" if address.port in (None, urlsplit(DEFAULT_URL).port) else f" --port {address.port}"
        todo = f"start one with `agentspan server start{port}`"
    else:
        todo = "look whether it runs and can be reached from here"
    because = f" ({why})" if why else ""
    return f"no Agentspan server answers at {url}{because}; {todo}, or name another in {URL_VARIABLE}"


async def ensure_server(
    url: str,
    answers: Callable[[], Awaitable[bool]],
    launch: Callable[[], Awaitable[str]],
    *,
    autostart: bool,
) -> None:
    """Return when a server answers at `url`; at the default address one is launched when none does.

    Raises ServerUnavailable when none answers and none may be started, ServerNotInstalled when none can be.
    """
    if await answers():
        return
    if url != DEFAULT_URL or not autostart:
        raise ServerUnavailable(unanswered(url))
    said = await launch()
    if not await answers():
        raise ServerUnavailable(f"a server was started, and does not answer at {url}: {said or 'it said nothing'}")
    print(f"agentspan: started a server at {url}; `agentspan server stop` ends it", file=sys.stderr)


def start_embedded() -> str:
    """Start the embedded server detached; what it said. Raises what kept it from starting."""
    if find_spec("agentspan_standalone") is None or find_spec("fastapi") is None:
        raise ServerNotInstalled(
            f"no Agentspan server answers at {DEFAULT_URL}, and none can be started here: "
            f"pip install 'agentspan[server]', or name a server in {URL_VARIABLE}"
        )
    try:
        done = subprocess.run(START, capture_output=True, text=True, timeout=START_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise ServerUnavailable(f"the embedded server was not up after {START_S:g} s: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise ServerUnavailable(f"the embedded server did not start: {said}")
    return done.stdout.strip()
