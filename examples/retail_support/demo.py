"""`make demo`: two support desks through a server's death. Read it from `Demo.run` on.

520 retail tickets and a few of the support agent's are sent to a fresh server; two workers run the agents' tools,
reviewers decide what waits for a human, and in the middle the server is killed with SIGKILL and started again. In the
end every ticket's copy of the shop is compared with what its task expects: the exit code is 0 only when all is right.

    python -m examples.retail_support.demo --help
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp

from agentspan_schemas.http import TicketRequest

from .agent import retail_agent
from .data import DATA, Task, load_database, load_tasks
from .demo_api import Api
from .demo_audit import wrong_decisions, wrong_effects, wrong_history, wrong_outcomes
from .demo_driver import Counts, Driver
from .demo_errors import DemoError
from .demo_folder import DEFAULT, DemoFolder, fresh_folder, write_recordings
from .demo_processes import Processes, Server, choose_port
from .demo_reviewer import Reviewer
from .demo_screen import Screen
from .demo_summary import Figures, summary
from .demo_support import AGENT, WORKER, SupportDesk
from .store import ShopStore
from .tools import SHOP_FILE_VARIABLE

REQUESTS_AT_ONCE: Final = 32
LOOK_EVERY_S: Final = 0.05
WORKERS: Final = {retail_agent.name: "examples.retail_support.serve", AGENT: WORKER}
"""For each agent the program that serves it, a process each."""


class Demo:
    """One run, from an empty folder to the figures of its summary."""

    def __init__(self, folder: DemoFolder, tasks: Sequence[Task], data: Path, screen: Screen) -> None:
        self._folder = folder
        self._tasks = tasks
        self._database = load_database(data)
        self._screen = screen
        self._support = SupportDesk(folder.support)
        self._killed_at = 0
        self._away_s = 0.0

    async def run(self, port: int) -> Figures:
        """Everything, in the order in which it happens."""
        tickets = self._prepare()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=REQUESTS_AT_ONCE)) as session,
            Processes(self._folder.logs, self._environment(port)) as processes,
        ):
            self._screen.say(f"Starting a server on a fresh folder, {self._folder.path}")
            server = Server(processes, session, self._folder.path, port)
            ready_s = await server.start()
            self._screen.say(f"The server takes work at {server.url} after {ready_s:.1f} s.")
            api = Api(session, server.url)
            await self._start_workers(processes, api)
            began = time.monotonic()
            driver, reviewer = Driver(api, tickets), Reviewer(api)
            await self._handle(driver, reviewer, processes, server)
            return await self._figures(api, driver, reviewer, time.monotonic() - began)

    def _prepare(self) -> list[TicketRequest]:
        """What the offline models say, the shop and the company's systems; then the tickets, the support agent's
        first."""
        write_recordings(self._folder, self._tasks, self._database)
        ShopStore(self._folder.shop).close()
        return self._support.prepare(self._folder.recordings) + [_ticket(task) for task in self._tasks]

    async def _start_workers(self, processes: Processes, api: Api) -> None:
        for agent, program in WORKERS.items():
            await processes.start(f"worker of {agent}", program)
        for agent in WORKERS:
            while not await api.is_served(agent):
                processes.check()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _handle(self, driver: Driver, reviewer: Reviewer, processes: Processes, server: Server) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(driver.send())
            reviewing = group.create_task(reviewer.run())
            async for counts in driver.watch():
                processes.check()
                self._show(counts, driver, reviewer)
                if not self._killed_at and counts.ended >= driver.total // 2:
                    await self._kill_and_restart(server, counts.ended)
                    reviewer.open_late_desk()  # what waited for a human before the kill still waits
            reviewing.cancel()

    async def _kill_and_restart(self, server: Server, ended: int) -> None:
        self._screen.say(f"SIGKILL to the server, with {ended} executions ended.")
        self._killed_at = ended
        await server.kill()
        self._away_s = await server.start()
        self._screen.say(f"It takes work again after {self._away_s:.1f} s; everybody comes back by themselves.")

    async def _figures(self, api: Api, driver: Driver, reviewer: Reviewer, took_s: float) -> Figures:
        history, counts = await api.executions(), await api.counts()
        approved, rejected = await api.approvals("approved"), await api.approvals("rejected")
        with closing(ShopStore(self._folder.shop)) as shop:
            effects = shop.effects()
            outcomes = wrong_outcomes(shop, self._tasks)
        return Figures(
            tickets=driver.total,
            took_s=took_s,
            killed_at=self._killed_at,
            away_s=self._away_s,
            history=history,
            approved=len(approved),
            rejected=len(rejected),
            effects=len(effects) + sum(done.total() for done in self._support.effects().values()),
            wrong={
                "outcomes": outcomes + self._support.wrong(driver.executions),
                "effects": wrong_effects(effects, self._tasks, self._database, approved),
                "decisions": wrong_decisions(reviewer.decided, len(approved), len(rejected)),
                "history": wrong_history(history, counts, driver.executions),
            },
        )

    def _show(self, counts: Counts, driver: Driver, reviewer: Reviewer) -> None:
        self._screen.progress(
            f"{counts.started} of {driver.total} tickets taken, {counts.ended} ended,"
            f" {counts.waiting} waiting for a human, {reviewer.decided.total()} calls decided"
        )

    def _environment(self, port: int) -> dict[str, str]:
        return {
            "AGENTSPAN_SERVER_URL": f"http://localhost:{port}",
            "AGENTSPAN_AUTOSTART": "0",  # the demo alone starts and kills the server
            "AGENTSPAN_REPLAY_DIR": str(self._folder.recordings),
            SHOP_FILE_VARIABLE: str(self._folder.shop),
            **self._support.environment,
        }


def _ticket(task: Task) -> TicketRequest:
    return TicketRequest(id=task.ticket_id, source="demo", agent=retail_agent.name, text=task.instruction)


async def run(options: argparse.Namespace, screen: Screen) -> bool:
    """The whole demo; whether everything was right."""
    _end_on(signal.SIGTERM, signal.SIGHUP)
    tasks = load_tasks(options.tasks)[: options.limit]
    demo = Demo(fresh_folder(options.data), tasks, options.tasks, screen)
    figures = await demo.run(options.port or choose_port())
    for line in summary(figures):
        screen.say(line)
    return not any(figures.wrong.values())


def _end_on(*signals: signal.Signals) -> None:
    """End as Ctrl-C does: by cancelling the task, so that every process is ended first."""
    task = asyncio.current_task()
    if task is not None:
        for signum in signals:
            asyncio.get_running_loop().add_signal_handler(signum, task.cancel)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    options = _parser().parse_args(argv)
    screen = Screen(sys.stdout)
    try:
        right = asyncio.run(run(options, screen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("Interrupted; the demo's processes are ended.")
        return 130
    except (DemoError, ExceptionGroup) as error:
        screen.say(f"demo: {_known(error)}")
        return 1
    screen.say("Everything is right. `make run` shows its history." if right else "Something is wrong: see above.")
    return 0 if right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.retail_support.demo",
        description="Handle the tickets, kill the server in the middle, and compare every outcome.",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N tasks")
    parser.add_argument("--data", type=Path, default=DEFAULT, metavar="DIR", help=f"made fresh; default {DEFAULT}")
    parser.add_argument("--port", type=int, metavar="N", help="default: 6767 when it is free, else a free one")
    parser.add_argument("--tasks", type=Path, default=DATA, metavar="DIR", help="a folder like data/, to compare with")
    return parser


def _known(error: Exception) -> DemoError:
    """The DemoError that ended a group of tasks. Any other error is raised again, as it came."""
    match error:
        case DemoError():
            return error
        case ExceptionGroup(exceptions=[Exception() as first, *_]):
            return _known(first)
        case _:
            raise error


if __name__ == "__main__":
    raise SystemExit(main())
