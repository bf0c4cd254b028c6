"""What stands in a body and is no JSON: refused at FastAPI's routes as at the plain ones, never an internal error."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from agentspan_doors import JsonRoute, create_app
from agentspan_schemas import MAX_VALUE_BYTES
from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.http import ReasonRequest, ResolutionRequest

HALF = rb'"\ud83d"'
"""The first half of an emoji."""


def client() -> httpx.AsyncClient:
    api = APIRouter(route_class=JsonRoute)

    @api.post("/reason")
    async def reason(body: ReasonRequest) -> dict[str, Any]:
        return {"said": body.reason}

    @api.post("/resolve")
    async def resolve(body: ResolutionRequest) -> dict[str, Any]:
        return {"said": body.value}

    @api.post("/agent")
    async def agent(body: AgentDefinition) -> dict[str, Any]:
        return {"said": body.instructions}

    transport = httpx.ASGITransport(create_app([api]))
    headers = {"content-type": "application/json"}
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


RESOLVE = b'{"attempt": 1, "outcome": "succeeded", "value": %s}'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/reason", b'{"reason": %s}' % HALF),
        ("/resolve", RESOLVE % HALF),
        ("/resolve", RESOLVE % b'{"note": [%s]}' % HALF),
        ("/resolve", RESOLVE % b"{%s: 1}" % HALF),
        ("/agent", b'{"name": "desk", "model": "replay/desk", "instructions": %s}' % HALF),
        ("/resolve", RESOLVE % (b"[" * 5_000 + b"]" * 5_000)),
        ("/reason", b'{"reason": "\xff"}'),
        ("/reason", b"{"),
    ],
)
async def test_what_no_message_can_carry_is_refused_as_no_json(path: str, body: bytes) -> None:
    async with client() as http:
        answer = await http.post(path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_json"), answer.text


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/reason", b'{"reason": "a", "reason": "b"}', "reason"),
        ("/resolve", RESOLVE % b'{"id": 1, "id": 2}', "id"),
        ("/agent", b'{"name": "desk", "model": "replay/desk", "name": "till"}', "name"),
    ],
)
async def test_a_name_that_stands_there_twice_is_refused(path: str, body: bytes, name: str) -> None:
    async with client() as http:
        answer = await http.post(path, content=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "field_repeated", name)


async def test_a_body_without_a_length_that_is_too_large_is_told_as_one() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_VALUE_BYTES // 2)

    async with client() as http:
        answer = await http.post("/reason", content=parts())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), answer.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate, br", "GZIP"])
async def test_a_body_that_is_encoded_is_refused_as_such(encoding: str) -> None:
    async with client() as http:
        answer = await http.post("/reason", content=gzip.compress(b"{}"), headers={"content-encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding"), answer.text
        assert "send the JSON as it is" in answer.json()["detail"]
        plain = await http.post("/reason", content=b"{}", headers={"content-encoding": "identity"})
    assert plain.status_code == 200


async def test_whole_characters_come_through_as_they_are() -> None:
    async with client() as http:
        for text in ("😀 \x00 ü", ""):
            assert (await http.post("/reason", json={"reason": text})).json() == {"said": text}
        answer = await http.post("/resolve", content=RESOLVE % b"1e999")
    assert (answer.status_code, answer.json()["field"]) == (422, "value.float")
