"""Behind a proxy that authenticates, a write says who calls, or it is none."""

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
