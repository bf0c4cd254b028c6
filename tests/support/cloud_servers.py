"""Servers on loopback that speak the Messages API as Bedrock and Vertex AI carry it, and Google's door for tokens.

Both have the model in the path and their own credentials; Bedrock's streams are framed in AWS's binary event format.
"""

import base64
import json
import struct
import zlib
from typing import Any

from aiohttp import web

from tests.support.messages_server import Fault, MessagesServer

BEDROCK_KEY = "bedrock-api-key-4f1d9c"
VERTEX_TOKEN = "ya29.test-4f1d9c"


class BedrockServer(MessagesServer):
    """`/model/<model>/invoke` and its stream, for a Bedrock key or a signature."""

    path = "/model/{model}/{how:invoke|invoke-with-response-stream}"
    stream_type = "application/vnd.amazon.eventstream"

    def bad_headers(self, request: web.Request) -> Fault | None:
        said = request.headers.get("authorization", "")
        if said == f"Bearer {BEDROCK_KEY}" or said.startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/"):
            return None
        return Fault(403, "The security token included in the request is invalid.")

    def body_of(self, request: web.Request, body: Any) -> Any:
        streamed = request.match_info["how"] == "invoke-with-response-stream"
        return {**body, "model": request.match_info["model"], "stream": streamed}

    def version_problem(self, request: web.Request, body: Any) -> str | None:
        known = body.pop("anthropic_version") == "bedrock-2023-05-31"
        return None if known else "this model does not support the API's version"

    def frame(self, event: dict[str, Any]) -> bytes:
        if event["type"] == "error":
            payload = json.dumps({"message": event["error"]["message"]}).encode()
            return _message({":message-type": "exception", ":exception-type": event["error"]["type"]}, payload)
        inner = base64.b64encode(json.dumps(event).encode()).decode()
        return _message({":message-type": "event", ":event-type": "chunk"}, json.dumps({"bytes": inner}).encode())


class VertexServer(MessagesServer):
    """`…/models/<model>:rawPredict` and its stream, for a token that it hands out itself."""

    path = (
        "/v1/projects/shop/locations/europe-west1/publishers/anthropic/models/{model}:{how:rawPredict|streamRawPredict}"
    )

    def bad_headers(self, request: web.Request) -> Fault | None:
        if request.headers.get("authorization") == f"Bearer {VERTEX_TOKEN}":
            return None
        return Fault(401, "Request had invalid authentication credentials.")

    def body_of(self, request: web.Request, body: Any) -> Any:
        return {**body, "model": request.match_info["model"]}

    def version_problem(self, request: web.Request, body: Any) -> str | None:
        if body.pop("anthropic_version") != "vertex-2023-10-16" and "temperature" in body:
            return "temperature: Extra inputs are not permitted"
        return None


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of AWS's event streams: lengths, headers, payload, each part with its checksum."""
    packed = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in {**headers, ":content-type": "application/json"}.items()
    )
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + packed + payload
    return start + struct.pack("!I", zlib.crc32(start))
