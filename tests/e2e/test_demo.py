"""`make demo`, shorter: it kills its server, ends right, and notices one wrong value.

Apart from the tests of the product because what is tested here is the demo's own word: 0 only if all is right.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from examples.retail_support.data import DATA
from tests.support.server import clean_environment, free_port

TASKS = 12
WITHIN_S = 300
COMMAND = (sys.executable, "-u", "-m", "examples.retail_support.demo", "--limit", str(TASKS))

pytestmark = pytest.mark.slow


def demo(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    command = (*COMMAND, "--data", str(folder), "--port", str(free_port()), *arguments)
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def altered_tasks(folder: Path) -> tuple[str, str]:
    """A copy of the data in which one expected value is another one; the ticket, and where."""
    shutil.copytree(DATA, folder)
    path = folder / "tasks_dev.json"
    tasks = json.loads(path.read_text())
    order_id, order = next(iter(tasks[7]["expected_changes"]["orders"].items()))
    order["status"] = "lost"
    path.write_text(json.dumps(tasks))
    return f"tasks_dev-{tasks[7]['task_id']}", f"orders.{order_id}.status"


def test_every_outcome_is_right_although_the_server_is_killed_in_the_middle(tmp_path: Path) -> None:
    done = demo(tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"SIGKILL to the server, with \d+ executions ended", done.stdout)
    assert "18: 18 completed" in done.stdout
    assert "1 rejected" in done.stdout
    assert (tmp_path / "demo" / "log.sqlite3").exists(), "its history is kept"


def test_one_altered_value_fails_and_is_named(tmp_path: Path) -> None:
    ticket, where = altered_tasks(tmp_path / "tasks")
    done = demo(tmp_path / "demo", "--tasks", str(tmp_path / "tasks"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 WRONG" in done.stdout
    assert f"{ticket}: {where}: expected 'lost', found" in done.stdout


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    command = (*COMMAND, "--data", str(tmp_path / "demo"), "--port", str(free_port()))
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while "takes work" not in running.stdout.readline():
            assert running.poll() is None
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=WITHIN_S)
    assert running.returncode == 130
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "no demo made" in done.stdout
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_folder_that_a_server_uses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"pid": psutil.Process().pid, "url": "http://localhost:1"}))
    (tmp_path / "made-by-the-demo").touch()
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "a server runs on" in done.stdout
    assert (tmp_path / "server.json").exists()
