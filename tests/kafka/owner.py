"""An owner as a process of its own. It says what it released, which stands for whatever follows from an outcome.

`pace`: seconds between outcomes. `tear`: it kills itself between the records of the outcome of that number.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from agentspan.eventlog import Deposed, Record, Stamp, WriteError
from agentspan.eventlog.kafka import Kafka, KafkaConfig


def outcome(name: str, number: int) -> list[Record]:
    """One to four records."""
    size = 1 + number % 4
    return [Record("x", f"{name}/{number}/{at + 1}of{size}", b'{"text": "%s"}' % (b"x" * 300)) for at in range(size)]


async def own(kafka: Kafka, name: str, pace: float, tear: int) -> None:
    """Take over and append for ever."""
    partition = (await kafka.log(renew_after=50)).partition(0)
    owner = await partition.take_over(name)
    print(f"owns {owner.epoch}", flush=True)
    number = 0
    while True:
        records = outcome(name, number)
        if number == tear:
            stamp = Stamp(owner.epoch, 1 + sum(len(outcome(name, i)) for i in range(number)), False, 0)
            await half(partition.raw.append, stamp, records)
        released = await owner.append(records)
        print(f"released {name} {number} {released.position}", flush=True)
        number += 1
        await asyncio.sleep(pace)


async def half(append: object, stamp: Stamp, records: Sequence[Record]) -> None:
    """Let the first record of an outcome reach the broker, and die."""
    await append([(stamp, records[0])])  # type: ignore[operator]
    os.kill(os.getpid(), signal.SIGKILL)


async def main(bootstrap: str, prefix: str, name: str, pace: str, tear: str = "-1", again: str = "") -> None:
    # a frozen owner hears of its append's fate however long it was frozen
    kafka = Kafka(KafkaConfig(bootstrap=bootstrap, prefix=prefix, delivery_timeout_s=120, request_timeout_s=60))
    life = 0
    while True:
        try:
            await own(kafka, f"{name}.{life}", float(pace), int(tear))
        except (Deposed, WriteError) as error:
            print(f"deposed {type(error).__name__}", flush=True)
        life += 1
        if not again:
            break
    await kafka.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
