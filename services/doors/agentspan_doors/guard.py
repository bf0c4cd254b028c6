"""What never gets in: a web page of elsewhere (it could approve a refund on localhost), bodies that are not said to be
JSON (a form of any page can send those), and bodies beyond the limit.
"""

import ipaddress
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentspan_doors.callers import Headers
from agentspan_doors.problems import DoorError, problem_response
from agentspan_schemas import MAX_VALUE_BYTES

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")
_ELSEWHERE = (b"cross-site", b"same-site")
_ONCE = ("Host", "Origin", "Agentspan-User", "Agentspan-Client", "Idempotency-Key")
"""Of two, what stands in front may judge by one and this server by the other; and a key says which request it is."""


class Guard:
    """ASGI middleware: Host must be one of `hosts` (any port), a write's Origin must be the host itself. None of
    them, nor who calls, may be said twice.

    `named`: a write without Agentspan-User is refused, as the proxy in front says who calls.
    `by_address`: paths for machines, which answer to any address and to loopback's names, and to no other: a page of
    elsewhere that has a name lead here sends that name, and what stands in front the one that people know.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] = LOOPBACK,
        *,
        named: bool = False,
        by_address: Collection[str] = (),
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._named = named
        self._by_address = frozenset(by_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if error := self._refusal(scope):
            await problem_response(error.problem)(scope, receive, send)
            return
        await self._app(scope, _limited(receive), send)

    def _refusal(self, scope: Scope) -> DoorError | None:
        headers: Headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]) and (error := _repeated(scope)):
            return error
        host = _text(headers, b"host").lower()
        if scope["path"] in self._by_address:
            return _not_by_address(headers, _without_port(host))
        if _without_port(host) not in self._hosts:
            hint = "set AGENTSPAN_ALLOWED_HOSTS to serve under another name"
            return DoorError(403, "host_refused", f"this server does not answer to the host {host!r}; {hint}")
        if scope["method"] in _SAFE:
            return None
        if self._named and not headers.get(b"agentspan-user"):
            hint = "the proxy in front of this server must say who it authenticated, in Agentspan-User"
            return DoorError(401, "caller_unknown", hint, field="Agentspan-User")
        origin = _text(headers, b"origin").lower()
        if b"origin" in headers and origin.partition("://")[2] != host:
            return DoorError(403, "origin_refused", f"a page of {origin!r} may not write here; use the server's own")
        if headers.get(b"sec-fetch-site") in _ELSEWHERE:
            return DoorError(403, "origin_refused", "a page of another site may not write here; use the server's own")
        return _too_large(headers) or _not_json(headers)


def _repeated(scope: Scope) -> DoorError | None:
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if (count := names.count(name.lower().encode())) > 1:
            return DoorError(400, "header_repeated", f"{name}: it stands there {count} times; send it once", field=name)
    return None


def _not_by_address(headers: Headers, host: str) -> DoorError | None:
    if host not in LOOPBACK and not _is_address(host.strip("[]")):
        hint = "ask it by the address of its machine or pod, or as localhost"
        return DoorError(403, "host_refused", f"this is for machines and does not answer to the host {host!r}; {hint}")
    if headers.get(b"sec-fetch-site") in _ELSEWHERE:
        return DoorError(403, "origin_refused", "this is not for pages of other sites")
    return None


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _too_large(headers: Headers) -> DoorError | None:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_VALUE_BYTES:
        return _over(int(length))
    return None


def _not_json(headers: Headers) -> DoorError | None:
    has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    encoding = _text(headers, b"content-encoding").strip().lower()
    if has_body and encoding not in ("", "identity"):
        detail = f"a body with Content-Encoding: {encoding!r}, which this server does not undo; send the JSON as it is"
        return DoorError(415, "unsupported_encoding", detail, field="Content-Encoding")
    media_type = _text(headers, b"content-type").partition(";")[0].strip().lower()
    if not has_body or media_type == "application/json":
        return None
    detail = f"a body of type {media_type or 'unknown'!r}; send JSON, with the header Content-Type: application/json"
    return DoorError(415, "unsupported_media_type", detail)


def _over(size: int) -> DoorError:
    return DoorError(413, "too_large", f"a body of {size} bytes; the most is {MAX_VALUE_BYTES} bytes")


def _limited(receive: Receive) -> Receive:
    """The same body, cut off with an error as soon as it is longer than any message may be."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_VALUE_BYTES:
            raise _over(seen)
        return message

    return limited
