"""What the benchmarks read of processes and folders that change meanwhile."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.usage import folder_bytes


def test_what_an_engine_removes_while_its_folder_is_measured_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "parts" / "kept"
    kept.parent.mkdir()
    kept.write_bytes(b"x" * 5000)
    (tmp_path / "merged").mkdir()
    real = os.scandir

    def gone(path: str) -> Iterator[Any]:
        if path.endswith("merged"):
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert folder_bytes(tmp_path) == kept.lstat().st_blocks * 512 > 0
