"""Who calls, through what, and under which key: what a door writes into the commands it sends."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel

from agentspan_doors.problems import DoorError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+\-]{0,63}")
LONGEST_KEY = 256
_CHANNELS = ("http", "sdk", "cli", "ui")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a command comes from. `by` is what the log keeps."""

    by: str
    channel: str


Headers = Mapping[bytes, bytes]
"""A request's headers by their names in lower case."""


def caller_of(headers: Headers) -> Caller:
    """Who a request's headers say is calling. Raises DoorError."""
    user, client = headers.get(b"agentspan-user", b""), headers.get(b"agentspan-client", b"http")
    return _caller(user.decode("latin-1"), client.decode("latin-1"))


def key_of(headers: Headers) -> str:
    """The caller's Idempotency-Key; without one, every request is a new one. Raises DoorError."""
    return _key(headers.get(b"idempotency-key"))


def _caller(user: str | None, client: str) -> Caller:
    """On loopback, without authentication, a caller says who it is; the log keeps what it said."""
    name = user or "local"
    if not _NAME.fullmatch(name):
        raise DoorError(422, "invalid_request", f"Agentspan-User: {name!r} is no user name", field="Agentspan-User")
    if client not in _CHANNELS:
        known = ", ".join(_CHANNELS)
        detail = f"Agentspan-Client: {client!r} is not one of {known}"
        raise DoorError(422, "invalid_request", detail, field="Agentspan-Client")
    return Caller(f"user:{name}", client)


def _key(raw: bytes | None) -> str:
    """As UTF-8, which the SDK and terminals send: a key is read again, on the log and in the id of a command."""
    if raw is None:
        return uuid.uuid4().hex
    try:
        key = raw.decode()
    except UnicodeDecodeError as error:
        raise _wrong_key(f"{raw!r} is no UTF-8; send the key in that encoding, or in ASCII") from error
    if not 0 < len(key) <= LONGEST_KEY:
        raise _wrong_key(f"it has {len(key)} characters; send 1 to {LONGEST_KEY}, or no such header")
    return key


def _wrong_key(why: str) -> DoorError:
    return DoorError(422, "invalid_request", f"Idempotency-Key: {why}", field="Idempotency-Key")


# async, or FastAPI would ask each in a thread
async def _calling(
    agentspan_user: Annotated[str | None, Header()] = None,
    agentspan_client: Annotated[str, Header()] = "http",
) -> Caller:
    return _caller(agentspan_user, agentspan_client)


async def _command_key(idempotency_key: Annotated[str | None, Header()] = None) -> str:
    return _key(None if idempotency_key is None else idempotency_key.encode("latin-1"))  # as it came


CallerOf = Annotated[Caller, Depends(_calling)]
CommandKey = Annotated[str, Depends(_command_key)]


def command_id(verb: str, caller: Caller, key: str, body: BaseModel) -> str:
    """The same request by the same caller under the same key is the same command.

    Under that key another request is another command: the first one's answer would say that it was done.
    """
    digest = hashlib.sha256(body.__pydantic_serializer__.to_json(body)).hexdigest()
    return f"{verb}:{caller.by}:{key}:{digest[:16]}"
