"""Secrets from files: what `AGENTSPAN_…_FILE` names is read instead of `AGENTSPAN_…`, so that no secret stands in the
environment, where whoever may list a process or a pod sees it.

Apart from the settings, which say only which of them are secrets.
"""

from collections.abc import Mapping
from pathlib import Path

from agentspan_standalone.errors import SettingsError


def from_files(names: tuple[str, ...], given: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets that files hold, of those of these names. Raises SettingsError."""
    found: dict[str, str] = {}
    for name in names:
        variable = f"AGENTSPAN_{name.upper()}"
        path = environment.get(f"{variable}_FILE")
        if not path:
            continue
        if given.get(name):
            raise SettingsError(f"{variable} and {variable}_FILE are both set: leave one out")
        found[name] = _text(f"{variable}_FILE", path)
    return found


def _text(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}={path!r} cannot be read: {error}; is it mounted, and ours to read?") from error
