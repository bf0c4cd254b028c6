"""What `agentspan server …` does: start in the foreground or detached, stop, status.

Each returns an exit code, and raises a StartError for what it would not do: who asked says that in their own way.
"""

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
from agentspan_standalone.errors import LogRefused, NotRunning, NotStarted, NotStopped, PortTaken
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
    settings = _settings(data, **given)
    if not detach:
        return _serve(settings)
    if _readiness(settings.url) != "ok":
        return _start_detached(settings)
    is_ours = _standing(settings) is not None
    if not is_ours and "data" in settings.model_fields_set:
        hint = "stop that one, or give this one another port with --port"
        raise PortTaken(f"a server of another data folder answers at {settings.url}: {hint}")
    if is_ours:
        _say(f"a server answers at {settings.url} already and keeps its settings; `agentspan server stop` ends it")
    else:
        _say(f"a server of another data folder answers at {settings.url} already")
    return 0


def stop(data: Path | None = None) -> int:
    """Stop the server of a data folder, and return when it has stopped."""
    settings = _settings(data)
    standing = _standing(settings)
    if standing is None:
        raise _not_running(settings)
    pid = standing["pid"]
    os.kill(pid, signal.SIGTERM)
    if not _until(lambda: not _alive(pid), STOPPED_WITHIN_S):
        raise NotStopped(f"process {pid} was asked to stop and has not yet; `kill -9 {pid}` loses nothing")
    _say(f"stopped the server at {standing['url']}")
    return 0


def as_line(standing: Mapping[str, object]) -> None:
    """What there is to say of a server, as a line of JSON."""
    print(json.dumps(standing))


def status(data: Path | None = None, show: Callable[[Mapping[str, object]], None] = as_line) -> int:
    """Say whether a server runs on a data folder, where, and whether it takes work."""
    settings = _settings(data)
    standing = _standing(settings)
    if standing is None:
        raise _not_running(settings)
    said = _readyz(standing["url"])
    told = {name: said[name] for name in ("history", "approvals", "executions") if said.get(name)}
    show({**standing, "data": str(settings.data), "status": said.get("status", "not answering"), **told})
    return 0 if said.get("status") == "ok" else 1


def _serve(settings: Settings) -> int:
    import uvloop  # a server's dependency: `stop` and `status` do without

    from agentspan_standalone import history, logs, memory, server

    logs.configure(settings.log_level)
    memory.share_one_heap()
    uvloop.run(history.refuse_wrong_tables(settings))
    listening = server.bound(settings)
    try:
        return 0 if uvloop.run(server.serve(settings, listening)) else 1
    except LogError as error:
        raise LogRefused(str(error)) from error
    finally:
        for each in listening:
            each.close()


def _start_detached(settings: Settings) -> int:
    settings.make_data_folder()
    log_file = settings.data / "server.log"
    with log_file.open("ab") as log:
        before = log.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "agentspan_standalone", "start", *_flags(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        readiness = _started(settings, child)
    except KeyboardInterrupt:
        child.terminate()  # nobody waits for it any more, and a server that comes up later would surprise
        raise
    if readiness != "ok":
        raise NotStarted(f"the server did not start; what it said is in {log_file}:\n{_tail(log_file, before)}")
    standing = _standing(settings)
    if standing is None or standing["pid"] != child.pid:
        _say(f"a server that somebody else started answers at {settings.url}")
    else:
        stop = f"agentspan server stop --data {shlex.quote(str(settings.data))}"
        _say(f"serving on {settings.url}; logs in {log_file}; `{stop}` ends it")
    return 0


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
        standing: _Standing = json.loads(settings.standing.read_text())
    except (OSError, ValueError):
        return None
    return standing if _alive(standing["pid"]) else None


def _not_running(settings: Settings) -> NotRunning:
    """Which folder was looked at, and how to name another: the server that is meant may run on its own."""
    looked = f"no server runs on the data folder {str(settings.data)!r}"
    if _readiness(settings.url) is None:
        hint = "`agentspan server start` starts one; another folder is named with --data or AGENTSPAN_DATA"
    else:
        hint = f"what answers at {settings.url} has another; name that with --data or AGENTSPAN_DATA"
    return NotRunning(f"{looked}: {hint}")


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
    return _readyz(url).get("status")


def _readyz(url: str) -> Mapping[str, str]:
    """What a server says of itself; nothing when nobody answers, or something else does."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:
            said = json.load(response)
            return {name: str(value) for name, value in said.items() if value} if isinstance(said, dict) else {}
    except urllib.error.HTTPError as error:
        with error:
            return {"status": _reason(error.read(LOG_TAIL_BYTES).decode(errors="replace"))}
    except (OSError, ValueError):
        return {}


def _reason(problem: str) -> str:
    """What a problem says in words."""
    try:
        return str(json.loads(problem)["detail"])
    except (ValueError, TypeError, KeyError):
        return problem


def _until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it came true in time. It is looked for again and again: a process that is no child of this one can't be
    waited for everywhere, and that a server is ready is known only by asking it."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _tail(path: Path, begin: int) -> str:
    """The last of what stands behind `begin`."""
    with path.open("rb") as file:
        file.seek(max(begin, path.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
