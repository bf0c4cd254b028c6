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


def calls_to_a_clock(source: str) -> Iterator[int]:
    """Line numbers of `datetime.now()`, `date.today()` and their like, under whatever name they were imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield node.lineno


def test_only_adapters_and_composition_roots_name_a_backend() -> None:
    told = [path for path in sources("sdk", "services") if not may_name_a_backend(path)]
    assert [line for path in told for line in lines_naming_a_backend(path)] == []


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
