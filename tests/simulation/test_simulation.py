"""A few thousand worlds in which every law must hold, and the promise that each can be replayed exactly."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentspan_orchestrator.states import STATES_PARKED
from tests.simulation.clock import EPOCH, Stuck, VirtualLoop, run_virtual
from tests.simulation.laws import LAWS
from tests.simulation.world import simulate

SEEDS = 2000
CHUNK = 50

HERE = Path(__file__).parent
PRINT_HASHES = "from tests.simulation.world import simulate\nfor seed in (3, 4, 5): print(simulate(seed).log_hash)"


@pytest.mark.parametrize("first", range(1, SEEDS, CHUNK), ids=lambda first: f"seeds {first} to {first + CHUNK - 1}")
def test_every_law_holds(first: int) -> None:
    broken = [f"seed {seed}: {found}" for seed in range(first, first + CHUNK) if (found := simulate(seed).broken)]
    assert broken == [], "replay one with: make simulate SEED=…"


def test_the_worlds_are_as_troubled_as_they_are_meant_to_be() -> None:
    reports = [simulate(seed) for seed in range(1, 41)]
    assert sum(report.takeovers for report in reports) > 4 * len(reports)
    assert any(report.uncounted > report.takeovers for report in reports)
    assert {status for report in reports for status in report.statuses} == {"completed", "failed", "cancelled"}


def test_the_same_seed_is_the_same_log() -> None:
    first, again = simulate(7), simulate(7)
    assert (again.log_hash, again.virtual_s, again.records) == (first.log_hash, first.virtual_s, first.records)
    assert simulate(8).log_hash != first.log_hash


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_state_that_was_forgotten_is_found_again_as_it_was(seed: int) -> None:
    assert simulate(seed, hot=0).log_hash == simulate(seed, hot=STATES_PARKED).log_hash


def test_the_same_seed_is_the_same_log_in_every_process() -> None:
    hashes = {_in_a_process(hash_seed) for hash_seed in ("0", "1", "4242")}
    assert len(hashes) == 1


def _in_a_process(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT_HASHES],
        cwd=HERE.parents[1],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_hour_takes_no_time() -> None:
    async def wait(loop: VirtualLoop) -> float:
        await asyncio.sleep(3600)
        return (loop.now() - EPOCH).total_seconds()

    assert run_virtual(wait) == 3600


def test_timers_for_the_same_moment_go_in_the_order_in_which_they_were_set() -> None:
    async def fire(loop: VirtualLoop) -> list[int]:
        fired: list[int] = []
        for number in range(20):
            loop.call_at(1.0, fired.append, number)
        await asyncio.sleep(2)
        return fired

    assert run_virtual(fire) == list(range(20))


def test_waiting_for_what_never_comes_is_an_error() -> None:
    async def wait(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        run_virtual(wait)


def test_each_law_is_looked_at_somewhere() -> None:
    source = "".join(path.read_text() for path in HERE.glob("*.py") if path.name not in ("laws.py", "mutants.py"))
    assert [name for name in LAWS if f'"{name}"' not in source] == []
