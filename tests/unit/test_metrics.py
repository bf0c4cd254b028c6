"""What /metrics says: what was counted, once, under names that the docs list, and to nobody who comes by a name."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentspan_doors import create_app
from agentspan_schemas.cloudevents import Headers
from agentspan_schemas.dead_letters import Why
from agentspan_standalone.app import make_app
from agentspan_standalone.composition import Services, now
from agentspan_standalone.metrics import METRICS, Measured, OnItsOwnPort, Sample, metrics_router
from agentspan_standalone.metrics.exposition import exposed
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import Settings

DOCS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(agentspan_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|", re.MULTILINE)


class Clock:
    """Seconds, as a test moves them."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def said(samples: list[Sample]) -> dict[str, float]:
    """What Prometheus reads, by name and labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposed(samples).decode())
        for sample in family.samples
        if sample.name.startswith("agentspan_")
    }


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The doors of a whole server, which need not run."""
    settings = Settings(data=tmp_path)
    plumbing = embedded(settings)
    services = Services(settings, plumbing)
    transport = httpx.ASGITransport(make_app(settings, services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    services.close()
    await plumbing.close()


async def test_the_docs_list_what_the_server_says_and_nothing_else(server: httpx.AsyncClient) -> None:
    told = (await server.get("/metrics")).text
    kinds = dict(re.findall(r"^# TYPE (agentspan_\w+) (\w+)$", told, re.MULTILINE))
    listed = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels, _ in ROW.findall(DOCS)}
    assert {name: kind for name, (kind, _) in listed.items()} == kinds
    assert {metric.name: (metric.kind, list(metric.labels)) for metric in METRICS} == listed
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            if family.name.startswith("agentspan_"):
                _, labels = listed.get(family.name) or listed[f"{family.name}_total"]
                assert sample.labels.keys() - {"le"} == set(labels)


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"agentspan_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:6767", 200),
        ("127.0.0.1:6767", 200),
        ("10.1.2.3:9464", 200),
        ("[fd00::7]:9464", 200),
        ("evil.example", 403),
        ("10.1.2.3.evil.example", 403),
        ("", 403),
    ],
)
async def test_it_answers_to_addresses_and_to_no_name_that_a_page_can_have(
    server: httpx.AsyncClient, host: str, status: int
) -> None:
    assert (await server.get("/metrics", headers={"host": host})).status_code == status
    if status == 200 and not host.startswith(("localhost", "127.")):
        assert (await server.get("/livez", headers={"host": host})).status_code == 403, "that is for metrics alone"


async def test_a_page_of_another_site_reads_nothing(server: httpx.AsyncClient) -> None:
    refused = await server.get("/metrics", headers={"sec-fetch-site": "cross-site"})
    assert refused.json()["code"] == "origin_refused"


async def test_a_port_of_its_own_has_metrics_and_nothing_else() -> None:
    async def samples() -> list[Sample]:
        return [Sample("agentspan_ready", 1)]

    app = create_app([metrics_router(samples)], by_address=("/metrics",))
    app.add_middleware(OnItsOwnPort, port=9464)

    async def status(url: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return (await client.get(url)).status_code

    assert await status("http://localhost:9464/metrics") == 200
    assert await status("http://localhost:6767/metrics") == 404
    assert await status("http://localhost:9464/api/v1/openapi.json") == 404
    assert await status("http://localhost:6767/api/v1/openapi.json") == 200


async def test_requests_are_counted_by_their_routes_template(server: httpx.AsyncClient) -> None:
    for path in ("/livez", "/static/a.css", "/static/b.css", "/api/v1/agents/none/at/all", "/made/up"):
        await server.get(path)
    await server.request("BREW", "/livez")
    await server.get("/livez", headers={"host": "evil.example"})
    text = (await server.get("/metrics")).text
    counts = re.findall(r'duration_seconds_count\{method="(\w+)",route="([^"]+)",status="(\d+)"\} (\d+)', text)
    assert {tuple(each) for each in counts} == {
        ("GET", "/livez", "200", "1"),
        ("GET", "/static/{name}", "404", "2"),
        ("GET", "other", "404", "2"),
        ("GET", "other", "403", "1"),
        ("other", "/livez", "405", "1"),
    }
    assert "agentspan_http_requests_in_progress 1.0" in text, "the scrape itself"


def test_an_outcome_is_counted_when_it_is_released_and_not_before() -> None:
    clock = Clock()
    measured = Measured(clock)
    first, lost = measured.appending("start", "accepted"), measured.appending("start", "accepted")
    assert lost is not first
    assert not any(name.startswith("agentspan_commands_decided_total") for name in said(list(measured.samples())))
    clock.at += 0.02
    first()
    found = said(list(measured.samples()))
    assert found["agentspan_commands_decided_total answer=accepted command=start"] == 1
    assert found["agentspan_append_duration_seconds_count"] == 1
    assert found["agentspan_append_duration_seconds_sum"] == pytest.approx(0.02)
    assert found["agentspan_append_duration_seconds_bucket le=0.01"] == 0
    assert found["agentspan_append_duration_seconds_bucket le=0.025"] == 1
    assert found["agentspan_append_duration_seconds_bucket le=+Inf"] == 1


def test_what_becomes_of_a_partition_is_counted() -> None:
    clock = Clock()
    measured = Measured(clock)
    measured.taken_over(3)
    clock.at += 2.5
    measured.restored(3)
    measured.deposed(3, fenced=True)
    measured.taken_over(3)
    measured.deposed(3, fenced=False)
    found = said(list(measured.samples()))
    assert found["agentspan_partition_takeovers_total partition=3"] == 2
    assert found["agentspan_partition_restore_seconds partition=3"] == 2.5
    assert found["agentspan_partition_fencings_total partition=3"] == 1
    assert found["agentspan_partition_write_failures_total partition=3"] == 1


class Letters:
    """Takes dead letters, or does not."""

    def __init__(self) -> None:
        self.fails = False

    async def put(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        if self.fails:
            raise OSError("no broker")


async def test_a_dead_letter_is_counted_once_it_stands() -> None:
    measured, letters = Measured(Clock()), Letters()
    counting = measured.counting("tickets", letters)
    headers = Why("no_mapping", "set one", now(), "agentspan.tickets", 0, 7, "orchestrator").headers()
    letters.fails = True
    with pytest.raises(OSError, match="no broker"):
        await counting.put(None, b"", headers)
    letters.fails = False
    await counting.put(None, b"", headers)
    assert said(list(measured.samples()))["agentspan_dead_letters_total reason=no_mapping topic=tickets"] == 1
