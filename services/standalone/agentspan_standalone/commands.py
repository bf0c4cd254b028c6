"""What `agentspan server …` does: start in the foreground or detached, stop, status. Each returns an exit code."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from agentspan.eventlog import LogError
from agentspan_standalone.errors import HistoryRefused, PortTaken, SettingsError
from agentspan_standalone.settings import Settings

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 20.0
POLL_S = 0.05
LOG_TAIL_BYTES = 2000


class _Standing(TypedDict):
    pid: int
    url: str


def start(
    data: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    detach: bool = False,
    log: str | None = None,
    roles: str | None = None,
    clickhouse: str | None = None,
) -> int:
    """Start a server, in this process or, detached, in one of its own that outlives this one."""
    given = {"host": host, "port": port, "log": log, "roles": roles, "clickhouse": clickhouse}
    return _reported(lambda: _start(_settings(data, **given), detach=detach, any_folder=data is None))


def stop(data: Path | None = None) -> int:
    """Stop the server of a data folder, and return when it has stopped."""
    return _reported(lambda: _stop(_settings(data)))


def as_line(standing: Mapping[str, object]) -> None:
    """What there is to say of a server, as a line of JSON."""
    print(json.dumps(standing))


def status(data: Path | None = None, show: Callable[[Mapping[str, object]], None] = as_line) -> int:
    """Say whether a server runs on a data folder, where, and whether it takes work."""
    return _reported(lambda: _status(_settings(data), show))


def _reported(work: Callable[[], int]) -> int:
    """The work's exit code; 2 for a wrong setting, 1 for what else is known to go wrong, with a sentence about it."""
    try:
        return work()
    except SettingsError as error:
        print(f"agentspan: {error}", file=sys.stderr)
        return 2
    except (PortTaken, HistoryRefused, LogError) as error:
        print(f"agentspan: {error}", file=sys.stderr)
        return 1


def _start(settings: Settings, *, detach: bool, any_folder: bool) -> int:
    if not detach:
        return _serve(settings)
    if _readiness(settings.url) != "ok":
        return _start_detached(settings)
    if not any_folder and _standing(settings) is None:
        hint = "stop that one, or give this one another port with --port"
        print(f"a server of another data folder answers at {settings.url}: {hint}", file=sys.stderr)
        return 1
    print(f"a server answers at {settings.url} already", file=sys.stderr)
    return 0


def _stop(settings: Settings) -> int:
    standing = _standing(settings)
    if standing is None:
        print(f"no server runs on {settings.data}", file=sys.stderr)
        return 1
    pid = standing["pid"]
    os.kill(pid, signal.SIGTERM)
    if not _until(lambda: not _alive(pid), STOPPED_WITHIN_S):
        print(f"process {pid} was asked to stop and has not yet; `kill -9 {pid}` loses nothing", file=sys.stderr)
        return 1
    print(f"stopped the server at {standing['url']}", file=sys.stderr)
    return 0


def _status(settings: Settings, show: Callable[[Mapping[str, object]], None]) -> int:
    standing = _standing(settings)
    if standing is None:
        print(f"no server runs on {settings.data}; `agentspan server start` starts one", file=sys.stderr)
        return 1
    health, history = _readiness(standing["url"]), _history(standing["url"])
    told = {"history": history} if history else {}
    show({**standing, "data": str(settings.data), "status": health or "not answering", **told})
    return 0 if health == "ok" else 1


def _serve(settings: Settings) -> int:
    import uvloop  # a server's dependency: `stop` and `status` do without

    from agentspan_standalone import history, logs, server

    logs.configure(settings.log_level)
    uvloop.run(history.refuse_wrong_tables(settings))
    listening = server.bound(settings)
    return 0 if uvloop.run(server.serve(settings, listening)) else 1


def _start_detached(settings: Settings) -> int:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_file = settings.data / "server.log"
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "agentspan_standalone", "start", *_flags(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    readiness = _started(settings, child)
    standing = _standing(settings)
    if readiness == "ok" and (standing is None or standing["pid"] != child.pid):
        print(f"a server that somebody else started answers at {settings.url}", file=sys.stderr)
        return 0
    if readiness == "ok":
        stop = f"agentspan server stop --data {shlex.quote(str(settings.data))}"
        print(f"serving on {settings.url}; logs in {log_file}; `{stop}` ends it", file=sys.stderr)
        return 0
    print(f"the server did not start; the end of {log_file}:\n{_tail(log_file)}", file=sys.stderr)
    return 1


def _started(settings: Settings, child: "subprocess.Popen[bytes]") -> str | None:
    """How ready the server is in the end: this child, or a quicker one on its port, which may still restore."""
    readiness: str | None = None

    def is_over() -> bool:
        nonlocal readiness
        ended = child.poll() is not None
        readiness = _readiness(settings.url)
        return readiness == "ok" or (ended and readiness is None and _standing(settings) is None)

    _until(is_over, READY_WITHIN_S)
    return readiness


def _flags(settings: Settings) -> list[str]:
    flags = ["--data", str(settings.data), "--host", settings.host, "--port", str(settings.port)]
    if settings.log:
        flags += ["--log", settings.log, "--roles", ",".join(settings.roles)]
    return flags + (["--clickhouse", settings.clickhouse] if settings.clickhouse else [])


def _settings(data: Path | None, **given: object) -> Settings:
    return Settings.given(data=data.absolute() if data else None, **given)


def _standing(settings: Settings) -> _Standing | None:
    """What the running server of the folder wrote about itself; None when that process is gone."""
    try:
        standing: _Standing = json.loads((settings.data / "server.json").read_text())
    except (OSError, ValueError):
        return None
    return standing if _alive(standing["pid"]) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _readiness(url: str) -> str | None:
    """`ok`, why it takes no work, or None when nobody answers."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:
            return str(json.load(response)["status"])
    except urllib.error.HTTPError as error:
        with error:
            return error.read(LOG_TAIL_BYTES).decode(errors="replace")
    except (OSError, ValueError, KeyError):
        return None


def _history(url: str) -> str | None:
    """Why history falls behind, where it does."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:
            said = json.load(response).get("history")
            return str(said) if said else None
    except (OSError, ValueError):
        return None


def _until(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
