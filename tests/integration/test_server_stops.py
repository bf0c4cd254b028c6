"""How a server process ends when it is asked to: apart because uvicorn has its own idea of that."""

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.server import free_port

ENDS_WITHIN_S = 20


def serve(data: Path) -> "subprocess.Popen[str]":
    """A server on a free port, as soon as it says that it serves."""
    command = [sys.executable, "-m", "agentspan_standalone", "start", "--data", str(data), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    said = ""
    while "Started server process" not in said:
        said = server.stderr.readline()
        assert said, "it ended before it served"
    return server


def test_a_server_asked_to_stop_closes_its_services_and_ends_without_an_error(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        standing = json.loads((tmp_path / "server.json").read_text())
        server.terminate()
        _, said = server.communicate(timeout=ENDS_WITHIN_S)
    assert server.returncode == 0, said
    assert not (tmp_path / "server.json").exists()
    assert not list(tmp_path.glob("log.sqlite3-wal")), "the log was not closed"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{standing['url']}/livez", timeout=5)


def test_a_detached_server_ends_by_the_command_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    start = [sys.executable, "-m", "agentspan_standalone", "start", "--data", str(folder), "--port", str(free_port())]
    said = subprocess.run([*start, "--detach"], capture_output=True, text=True, check=True).stderr
    named = re.search(r"`agentspan server (.*)` ends it", said)
    assert named is not None, said
    stop = [sys.executable, "-m", "agentspan_standalone", *shlex.split(named[1])]
    assert "stopped the server" in subprocess.run(stop, capture_output=True, text=True, check=True).stderr
    assert not (folder / "server.json").exists()
