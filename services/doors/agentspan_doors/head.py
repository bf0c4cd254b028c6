"""HEAD wherever there is GET: what GET would say of its answer, and none of it.

The answer is over when it has begun, so that a stream's end is not waited for: for what streams, its client has left.
"""

from starlette.types import Message, Scope, Send


def without_body(scope: Scope, send: Send) -> Send:
    """How it is answered. Whoever called it a GET, for routes that have no HEAD, need not call it back."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            scope["method"] = "HEAD"
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return sending
