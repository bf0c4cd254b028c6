"""The broker of `LOG=kafka`: a real one, as the tests have it, with topics made as an operator makes them.

Apart because only this log needs a broker, and only then is anything of the tests imported.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.kafka.broker import Broker
from tests.support.kafka.docker import DockerBroker, docker_answers

from .errors import BenchError
from .processes import ROOT
from .site import TOPIC_PREFIX


@dataclass(frozen=True, slots=True)
class Cluster:
    """One broker with our topics."""

    bootstrap: str
    pid: int | None
    """None where it runs in a container."""

    @property
    def log(self) -> str:
        """As a server is told."""
        return f"kafka://{self.bootstrap}?prefix={TOPIC_PREFIX}"


@asynccontextmanager
async def cluster(folder: Path, partitions: int) -> AsyncIterator[Cluster]:
    """A broker with its data in the folder, for as long as the context lasts."""
    data = folder / "broker"
    data.mkdir()
    in_docker = await asyncio.to_thread(docker_answers)
    broker: Broker = await asyncio.to_thread(DockerBroker) if in_docker else await asyncio.to_thread(Broker, data)
    try:
        await asyncio.to_thread(broker.start)
        made = Cluster(broker.bootstrap, _java())
        await _create_topics(made.log, partitions)
        yield made
    finally:
        await asyncio.to_thread(broker.stop)


def _java() -> int | None:
    found = [child.pid for child in psutil.Process().children() if child.name() == "java"]
    return found[-1] if found else None


async def _create_topics(log: str, partitions: int) -> None:
    command = [str(Path(sys.executable).with_name("agentspan")), "topics", "create", "--log", log]
    counts = ["--partitions", str(partitions), "--replication", "1", "--min-insync", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, *counts, cwd=ROOT, env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise BenchError(f"the topics could not be made: {said.decode(errors='replace')}")
