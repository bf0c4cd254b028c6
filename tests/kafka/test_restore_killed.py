"""A server that is killed while it restores what it has lost: the next one on its folder trusts nothing half there."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agentspan.eventlog.kafka import create_topics, planned_topics
from agentspan_orchestrator.adapters.sqlite_file import HALF_FILLED, SHAPE
from bench import waiting, worker
from tests.kafka.test_readiness import orchestrator, running
from tests.support.eventually import until
from tests.support.kafka.topics import Cluster
from tests.support.server import free_port

WAITING = 2500
"""More than is filled in at once."""

SAYS = slice(60, 64)
"""Where in a file of SQLite its `user_version` stands; to ask SQLite would be to have the file open."""


def no_effect(key: str) -> None:
    pytest.fail(f"{key!r}: nothing was approved")


@pytest.mark.timeout(300)
async def test_what_a_killed_server_has_restored_in_part_is_restored_whole(cluster: Cluster, tmp_path: Path) -> None:
    await create_topics(cluster.config, planned_topics(cluster.choices(1)))
    await waiting.put(cluster.config, worker.make_agent(no_effect, 0).definition, "parked", WAITING)
    folder, cache = tmp_path / "server", tmp_path / "server" / "state-0.sqlite3"

    def says() -> int:
        return int.from_bytes(cache.read_bytes()[SAYS] if cache.exists() else b"", signed=True)

    log = f"kafka://{cluster.config.bootstrap}?prefix={cluster.prefix}"
    command = ["start", "--roles", "orchestrator", "--log", log, "--data", str(folder), "--port", str(free_port())]
    with (tmp_path / "said").open("wb") as said:
        first = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentspan_standalone", *command, stdout=said, stderr=said, env=dict(os.environ)
        )
        await until(lambda: says() == HALF_FILLED or first.returncode is not None)
        first.kill()
        await first.wait()
    assert says() == HALF_FILLED, (tmp_path / "said").read_text()
    async with orchestrator(cluster, folder) as second, running(second):
        assert second.orchestrator is not None
        [standing] = second.orchestrator.standings()
        assert standing.parked == WAITING
    assert says() == SHAPE
