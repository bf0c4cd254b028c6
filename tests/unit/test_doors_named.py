"""Behind a proxy that authenticates, a write says who calls, or it is none; and what is judged by is said once."""

import httpx
import pytest
from fastapi import APIRouter

from agentspan_doors import Caller, CallerOf, create_app


def client(*, named: bool) -> httpx.AsyncClient:
    api = APIRouter()

    @api.post("/write")
    async def write(caller: CallerOf) -> dict[str, str]:
        return {"by": caller.by}

    @api.get("/read")
    async def read() -> dict[str, str]:
        return {}

    transport = httpx.ASGITransport(create_app([api], named=named))
    headers = {"content-type": "application/json"}
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


async def test_a_write_without_a_name_is_refused_where_a_proxy_says_who_calls() -> None:
    async with client(named=True) as http:
        unnamed = await http.post("/write")
        assert (unnamed.status_code, unnamed.json()["code"]) == (401, "caller_unknown")
        assert unnamed.json()["field"] == "Agentspan-User"
        named = await http.post("/write", headers={"Agentspan-User": "ana"})
        assert named.json() == {"by": "user:ana"}
        assert (await http.get("/read")).status_code == 200


@pytest.mark.parametrize(("headers", "by"), [({}, "user:local"), ({"Agentspan-User": "ana"}, "user:ana")])
async def test_on_loopback_a_name_is_welcome_and_not_asked_for(headers: dict[str, str], by: str) -> None:
    async with client(named=False) as http:
        assert (await http.post("/write", headers=headers)).json() == {"by": Caller(by, "http").by}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("Host", ("localhost", "evil.example")),
        ("Host", ("evil.example", "localhost")),
        ("Host", ("localhost", "localhost")),
        ("Agentspan-User", ("ana", "eve")),
        ("Agentspan-User", ("ana", "")),
        ("Agentspan-Client", ("ui", "cli")),
        ("Idempotency-Key", ("order-1", "order-2")),
        ("Idempotency-Key", ("order-1", "order-1")),
        ("Origin", ("http://localhost", "https://evil.example")),
    ],
)
async def test_a_header_that_is_judged_by_is_refused_when_it_stands_there_twice(
    named: bool, method: str, header: str, values: tuple[str, str]
) -> None:
    async with client(named=named) as http:
        http.headers.pop(header, None)
        path = "/read" if method == "GET" else "/write"
        answer = await http.request(method, path, headers=[(header, value) for value in values])
        assert (answer.status_code, answer.json()["code"]) == (400, "header_repeated")
        assert (answer.json()["field"], answer.json()["title"]) == (header, "Bad request")
        assert answer.json()["detail"] == f"{header}: it stands there 2 times; send it once"


async def test_other_headers_may_stand_there_as_often_as_they_like() -> None:
    async with client(named=True) as http:
        many = [("Agentspan-User", "ana"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("Accept", "*/*"), ("Accept", "a/b")]
        assert (await http.post("/write", headers=many)).json() == {"by": "user:ana"}
