"""Who knocks at no door is told which there are, and who has a slash too much is led to the one that he meant."""

from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentspan_doors import create_app
from agentspan_standalone.app import make_app
from agentspan_standalone.composition import Services
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import ROLES, Role, Settings


async def page(request: Request) -> Response:
    return Response("page")


def client() -> httpx.AsyncClient:
    api = APIRouter(prefix="/api")

    @api.get("/things/{name}")
    async def get_thing(name: str) -> dict[str, str]:
        return {"name": name}

    @api.delete("/things/{name}")
    async def remove_thing(name: str) -> None:
        raise AssertionError("nobody asks for this")

    @api.get("/things")
    async def things(limit: int = 1) -> dict[str, int]:
        return {"limit": limit}

    plain = [Route("/api/things", page, methods=["POST"]), Route("/{page}", page, methods=["GET"])]
    transport = httpx.ASGITransport(create_app([api], plain_routes=plain, hosts=("Agents.example.com",)))
    return httpx.AsyncClient(transport=transport, base_url="https://agents.example.com")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/things", "GET, HEAD, POST"),
        ("OPTIONS", "/api/things", "GET, HEAD, POST"),
        ("POST", "/api/things/a", "DELETE, GET, HEAD"),
        ("POST", "/about", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    async with client() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert f"{method} is not for '{path}', which takes {allowed};" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "leads_to"),
    [
        ("GET", "/api/things/?limit=3&x=%2F", "/api/things?limit=3&x=%2F"),
        ("POST", "/api/things/", "/api/things"),
        ("GET", "/api/things/a%20b%3F/", "/api/things/a%20b%3F"),
        ("GET", "/api/things//", "/api/things"),
        ("GET", "/about/", "/about"),
    ],
)
async def test_a_slash_too_much_leads_to_what_was_meant_whatever_a_proxy_is_called(
    method: str, path: str, leads_to: str
) -> None:
    async with client() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["location"]) == (307, leads_to)


@pytest.mark.parametrize("path", ["/api/nothing", "/api/nothing/", "//evil.example/", "//evil.example/x/", "//"])
async def test_what_is_nowhere_leads_nowhere(path: str) -> None:
    async with client() as http:
        answer = await http.get(httpx.URL("https://agents.example.com").copy_with(raw_path=path.encode()))
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")


@pytest.mark.parametrize(
    ("roles", "method", "said"),
    [
        (("query",), "POST", "this process has no other role than query: ask the address"),
        (("approvals", "query"), "GET", "no other role than approvals, query"),
        (ROLES, "GET", "; /api/v1/openapi.json lists what there is"),
    ],
)
async def test_a_service_alone_says_that_a_door_may_be_anothers(
    tmp_path: Path, roles: tuple[Role, ...], method: str, said: str
) -> None:
    settings = Settings(data=tmp_path, log="kafka://nowhere:9092", roles=roles)
    plumbing = embedded(settings)
    services = Services(settings, plumbing)
    transport = httpx.ASGITransport(make_app(settings, services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.request(method, "/api/v1/nothing")
    services.close()
    await plumbing.close()
    assert answer.status_code == 404
    assert said in answer.json()["detail"]


async def test_a_host_is_the_same_in_capitals() -> None:
    async with client() as http:
        for host in ("AGENTS.example.com", "agents.EXAMPLE.com:443"):
            headers = {"Host": host, "Origin": f"https://{host.lower()}"}
            assert (await http.post("/api/things", headers=headers)).status_code == 200
        assert (await http.get("/about", headers={"Host": "other.example.com"})).status_code == 403
