"""Who owns which partition, by the log's own word; how to take one over without asking; and what the audit finds."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from agentspan.eventlog.kafka import Kafka, KafkaConfig
from tests.kafka.audit import judged
from tests.kafka.evidence import gathered, records_of
from tests.kafka.servers import Fleet, Process
from tests.support.eventually import eventually
from tests.support.server import Json

SETTLES_WITHIN_S = 60.0


def owners(fleet: Fleet) -> dict[int, str]:
    """The author of the last takeover of each partition that is valid."""
    found: dict[int, tuple[int, str]] = {}
    for raw in records_of(fleet.bootstrap, fleet.topic("events")):
        epoch = int(raw.headers["ce_epoch"])
        if raw.headers["ce_n"] == "0" and epoch > found.get(raw.partition, (0, ""))[0]:
            found[raw.partition] = (epoch, raw.key)
    return {partition: owner for partition, (_, owner) in found.items()}


def owned_by(fleet: Fleet, process: Process) -> frozenset[int]:
    """The partitions of one process: its takeovers carry its pid."""
    return frozenset(number for number, owner in owners(fleet).items() if owner.endswith(f"/{process.pid}"))


def take_over(fleet: Fleet, partitions: Iterable[int]) -> None:
    """As a rival does that no group has asked."""

    async def taking() -> None:
        kafka = Kafka(KafkaConfig(bootstrap=fleet.bootstrap, prefix=fleet.prefix))
        log = await kafka.log()
        for number in partitions:
            (await log.partition(number).take_over("rival")).close()
        await kafka.close()

    asyncio.run(taking())


def findings(fleet: Fleet, shown: Sequence[Json] | None = None) -> list[str]:
    """What the audit finds at rest: among it tasks, effects and approval records that follow from no event that counts,
    which only a process that did not own their partition can have made."""
    effects = Path(fleet.shop.environment["SHOP"])
    return [str(each) for each in judged(replace(gathered(fleet.bootstrap, fleet.prefix, effects), shown=shown))]


def settled(fleet: Fleet, shown: Sequence[Json]) -> None:
    """Return when it finds nothing: the last tasks are buried, and requests published, a moment after their events."""
    found: list[list[str]] = []

    def clean() -> bool:
        found.append(findings(fleet, shown))
        return not found[-1]

    try:
        eventually(clean, "an audit finds nothing", within_s=SETTLES_WITHIN_S)
    except AssertionError:
        raise AssertionError("\n".join(found[-1][:40])) from None
