"""What a model's API answered, as values that our messages can hold.

Apart from the dialects because each of them meets the same faults: half an emoji, JSON that is none, arguments that
are no object. What can be mended is; what can't be is told to the model (arguments) or asked for again (a reply).
"""

import json
from math import isfinite
from typing import Any

from pydantic import ValidationError

from agentspan_schemas import NameRepeated
from agentspan_schemas.codec import describe
from agentspan_schemas.commands import AskedCall
from agentspan_schemas.names import each_once
from agentspan_tool_runner.models.ports import ModelError

SHOWN = 200
"""So many characters of what cannot be read are shown."""


def parsed(raw: bytes | str, api: str) -> Any:
    """The mended value of JSON that an API answered. Raises ModelError."""
    try:
        return mended(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise malformed(api, str(error)) from error


def malformed(api: str, why: str) -> ModelError:
    """An answer that is no reply; it may be one when it is asked for again."""
    return ModelError("malformed_reply", f"{api} answered with something else: {why}", retryable=True)


def mended(value: Any) -> Any:
    """The value with text that UTF-8 can carry: halves of one character joined, those without the other replaced."""
    match value:
        case str():
            return mended_text(value)
        case dict():
            return {mended_text(str(key)): mended(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(mended(item) for item in value)
        case _:
            return value


def mended_text(text: str) -> str:
    """Text without lone surrogates, which JSON's escapes may hold and nothing else can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable(value: Any) -> Any:
    """The value without numbers that JSON has no word for, which some parsers let through."""
    match value:
        case float() if not isfinite(value):
            return None
        case dict():
            return {key: storable(item) for key, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case _:
            return value


def asked(model_call_id: object, tool: object, args: object, api: str) -> AskedCall:
    """A call as the model asked for it; `args` is an object, or the JSON text of one. Raises ModelError.

    Arguments that are no object are the model's mistake, which it is told as the call's error.
    """
    if not isinstance(model_call_id, str) or not isinstance(tool, str) or not model_call_id or not tool:
        raise malformed(api, f"a tool call without id or name: {model_call_id!r}, {tool!r}")
    value, error = _object(args)
    if error is None:
        try:
            return AskedCall(model_call_id=model_call_id, tool=tool, args=value)
        except ValidationError as refused:
            error = f"the input of a call cannot be used: {describe(refused)}"
    return AskedCall(model_call_id=model_call_id, tool=tool, args={}, args_error=error)


def _object(args: object) -> tuple[dict[str, Any], str | None]:
    value: Any = args
    if isinstance(args, str):
        try:
            value = mended(json.loads(args, object_pairs_hook=each_once)) if args.strip() else {}
        except NameRepeated as error:
            return {}, f"the input of a call: {error}"
        except (ValueError, RecursionError) as error:
            return {}, f"the input of a call is a JSON object, not {_shown(args)} ({error})"
    if not isinstance(value, dict):
        return {}, f"the input of a call is a JSON object, not {_shown(value)}"
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return {}, "the input of a call cannot be used: it has numbers like NaN, or is too deep"
    return value, None


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:SHOWN]
