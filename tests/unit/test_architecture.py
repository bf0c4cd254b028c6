"""The import rules that a linter of imports cannot see: words and calls in the source itself.

The rest of the table stands in pyproject.toml as contracts for `lint-imports`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAINS = sorted([*ROOT.glob("services/*/*/domain"), *ROOT.glob("services/*/*/domain.py")])
BACKENDS = re.compile(r"kafka|sqlite", re.IGNORECASE)
STARTING = {"server", "topics", "_extra"}
"""The commands' modules that hand over to the composition root: their help says on what a server can stand."""

PRIVATE_TO_THE_LOG = re.compile(r"agentspan\.eventlog\._\w+")
"""A linter of imports knows no part of a name: it would have to list them all."""

CLOCKS = {"now", "utcnow", "today"}


def sources(*folders: str) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def may_name_a_backend(path: Path) -> bool:
    """An adapter, a composition root, a command that hands over to one, or the log itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[:-1] == ("sdk", "agentspan", "cli"):
        return parts[-1] in STARTING
    return not {"adapters", "__main__", "agentspan_standalone", "eventlog"}.isdisjoint(parts)


def lines_naming_a_backend(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if BACKENDS.search(line):
            yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def imports(source: str) -> Iterator[str]:
    """What is imported, wherever it stands, with each name that is taken of it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def private_to_the_log(source: str) -> list[str]:
    return [name for name in imports(source) if PRIVATE_TO_THE_LOG.match(name)]


def calls_to_a_clock(source: str) -> Iterator[int]:
    """Line numbers of `datetime.now()`, `date.today()` and their like, under whatever name they were imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield node.lineno


def test_only_adapters_and_composition_roots_name_a_backend() -> None:
    told = [path for path in sources("sdk", "services") if not may_name_a_backend(path)]
    assert [line for path in told for line in lines_naming_a_backend(path)] == []


def test_nobody_else_imports_private_modules_of_the_log() -> None:
    log = ROOT / "sdk/agentspan/eventlog"
    others = [path for path in sources("sdk", "services", "bench", "examples") if log not in path.parents]
    found = {path.relative_to(ROOT): private_to_the_log(path.read_text(encoding="utf-8")) for path in others}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("from agentspan.eventlog._records import Record", True),
        ("def f():\n    from agentspan.eventlog import _records", True),
        ("import agentspan.eventlog._records", True),
        ("from agentspan.eventlog import Record", False),
        ("from agentspan.eventlog.kafka import Kafka", False),
    ],
)
def test_an_import_of_a_private_module_is_seen(source: str, private: bool) -> None:
    assert bool(private_to_the_log(source)) is private


def test_there_is_a_domain_to_look_at() -> None:
    assert DOMAINS != []


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda path: path.parent.name)
def test_a_domain_asks_no_clock(domain: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(domain.rglob("*.py") if domain.is_dir() else [domain])
        for line in calls_to_a_clock(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("call", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()"])
def test_a_call_to_a_clock_is_seen(call: str) -> None:
    assert list(calls_to_a_clock(f"moment = {call}")) == [1]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("sdk/agentspan/eventlog/sqlite.py", True),
        ("services/orchestrator/agentspan_orchestrator/adapters/cache.py", True),
        ("services/standalone/agentspan_standalone/app.py", True),
        ("services/orchestrator/agentspan_orchestrator/__main__.py", True),
        ("services/orchestrator/agentspan_orchestrator/service.py", False),
        ("sdk/agentspan/agents/runtime.py", False),
        ("sdk/agentspan/cli/topics.py", True),
        ("sdk/agentspan/cli/agent.py", False),
    ],
)
def test_the_places_that_may_name_a_backend(path: str, allowed: bool) -> None:
    assert may_name_a_backend(ROOT / path) is allowed
