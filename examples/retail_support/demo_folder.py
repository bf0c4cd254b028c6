"""The demo's data folder: made fresh, and filled with what the offline model plays.

Apart because it deletes something: an earlier demo's folder, and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .agent import retail_agent
from .data import Task
from .demo_errors import DemoError
from .demo_processes import is_served
from .recordings import recording
from .records import Database

DEFAULT: Final = Path(".agentspan/demo")
MARK: Final = "made-by-the-demo"
"""A file that says: the demo made this folder and may remove it."""


class DemoFolder:
    """Paths in the folder. The server's own files stand beside them."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.recordings = self.path / "recordings"
        self.shop = self.path / "retail_shop.sqlite3"
        self.support = self.path / "support_triage.sqlite3"


def fresh_folder(path: Path) -> DemoFolder:
    """An empty folder for this demo. Raises DemoError when a server uses it, or when it holds something else."""
    folder = DemoFolder(path)
    if is_served(folder.path):
        raise DemoError(
            f"a server runs on {str(path)!r}: end it with `agentspan server stop --data {path}`, or name another folder"
            " with --data"
        )
    if folder.path.exists():
        is_own = path == DEFAULT or (folder.path / MARK).exists() or not any(folder.path.iterdir())
        if not is_own:
            raise DemoError(f"{str(path)!r} holds something that no demo made: name another folder with --data")
        shutil.rmtree(folder.path)
    folder.logs.mkdir(parents=True)
    folder.path.chmod(0o700)
    (folder.path / MARK).touch()
    return folder


def write_recordings(folder: DemoFolder, tasks: Sequence[Task], database: Database) -> None:
    """What `replay/retail_support` says in each ticket's run."""
    target = folder.recordings / retail_agent.model.removeprefix("replay/")
    target.mkdir(parents=True)
    for task in tasks:
        (target / f"{task.ticket_id}.json").write_text(json.dumps(recording(task, database)), encoding="utf-8")
