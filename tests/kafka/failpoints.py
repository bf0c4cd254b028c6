"""Where a process ends itself, or freezes, by what it writes and answers: before, in the middle, or just after.

The product has no part in it: `tests.kafka.victim` composes the services of a process with a producer and an app that
are watched from here.
"""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentspan.eventlog._kafka_config import KafkaConfig
from agentspan.eventlog._kafka_messages import Encoded
from agentspan.eventlog._kafka_producer import Landed, Producing, nobody_asks

Moment = Literal["before", "between", "after"]
Action = Literal["kill", "freeze"]

SIGNALS: Final[dict[Action, signal.Signals]] = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told to do to itself: at which moment of which write, the how-manieth."""

    moment: Moment
    of: str
    """`events`, `tasks`, `snapshots`, `checkpoints`, `approvals`; `replies` to a client's write."""
    nth: int
    action: Action = "kill"

    def give(self, path: Path) -> None:
        """For `Failpoints.arm` to read, in another process."""
        path.write_text(json.dumps([self.moment, self.of, self.nth, self.action]))


class Failpoints:
    """Those of this process, one at a time."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._order: Order | None = None
        self._left = 0
        self.over = False
        """Whether it is about to end: nothing more is written."""

    def arm(self) -> None:
        """Take the order that was given."""
        self._order = Order(*json.loads(self._orders.read_text()))
        self._left = self._order.nth

    def passed(self, moment: Moment, of: str) -> bool:
        """Whether this is where it happens."""
        order = self._order
        if order is None or (order.moment, order.of) != (moment, of):
            return False
        self._left -= 1
        return self._left == 0

    def act(self) -> None:
        """End, or freeze; a frozen process goes on here when it wakes."""
        order, self._order = self._order, None
        assert order is not None
        os.kill(os.getpid(), SIGNALS[order.action])

    def reached(self, moment: Moment, of: str) -> None:
        """Do it, if this is where it happens."""
        if self.passed(moment, of):
            self.act()


def watched_producing(failpoints: Failpoints) -> type[Producing]:
    """All that a process writes to its cluster goes through one of these."""

    class Watched(Producing):
        def __init__(self, config: KafkaConfig) -> None:
            super().__init__(config)

        def send(
            self, topic: str, partition: int, records: Sequence[Encoded], landed: Landed = nobody_asks
        ) -> asyncio.Future[Sequence[int]]:
            if failpoints.over:
                return asyncio.get_running_loop().create_future()
            of = _kind(topic, records)
            failpoints.reached("before", of)
            if len(records) > 1 and failpoints.passed("between", of):
                failpoints.over = True
                first = super().send(topic, partition, records[:1], landed)
                first.add_done_callback(lambda _: failpoints.act())
                return asyncio.get_running_loop().create_future()
            sent = super().send(topic, partition, records, landed)
            sent.add_done_callback(lambda _: failpoints.reached("after", of))  # the first to hear of it
            return sent

    return Watched


def watched_app(app: ASGIApp, failpoints: Failpoints) -> ASGIApp:
    """Answers writes of clients, as they are."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                failpoints.reached("before", "replies")
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                failpoints.reached("after", "replies")

        writes = scope["type"] == "http" and scope["method"] == "POST"
        await app(scope, receive, sending if writes else send)

    return watched


def _kind(topic: str, records: Sequence[Encoded]) -> str:
    """What a write is called in orders; a takeover is none of them."""
    name = topic.rpartition(".")[2]
    first = records[0]
    if name == "events":
        return "takeovers" if ("ce_n", "0") in first.headers else name
    if name == "snapshots":
        return "checkpoints" if str(first.key).startswith("checkpoint/") else name
    return name
