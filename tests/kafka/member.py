"""A member of the group as a process of its own: says how many partitions it serves, whenever that changes.

`instance`: it is a static member under that name. `session_s`: so long the group waits for it.
"""

import asyncio
import sys

from agentspan.eventlog.kafka import Assignments, KafkaConfig, Serving


async def main(bootstrap: str, prefix: str, instance: str | None = None, session_s: str = "6") -> None:
    config = KafkaConfig(bootstrap=bootstrap, prefix=prefix, instance_id=instance, session_timeout_s=float(session_s))
    served: set[int] = set()

    async def serve(partition: int) -> None:
        served.add(partition)
        print("serves", len(served), flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            served.remove(partition)
            print("serves", len(served), flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(Assignments(config).run(Serving(serve, group)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
