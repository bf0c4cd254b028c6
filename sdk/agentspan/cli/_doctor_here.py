"""The checks that need no server: the release, the interpreter, what is installed, settings, the data folder, keys."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentspan.agents._discovery import DEFAULT_URL, URL_VARIABLE
from agentspan.agents._environment import NO_SERVERS, PREFIX, meant
from agentspan.cli import _doctor_keys
from agentspan.cli._ask import Answer, fetched, reason
from agentspan.cli._checks import Check

REQUIRED_BY = re.compile(r"""^([\w.-]+).*extra == ['"]([\w-]+)['"]""")
"""A line of the package's requirements: what an extra brings."""

DATA = "AGENTSPAN_DATA"
NO_SUCH = "take it out of the environment"

FEW_BYTES = 500_000_000
SOME_BYTES = 2_000_000_000


class Here:
    """What is looked at on this machine."""

    def __init__(
        self,
        data: Path | None,
        environ: Mapping[str, str] = os.environ,
        extras: Mapping[str, bool] | None = None,
        ping: Callable[[str], Answer] = fetched,
    ) -> None:
        self._ping = ping
        self._environ = environ
        self._extras = installed_extras() if extras is None else extras
        self.has_server = self._extras.get("server", False)
        self.url = (environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
        self._settings: Any = None
        self._wrong: str | None = None
        if self.has_server:
            self._settings, self._wrong = _settings(data)

    def checks(self) -> Sequence[Callable[[], Check | None]]:
        """In the order in which somebody would ask."""
        return (
            self.release, self.python, self.extras, self.settings, self.names, self.log, self.history, self.data,
            self.disk, self.keys,
        )  # fmt: skip

    def release(self) -> Check:
        """Which one."""
        try:
            return Check("agentspan", "ok", f"{version('agentspan')} in {Path(__file__).parents[2]}")
        except PackageNotFoundError:
            return Check("agentspan", "warn", "it runs from a folder that is not installed", "pip install agentspan")

    def python(self) -> Check:
        """The interpreter; the package itself does not start on an older one."""
        return Check("python", "ok", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")

    def extras(self) -> Check:
        """What is installed beyond the SDK."""
        there = ", ".join(
            f"{extra}: {'installed' if is_there else 'not installed'}" for extra, is_there in self._extras.items()
        )
        needed = self._environ.get("AGENTSPAN_LOG", "").partition("://")[0]
        if needed and not self._extras.get(needed, True):
            said = f"{there}; AGENTSPAN_LOG needs {needed}"
            return Check("extras", "fail", said, f"pip install 'agentspan[server,{needed}]'")
        return Check("extras", "ok", there)

    def settings(self) -> Check | None:
        """Whether a server could be started with them."""
        if not self.has_server:
            return None
        if self._wrong is not None:
            return Check("settings", "fail", self._wrong, "correct it, and run `agentspan doctor` again")
        return Check("settings", "ok", "a server can be started with them")

    def names(self) -> Check | None:
        """Settings that nothing reads, which are misspelt as a rule."""
        if self._settings is None:
            return None
        known = {name.upper() for name in type(self._settings).model_fields}
        known |= {f"{name}_FILE" for name in known} | set(NO_SERVERS)
        given = {name.removeprefix(PREFIX) for name in self._environ if name.startswith(PREFIX)}
        unknown = sorted(name for name in given - known if "__" not in name)
        if not unknown:
            return None
        right = meant(unknown[0], known)
        said = f"nothing reads {', '.join(PREFIX + name for name in unknown)}"
        return Check("names", "warn", said, f"did you mean {PREFIX}{right}?" if right else NO_SUCH)

    def log(self) -> Check | None:
        """Where the truth is kept."""
        if self._settings is None:
            return None
        kept = str(self._settings.log)
        if not kept:
            return Check("log", "ok", f"a file in {self._settings.data}")
        scheme, _, rest = kept.partition("://")
        said = f"{scheme.title()} at {rest.partition('?')[0]}"
        return Check("log", "ok", said, "`agentspan topics check` looks at its topics")

    def history(self) -> Check | None:
        """Which ClickHouse answers questions about the past."""
        if self._settings is None:
            return None
        url = str(self._settings.clickhouse)
        if not url:
            return Check("clickhouse", "ok", "embedded: a child process of the server")
        at = urlsplit(url)
        host = f"{at.hostname}:{at.port}" if at.port else f"{at.hostname}"
        try:
            status = self._ping(f"{at.scheme}://{host}/ping").status
        except OSError as error:
            said = f"nobody answers at {host} from here ({reason(error)})"
            return Check("clickhouse", "warn", said, "runs go on without it, lists are late: see that it is up")
        if status != 200:
            return Check(
                "clickhouse", "warn", f"{host} answers with {status}", "check the address: a ClickHouse says Ok"
            )
        return Check("clickhouse", "ok", f"at {host}", "`agentspan query migrate --check` looks at its tables")

    def data(self) -> Check | None:
        """Whether the data folder can be used."""
        if self._settings is None:
            return None
        folder: Path = self._settings.data
        there = _nearest(folder)
        if not (there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)):
            said = f"{there} is not yours to write" if there.is_dir() else f"{there} is a file"
            return Check("data", "fail", said, f"chown it, or name another: --data, {DATA}")
        if there != folder:
            return Check("data", "ok", f"{folder} is not there yet: the first start makes it")
        return Check("data", "ok", f"{folder}, {_megabytes(_size(folder))}")

    def disk(self) -> Check | None:
        """What is left for the log: what can't be written down is not done."""
        if self._settings is None:
            return None
        folder = _nearest(self._settings.data)
        free = shutil.disk_usage(folder).free
        said = f"{_megabytes(free)} free at {folder}"
        if free < FEW_BYTES:
            return Check("disk", "fail", said, f"make room, or move the data folder: --data, {DATA}")
        if free < SOME_BYTES:
            return Check("disk", "warn", said, "make room: a server that can't write takes no work")
        return Check("disk", "ok", said)

    def keys(self) -> Check:
        """Which providers have a key here; never the key."""
        return _doctor_keys.check(self._environ)


def installed_extras() -> dict[str, bool]:
    """Each extra of the package, and whether all that it brings is installed."""
    found: dict[str, bool] = {}
    for line in _requirements():
        required = REQUIRED_BY.match(line)
        if required is None or required[2] == "dev" or "sys_platform" in line:
            continue
        found[required[2]] = found.get(required[2], True) and _is_installed(required[1])
    return found


def _requirements() -> Sequence[str]:
    try:
        return requires("agentspan") or ()
    except PackageNotFoundError:
        return ()


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _settings(data: Path | None) -> tuple[Any, str | None]:
    """A server's settings as they would be, or what is wrong with them."""
    from agentspan_standalone.errors import SettingsError
    from agentspan_standalone.settings import Settings

    try:
        return Settings.given(data=data.absolute() if data else None), None
    except SettingsError as error:
        return None, str(error)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def _size(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(base) / name).stat().st_size
            except OSError:  # it went while it was looked at
                continue
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
