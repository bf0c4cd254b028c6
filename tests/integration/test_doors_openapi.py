"""The OpenAPI document: one, complete, and the one that is checked in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from agentspan_doors import Application
from agentspan_standalone import openapi
from agentspan_standalone.app import make_app
from agentspan_standalone.composition import Services
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import Settings


@pytest.fixture
async def app(tmp_path: Path) -> Application:
    settings = Settings(data=tmp_path)
    plumbing = embedded(settings)
    services = Services(settings, plumbing)
    made = make_app(settings, services)
    services.close()
    await plumbing.close()
    return made


def test_the_document_that_is_checked_in_is_that_of_the_doors(capsys: pytest.CaptureFixture[str]) -> None:
    assert openapi.main(["--check"]) == 0, capsys.readouterr().err


def test_the_plain_routes_of_the_api_are_in_the_document_each_of_them(app: Application) -> None:
    plain = {(route.path, method) for route in app.plain_routes for method in methods(route)}
    described = {(door.path, door.method.lower()) for door in app.plain}
    documented = {(path, method) for path, item in app.openapi()["paths"].items() for method in item}
    assert plain == described
    assert described <= documented
    assert described != set()


def methods(route: Route) -> set[str]:
    return {method.lower() for method in (route.methods or set()) - {"HEAD"}}


def test_every_reference_of_the_document_leads_somewhere_and_every_operation_answers_with_problems() -> None:
    document = json.loads(openapi.FILE.read_text())
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) == known
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all("application/problem+json" in operation["responses"]["default"]["content"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_a_start_that_was_sent_before_is_described_too() -> None:
    paths = json.loads(openapi.FILE.read_text())["paths"]
    for path in ("/api/v1/executions", "/api/v1/tickets"):
        responses = paths[path]["post"]["responses"]
        assert responses["200"] == responses["201"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
