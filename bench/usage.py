"""What processes use: CPU, memory, bytes, by /proc; and flushes, by `perf` where it is there and allowed to.

Apart because everything measured goes through the same readings, one before the work and one after it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psutil

FLUSHES: Final = ("syscalls:sys_enter_fsync", "syscalls:sys_enter_fdatasync")
PERF_ATTACHES_S: Final = 0.3
PEAK_RESET: Final = "5"
"""What /proc/<pid>/clear_refs takes for: begin the peak anew."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What each process has used since it began."""

    cpu_s: Mapping[str, float]
    written_bytes: Mapping[str, int]

    @classmethod
    def of(cls, pids: Mapping[str, int]) -> Self:
        """By the names of the processes."""
        processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        times = {name: process.cpu_times() for name, process in processes.items()}
        written = {name: process.io_counters().write_bytes for name, process in processes.items()}
        return cls({name: time.user + time.system for name, time in times.items()}, written)

    def since(self, before: Reading) -> Reading:
        """What was used between the two."""
        return Reading(
            {name: used - before.cpu_s[name] for name, used in self.cpu_s.items()},
            {name: written - before.written_bytes[name] for name, written in self.written_bytes.items()},
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's memory in bytes: resident, its fair share of what is shared, and what is its alone."""

    rss: int
    pss: int
    uss: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Now."""
        found = psutil.Process(pid).memory_full_info()
        return cls(found.rss, found.pss, found.uss)


def reset_peaks(pids: Mapping[str, int]) -> None:
    """Begin the peaks of memory anew, where the kernel lets us."""
    for pid in pids.values():
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text(PEAK_RESET)


def peaks_mb(pids: Mapping[str, int]) -> dict[str, float]:
    """The most memory that each had resident since it began, or since `reset_peaks`."""
    return {name: _peak_kb(pid) / 1024 for name, pid in pids.items()}


def _peak_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def children(pid: int) -> list[int]:
    """The ids of the process's children."""
    return [child.pid for child in psutil.Process(pid).children()]


def folder_bytes(folder: Path) -> int:
    """What the folder's files take on the disk. An engine merges and removes files and folders at any time."""
    size = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(at, name)).st_blocks * 512
    return size


@dataclass(slots=True)
class Flushes:
    """How often processes flushed to the disk; None where nobody can count it."""

    counts: dict[str, int | None] = field(default_factory=dict)


@asynccontextmanager
async def counted_flushes(pids: Mapping[str, int]) -> AsyncIterator[Flushes]:
    """Counts inside the context; read the result behind it."""
    flushes = Flushes()
    counters = {name: await _perf(pid) for name, pid in pids.items()}
    if any(counters.values()):
        await asyncio.sleep(PERF_ATTACHES_S)  # it says nothing when it has attached
    try:
        yield flushes
    finally:
        for name, counter in counters.items():
            flushes.counts[name] = await _counted(counter) if counter else None


async def _perf(pid: int) -> asyncio.subprocess.Process | None:
    command = ["perf", "stat", "-x", ";", "-e", ",".join(FLUSHES), "-p", str(pid)]
    try:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, process_group=0,
        )  # fmt: skip
    except FileNotFoundError:
        return None


async def _counted(perf: asyncio.subprocess.Process) -> int | None:
    with suppress(ProcessLookupError):
        perf.send_signal(signal.SIGINT)
    _, said = await perf.communicate()
    return _sum(said.decode(errors="replace").splitlines())


def _sum(lines: Sequence[str]) -> int | None:
    found = [line.split(";")[0] for line in lines if any(name in line for name in FLUSHES)]
    return sum(map(int, found)) if len(found) == len(FLUSHES) and all(map(str.isdigit, found)) else None
