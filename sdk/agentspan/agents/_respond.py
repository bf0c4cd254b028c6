"""A response as a form, a chat button or a webhook has it, read strictly: a wrong word must not approve a refund."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentspan.agents._errors import ConfigurationError

_KEYS = ("approved", "reason", "args", "message")


@dataclass(frozen=True, slots=True)
class Response:
    """A decision, or a message."""

    call_id: str | None
    approved: bool | None
    reason: str | None
    args: Mapping[str, Any] | None
    message: str | None


def read_response(response: Mapping[str, Any], call_id: str | None) -> Response:
    """What it asks for. Raises ConfigurationError for anything else."""
    if not isinstance(response, Mapping):
        raise ConfigurationError(f"a response is an object, as {{'approved': True}}, not {response!r}")
    if unknown := sorted(set(response) - set(_KEYS)):
        raise ConfigurationError(f"a response has no {unknown[0]!r}; it has {', '.join(_KEYS)}")
    approved, message = response.get("approved"), response.get("message")
    if message is not None:
        if len(response) > 1 or not isinstance(message, str):
            raise ConfigurationError("a response with a message is a text and nothing else: {'message': '...'}")
        return Response(call_id, None, None, None, message)
    if not isinstance(approved, bool):
        raise ConfigurationError(f"a response says approved: True or approved: False, not {approved!r}")
    reason, args = response.get("reason"), response.get("args")
    if not (reason is None or isinstance(reason, str)):
        raise ConfigurationError(f"a response's reason is a text, not {reason!r}")
    if not (args is None or (approved and isinstance(args, Mapping))):
        raise ConfigurationError(f"a response's args are an object, and go with approved: True, not {args!r}")
    return Response(call_id, approved, reason, args, None)
