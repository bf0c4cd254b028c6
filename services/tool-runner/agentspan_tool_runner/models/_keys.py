"""A provider's settings: its key, which may stand in a file and be rotated there, and its switches.

The key is the server's alone, is read anew for each call, and is cut out of every error's text.
"""

from collections.abc import Mapping
from pathlib import Path

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models.ports import ModelError


def key_of(environment: Mapping[str, str], setting: str, definition: AgentDefinition, *, needed: bool = True) -> str:
    """The key in that setting, or in the file that `<setting>_FILE` names; "" where none is needed.

    Raises ModelError.
    """
    key = environment.get(setting, "").strip() or _key_in_file(environment, f"{setting}_FILE")
    if not key and needed:
        raise missing(
            f"model {definition.model!r} of agent {definition.name!r} needs a key: "
            f"set {setting} or {setting}_FILE on the server and start it again"
        )
    if not (key.isascii() and key.isprintable()):
        raise missing(f"{setting} on the server is no key: it holds characters that no HTTP header can carry")
    return key


def streams(environment: Mapping[str, str], provider: str) -> bool:
    """Whether replies are read as they are generated; off where something between us and the API cannot stream."""
    return environment.get(f"{setting_prefix(provider)}_STREAM", "").strip().lower() not in ("off", "0", "false", "no")


def setting_prefix(provider: str) -> str:
    """What a provider's settings begin with."""
    return provider.upper().replace("-", "_")


def missing(message: str) -> ModelError:
    """Something that whoever runs the server has to set or install."""
    return ModelError("missing_key", message, retryable=False)


def without(key: str, error: ModelError) -> ModelError:
    """The same error without the key, should an API or a library have repeated it."""
    message = error.message.replace(key, "…") if key else error.message
    return ModelError(error.kind, message, retryable=error.retryable, retry_after_s=error.retry_after_s)


def _key_in_file(environment: Mapping[str, str], setting: str) -> str:
    path = environment.get(setting, "")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise missing(
            f"{setting}={path!r} on the server cannot be read ({type(error).__name__}): "
            "name a text file that the server may read"
        ) from None
