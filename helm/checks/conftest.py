"""Helm and kubeconform as `make check-deploy` installs them, and the chart rendered by them."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

CHART = Path(__file__).parents[1] / "agentspan"
KUBERNETES = "1.33.0"

LEAST = (
    "hosts={agentspan.example.com,agentspan.internal}",
    "kafka.brokers=kafka-0:9092\\,kafka-1:9092",
    "clickhouse.url=http://agentspan@clickhouse:8123",
)
"""What an operator has to say."""

Objects = Mapping[tuple[str, str], dict[str, Any]]
"""By kind and name; the release's name is left off."""

Template = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., Objects]


def tool(name: str) -> str:
    """A tool's path. AGENTSPAN_TOOLS is the folder that the Makefile installs them into."""
    return str(Path(os.environ["AGENTSPAN_TOOLS"]) / name)


def helm(*args: str) -> "subprocess.CompletedProcess[str]":
    """What helm says, whatever it is."""
    return subprocess.run([tool("helm"), *args], capture_output=True, text=True, check=False)


def flags(values: Sequence[str]) -> list[str]:
    """The chart with these values beside the least."""
    return ["--kube-version", KUBERNETES, *(part for value in (*LEAST, *values) for part in ("--set", value))]


@pytest.fixture(scope="session")
def template() -> Template:
    """`helm template` with values beside the least."""
    return lru_cache(maxsize=None)(lambda *values: helm("template", "shop", str(CHART), *flags(values)))


@pytest.fixture(scope="session")
def render(template: Template) -> Render:
    """The objects that the chart is with these values."""

    def rendered(*values: str) -> Objects:
        done = template(*values)
        assert done.returncode == 0, done.stderr
        objects = [document for document in yaml.safe_load_all(done.stdout) if document]
        names = {
            (document["kind"], document["metadata"]["name"].removeprefix("shop-agentspan").removeprefix("-")): document
            for document in objects
        }
        assert len(names) == len(objects)
        return names

    return rendered
