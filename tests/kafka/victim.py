"""A server's process that can be told to end or freeze itself at a failpoint: `python -m tests.kafka.victim`.

SIGUSR1: take the order in the data folder. SIGUSR2: take every partition over and over for a while, whatever the group
says. Its snapshots come every second, so that there are some to be killed at.
"""

import argparse
import asyncio
import signal
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from agentspan.eventlog import _kafka_connection
from agentspan.eventlog.kafka import KafkaConfig
from agentspan_orchestrator import partition, snapshots
from agentspan_standalone import app, logs, server
from agentspan_standalone.plumbing import Plumbing, Serve, opened
from agentspan_standalone.settings import Settings
from tests.kafka.failpoints import Failpoints, watched_app, watched_producing

ORDERS = "orders.json"
DELIVERY_TIMEOUT_S = 4.0
ROUND_EVERY_S = 1.0
RACE_S = 4.0
TAKE_OVER_AGAIN_S = 0.3
"""Of a racer: soon."""


class VictimSettings(Settings):
    """Gives up on the brokers sooner than a server would."""

    def kafka(self) -> KafkaConfig:
        return replace(super().kafka(), delivery_timeout_s=DELIVERY_TIMEOUT_S)


class Greed:
    """The partitions that are assigned; while it lasts, all others too."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._locks: dict[int, asyncio.Lock] = {}

    def begin(self) -> None:
        """For `RACE_S`."""
        self._asked.set()

    def over(self, plumbing: Plumbing) -> Plumbing:
        """The same with everybody's partitions taken for one's own."""
        self._plumbing = plumbing
        return replace(plumbing, assigned=self._confirmed, share=self)

    @property
    def assigned(self) -> frozenset[int] | None:
        return self._plumbing.share.assigned

    async def __call__(self, serve: Serve) -> None:
        async def alone(number: int) -> None:
            async with self._locks.setdefault(number, asyncio.Lock()):
                await serve(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(_awaited(self._plumbing.share(alone)))
            group.create_task(self._take_all(alone, self._plumbing.log.partitions))

    async def _confirmed(self, number: int) -> bool:
        return self._asked.is_set() or await self._plumbing.assigned(number)

    async def _take_all(self, serve: Serve, partitions: int) -> None:
        while True:
            await self._asked.wait()
            others = [number for number in range(partitions) if not self._is_served(number)]
            taking = [asyncio.create_task(serve(number)) for number in others]
            await asyncio.sleep(RACE_S)
            self._asked.clear()
            for each in taking:
                each.cancel()
            if taking:
                await asyncio.wait(taking)

    def _is_served(self, number: int) -> bool:
        return number in self._locks and self._locks[number].locked()


async def _awaited(work: Awaitable[None]) -> None:
    await work


def compose(failpoints: Failpoints, greed: Greed) -> None:
    """Put the watched parts where the services are composed."""

    async def opened_greedily(settings: Settings) -> Plumbing:
        return greed.over(await opened(settings))

    replaced: dict[tuple[Any, str], object] = {
        (_kafka_connection, "Producing"): watched_producing(failpoints),
        (server, "make_app"): lambda *services: watched_app(app.make_app(*services), failpoints),
        (app, "opened"): opened_greedily,
        (snapshots, "ROUND_EVERY_S"): ROUND_EVERY_S,
        (partition, "TAKE_OVER_AGAIN_S"): TAKE_OVER_AGAIN_S,
    }
    for (module, name), part in replaced.items():
        assert hasattr(module, name), f"{module} has no {name} any more"
        setattr(module, name, part)


async def main(settings: Settings) -> None:
    failpoints, greed = Failpoints(settings.data.parent / ORDERS), Greed()
    compose(failpoints, greed)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, failpoints.arm)
    loop.add_signal_handler(signal.SIGUSR2, greed.begin)
    await server.serve(settings, server.bound(settings))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--port", type=int)
    for flag in ("--log", "--roles"):
        parser.add_argument(flag)
    given = VictimSettings.given(**vars(parser.parse_args()))
    logs.configure(given.log_level)
    uvloop.run(main(given))
