"""`agentspan server stop` and `status` where no server runs: where they looked, and how to name another folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agentspan_standalone import commands
from agentspan_standalone.errors import NotRunning
from tests.unit.cli_server import serving

ASKED = pytest.mark.parametrize("ask", [commands.stop, commands.status], ids=["stop", "status"])


@ASKED
def test_a_folder_without_a_server_is_named_and_how_to_name_another(
    ask: Callable[[Path], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as gone:
        monkeypatch.setenv("AGENTSPAN_PORT", gone.url.rpartition(":")[2])
    with pytest.raises(NotRunning, match=r"another folder is named with --data or AGENTSPAN_DATA") as error:
        ask(tmp_path)
    assert f"{str(tmp_path)!r}: `agentspan server start` starts one" in str(error.value)


@ASKED
def test_a_server_of_another_folder_is_named(
    ask: Callable[[Path], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as other:
        port = other.url.rpartition(":")[2]
        monkeypatch.setenv("AGENTSPAN_PORT", port)
        with pytest.raises(NotRunning, match=r"name that with --data or AGENTSPAN_DATA") as error:
            ask(tmp_path)
    assert f"{str(tmp_path)!r}: what answers at http://localhost:{port} has another" in str(error.value)
