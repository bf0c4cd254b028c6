"""Each benchmark at a tiny size: it comes to its end with figures, and fails when a result is wrong or missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import ROOT

pytestmark = pytest.mark.slow

TINY = ("jobs", "--concurrency", "1,4", "--samples", "3", "--count", "8", "--warm-up", "2")


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m bench …` to its end."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


def figures(results: Path) -> dict[str, float]:
    """Of the only run that was kept."""
    [line] = results.read_text().splitlines()
    found: dict[str, float] = json.loads(line)["figures"]
    return found


def test_the_jobs_are_measured_and_their_figures_kept(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    done = bench(*TINY, "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(results)
    assert (found["1/executions"], found["4/executions"]) == (3, 8)
    for name in (
        "executions_per_s", "durable_steps_per_s", "start_to_waiting_ms/p50", "approve_to_completed_ms/p99",
        "cpu_ms/server", "peak_mb/server", "peak_mb/clickhouse", "written_bytes/server",
        "stored_events_per_s", "calibration/cpu_ms", "calibration/flush_ms",
    ):  # fmt: skip
        assert found[f"4/{name}"] > 0, name
    assert found["killed/nothing_moved_s"] > 0
    assert found["killed/ready_s"] > 0
    assert found["4/cpu_ms/all"] == pytest.approx(sum(found[f"4/cpu_ms/{name}"] for name in PROCESSES))


PROCESSES = ("server", "clickhouse", "worker", "driver")


@pytest.mark.kafka
def test_the_jobs_are_measured_on_a_cluster_too(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    done = bench(*TINY, "--log", "kafka", "--partitions", "1", "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(results)
    assert found["4/peak_mb/broker"] > 0
    assert found["ticket_to_model_ms/p50"] > 0


@pytest.mark.parametrize(
    ("worker", "said"),
    [("finding_another", "10 of 10 executions are wrong"), ("refunding_twice", "refunds: 13 made twice")],
)
def test_a_wrong_result_makes_it_fail_and_keeps_no_figures(tmp_path: Path, worker: str, said: str) -> None:
    results = tmp_path / "results.jsonl"
    flags = ("--concurrency", "1", "--samples", "3", "--warm-up", "10", "--results", str(results))
    done = bench("jobs", "--worker", f"tests.e2e.bench_workers.{worker}", *flags)
    assert done.returncode == 1
    assert said in done.stdout
    assert not results.exists()


@pytest.mark.parametrize(("flags", "approved"), [((), 12), (("--approve", "5"), 5)])
def test_parked_executions_go_on_after_a_power_cut(tmp_path: Path, flags: tuple[str, ...], approved: int) -> None:
    results = tmp_path / "results.jsonl"
    done = bench("parked", "--count", "12", "--idle", "0.5", "--results", str(results), *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(results)
    assert found["executions"] == 12
    assert found["approved"] == approved
    assert 0 < found["ready_s"] < found["first_done_s"] < found["all_done_since_restart_s"]
    assert found["rss_mb/server"] >= found["uss_mb/server"] > 0
    assert found["disk_mb"] > 0
    assert {"bytes_each_more/server", "kept_beside_mb/server", "idle_cpu_ms_per_s/worker"} <= found.keys()
    assert found["approve_to_completed_cpu_ms/server"] > 0


@pytest.mark.kafka
def test_a_server_without_its_caches_finds_on_the_topics_what_waits(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    flags = ("--count", "25", "--partitions", "2", "--times", "1", "--results", str(results))
    done = bench("restore", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(results)
    assert found["executions"] == 25
    assert 0 < found["ready_s"] <= found["whole_s"]
    assert 0 < found["ready_cpu_s/server"] <= found["whole_cpu_s/server"]
    assert found["killed/ready_s"] > 0
    assert found["peak_mb/server"] > 0


def test_an_embedded_log_is_not_restored(tmp_path: Path) -> None:
    done = bench("restore", "--log", "sqlite", "--results", str(tmp_path / "results.jsonl"))
    assert done.returncode == 1
    assert "--log kafka" in done.stdout


def test_a_flood_is_drained_although_clickhouse_and_a_worker_are_killed(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    done = bench("load", "--count", "60", "--model", "0.1", "--tool", "0.1", "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ClickHouse is killed" in done.stdout
    assert "a worker vanishes" in done.stdout
    found = figures(results)
    assert found["executions"] == 60
    assert found["decision_ms/p99"] >= found["decision_ms/p50"] > 0


def test_two_commits_are_compared_by_their_last_runs(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    runs = [("aaaa1", 50.0), ("aaaa1", 100.0), ("bbbb2", 150.0)]
    results.write_text("".join(_run(commit, speed) for commit, speed in runs))
    done = bench("compare", "aaaa", "bbbb", "--results", str(results))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].split() == ["128/executions_per_s", "100.00", "150.00", "1.50"]
    unknown = bench("compare", "aaaa", "cccc", "--results", str(results))
    assert unknown.returncode == 1
    assert "'cccc'" in unknown.stdout


def _run(commit: str, speed: float) -> str:
    run = {
        "bench": "jobs",
        "log": "sqlite",
        "commit": commit,
        "changed": False,
        "at": "2026-05-04T10:00:00Z",
        "cores": 2,
    }
    return json.dumps({**run, "figures": {"128/executions_per_s": speed}}) + "\n"
