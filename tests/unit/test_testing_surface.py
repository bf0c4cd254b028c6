"""The testing kit as a whole: its public names, their docstrings and examples, and how quick a mock run is."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from time import process_time

import pytest

from agentspan.agents import Agent, testing, tool
from agentspan.agents.testing import Approvals, MockEvent, approve, mock_run

MODULES = [
    *(f"{testing.__name__}.{module.name}" for module in pkgutil.iter_modules(testing.__path__)),
    "agentspan.pytest_plugin",
]

TIMES = 200


@tool
def look_up(email: str) -> str:
    """Find a customer."""
    raise AssertionError(email)


@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    """Pay back."""
    raise AssertionError(amount_usd)


AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[look_up, refund])

TEN_EVENTS = [
    MockEvent.tool_call("look_up", {"email": "a@b"}),
    MockEvent.tool_result("look_up", {"id": "c1"}),
    MockEvent.tool_call("look_up", {"email": "c@d"}),
    MockEvent.tool_error("look_up", "no such customer"),
    MockEvent.tool_call("refund", {"amount_usd": 9.0}),
    MockEvent.waiting(),
    MockEvent.approved("refund"),
    MockEvent.tool_result("refund", "paid"),
    MockEvent.message("thanks"),
    MockEvent.done("Refunded."),
]


def test_all_is_complete_sorted_and_free_of_the_modules() -> None:
    public = {name for name, value in vars(testing).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(testing.__all__)
    assert testing.__all__ == sorted(testing.__all__)


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name != "Approvals"])
def test_a_public_name_and_all_that_it_offers_say_what_they_are(name: str) -> None:
    value = getattr(testing, name)
    assert inspect.getdoc(value), name
    for member, offered in vars(value).items() if inspect.isclass(value) else ():
        if not member.startswith("_") and (inspect.isfunction(offered) or isinstance(offered, property | classmethod)):
            assert inspect.getdoc(offered), f"{name}.{member}"


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0


def test_some_examples_are_there_to_hold() -> None:
    finder = doctest.DocTestFinder()
    found = [t for module in MODULES for t in finder.find(importlib.import_module(module)) if t.examples]
    assert len(found) >= 10


@pytest.mark.parametrize("approvals", [None, approve()], ids=["scripted", "reviewed"])
def test_a_mock_run_of_ten_events_is_quicker_than_counting_to_a_hundred_thousand(approvals: Approvals | None) -> None:
    """Counting takes 3 to 5 ms; the best of many by this process's own time does not see what else the machine does."""
    mock_run(AGENT, "hi", TEN_EVENTS)
    mocked = min(_seconds(lambda: mock_run(AGENT, "hi", TEN_EVENTS, approvals=approvals)) for _ in range(TIMES))
    counted = min(_seconds(_count) for _ in range(TIMES))
    assert mocked < counted


def _count() -> int:
    total = 0
    for number in range(100_000):
        total += number
    return total


def _seconds(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began
