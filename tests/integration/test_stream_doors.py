"""A client's stream through a whole server's doors: server-sent events of many executions over one connection."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentspan_schemas.agents import AgentDefinition
from tests.support.server import Server, turn


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("streams")) as one:
        one.record("hello", turn("Hello."))
        agent = AgentDefinition(name="shop", model="replay/shop")
        one.http.put("/agents", json=agent.model_dump(mode="json")).raise_for_status()
        yield one


Frame = tuple[str, str, Any]
"""The event's name, its id, its data."""


def frames(response: httpx.Response) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "data" in fields:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
            fields = {}


@contextmanager
def stream(server: Server, *follow: dict[str, Any]) -> Iterator[tuple[str, Iterator[Frame]]]:
    with server.http.stream("POST", "/streams", json={"follow": follow}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        coming = frames(response)
        name, _, data = next(coming)
        assert name == "open"
        yield data["stream_id"], coming


def until_done(coming: Iterator[Frame], runs: int) -> dict[str, list[str]]:
    """The types of the events of so many runs, up to their ends."""
    seen: dict[str, list[str]] = {}
    ended = 0
    while ended < runs:
        name, event_id, data = next(coming)
        assert event_id == f"{data['execution_id']}:{data['seq']}"
        assert data["type"] == name
        seen.setdefault(data["execution_id"], []).append(name)
        ended += name == "done"
    return seen


HELLO = ["started", "model_called", "model_replied", "done"]


def test_runs_that_were_named_at_once_or_later_come_over_one_connection(server: Server) -> None:
    first = server.begin("hello")
    with stream(server, {"execution_id": first}) as (stream_id, coming):
        assert until_done(coming, 1) == {first: HELLO}
        second, third = server.begin("hello"), server.begin("hello")
        body = {"follow": [{"execution_id": second}, {"execution_id": third, "after": 2}]}
        assert server.http.post(f"/streams/{stream_id}", json=body).status_code == 204
        assert until_done(coming, 2) == {second: HELLO, third: HELLO[2:]}


def test_the_same_by_get_for_a_browser(server: Server) -> None:
    first, second = server.begin("hello"), server.begin("hello")
    server.await_end(first)
    with server.http.stream("GET", f"/streams?follow={first}:3&follow={second}") as response:
        coming = frames(response)
        assert next(coming)[0] == "open"
        assert until_done(coming, 2) == {first: ["done"], second: HELLO}


def test_who_asks_for_a_streams_headers_alone_has_them_at_once(server: Server) -> None:
    run = server.begin("hello")
    for path in (f"/streams?follow={run}", f"/executions/{run}/stream"):
        answer = server.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


def test_what_is_not_there_and_what_is_over_is_said(server: Server) -> None:
    run = server.begin("hello")
    server.await_end(run)
    server.get("/executions")  # history is there
    with stream(server, {"execution_id": "exec-none"}, {"execution_id": run, "after": 4}) as (_, coming):
        told = {name: data for name, _, data in (next(coming), next(coming))}
    assert told["end"] == {"execution_id": run}
    assert (told["problem"]["execution_id"], told["problem"]["problem"]["status"]) == ("exec-none", 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/streams/none", {"follow": []}, 404, "there is no stream 'none'; open one that follows all"),
        ("POST", "/streams", {"folow": []}, 422, "folow"),
        ("POST", "/streams", {"follow": [{"execution_id": "e", "after": -1}]}, 422, "after"),
        ("GET", "/streams", None, 422, "name 1 to 100 executions"),
        ("GET", "/streams?follow=a:b", None, 422, "'a:b' is neither"),
        ("GET", "/streams?follow=a&deltas=maybe", None, 422, "'maybe' is neither true nor false"),
        ("GET", "/streams?follow=a&deltas=true&deltas=false", None, 422, "deltas: it stands in the URL more than once"),
        ("GET", "/gateway/workers?agent=a&agent=b", None, 422, "agent: it stands in the URL more than once"),
        ("GET", "/streams?folow=a", None, 422, "unknown parameter 'folow'"),
    ],
)
def test_wrong_requests_say_what_is_wrong(
    server: Server, method: str, path: str, body: object, status: int, says: str
) -> None:
    answer = server.http.request(method, path, json=body) if body else server.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


def test_a_name_twice_in_what_to_follow_is_refused(server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.http.post("/streams", content=b'{"follow": [], "follow": []}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "field_repeated")


def test_another_sites_page_may_not_open_one(server: Server) -> None:
    refused = server.http.post("/streams", json={}, headers={"Origin": "https://elsewhere.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_refused")
    text = server.http.post("/streams", content="{}", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415


def test_the_document_says_that_they_are_streams(server: Server) -> None:
    paths = server.get("/openapi.json")["paths"]
    for path, method in (("/api/v1/streams", "post"), ("/api/v1/streams", "get")):
        assert "text/event-stream" in paths[path][method]["responses"]["200"]["content"]
    one = paths["/api/v1/executions/{execution_id}/stream"]["get"]["responses"]["200"]["content"]
    assert "text/event-stream" in one


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    with Server(tmp_path) as one, one.http.stream("POST", "/streams", json={}) as response:
        coming = frames(response)
        assert next(coming)[0] == "open"
        os.kill(one.pid, signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):  # cut at once: the client opens it again elsewhere
            next(coming)
