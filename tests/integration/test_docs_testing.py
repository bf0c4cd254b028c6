"""The page on testing: its code is a suite of tests, and passes as one, on the real server where it asks for it."""

import re
import runpy
from pathlib import Path

import pytest

from agentspan.agents.testing import MockEvent, approve, expect, mock_run, record, story

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_pages_code_is_a_suite_that_passes(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    suite = pytester.makepyfile(test_docs="\n\n".join(blocks))
    names = runpy.run_path(str(suite))
    script = [
        MockEvent.tool_call("issue_refund", names["REFUND"]),
        MockEvent.tool_result("issue_refund", {}),
        MockEvent.done("ok"),
    ]
    agent = names["support_agent"]
    real = mock_run(agent, "Refund me", script, approvals=approve())
    recordings = suite.parent / "recordings" / "test_docs"
    record(real, recordings / "test_the_refund_as_it_was_recorded.json", agent)
    tests = sum(block.count("\ndef test_") + block.startswith("def test_") for block in blocks)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=tests)
    assert tests == 4


def test_the_story_on_the_page_is_what_such_a_failure_prints(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "page.py").write_text(blocks[0])
    names = runpy.run_path(str(tmp_path / "page.py"))
    script = [
        MockEvent.tool_call("issue_refund", names["REFUND"]),
        MockEvent.rejected("too much"),
        MockEvent.done("I have asked a colleague."),
    ]
    result = mock_run(names["support_agent"], "I was charged twice, please refund", script)
    with pytest.raises(AssertionError) as caught:
        expect(result).rejected("issue_refund", reason="too late")
    shown = "\n".join(f"    {line}" for line in f"AssertionError: {caught.value}".splitlines())
    assert shown in PAGE.read_text()
    assert story(result).splitlines()[0] in PAGE.read_text()
