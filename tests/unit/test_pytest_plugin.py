"""The pytest plugin: loaded by its entry point, light until a fixture is asked for, clear when something is missing.

The tests that start a server stand in tests/integration/test_testing_kit.py.
"""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from agentspan.agents.testing import _local_server

pytest_plugins = ["pytester"]

AGENT = """
import pytest
from agentspan.agents import Agent, tool
from agentspan.agents.testing import MockEvent, expect, mock_run, record

@tool(approval_required=True)
def refund(amount_usd: float) -> str:
    "Pay back."
    return f"paid {amount_usd:g}"

AGENT = Agent("support", "anthropic/claude-sonnet-4-6", tools=[refund])

def recorded(folder, name="test_refund"):
    script = [MockEvent.tool_call("refund", {"amount_usd": 9.0}), MockEvent.rejected("no"), MockEvent.done("Sorry.")]
    record(mock_run(AGENT, "Refund me", script), folder / "recordings" / "test_it" / f"{name}.json", AGENT)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder whose tests know an agent, as an author's would."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(support=AGENT)
    pytester.syspathinsert()
    return pytester


def run(suite: pytest.Pytester, *args: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *args)


def test_the_entry_point_names_the_plugin() -> None:
    assert [entry.value for entry in entry_points(group="pytest11", name="agentspan")] == ["agentspan.pytest_plugin"]


def test_importing_the_plugin_imports_nothing_of_ours() -> None:
    code = "import agentspan.pytest_plugin, sys; print([m for m in sys.modules if m.startswith('agentspan')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['agentspan', 'agentspan.pytest_plugin']"


def test_importing_the_testing_kit_imports_no_server_package() -> None:
    server = ("fastapi", "starlette", "uvicorn", "chdb", "anthropic", "aiohttp", "pytest", "agentspan_standalone")
    code = f"import agentspan.agents.testing, sys; print([m for m in {server!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_option_and_the_fixtures_explain_themselves(suite: pytest.Pytester) -> None:
    run(suite, "--help").stdout.fnmatch_lines(["durable agents:", "*--agentspan-record*"])
    run(suite, "--fixtures").stdout.fnmatch_lines_random(
        [
            "agentspan_server ?session scope? *",
            "*The real server on a free port and a temporary folder*",
            "agentspan_runtime *",
            "agentspan_scripted *",
            "agentspan_replay *",
        ]
    )


def test_a_recording_is_replayed_without_a_server(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        from support import AGENT, expect, recorded

        def test_refund(agentspan_replay, request):
            recorded(request.path.parent)
            result = agentspan_replay(AGENT, "Refund me")
            expect(result).completed().rejected("refund", reason="no").not_executed("refund").output("Sorry.")

        def test_two(agentspan_replay, request):
            recorded(request.path.parent, "test_two-first")
            expect(agentspan_replay(AGENT, "Refund me", name="first")).completed()
        """
    )
    run(suite).assert_outcomes(passed=2)


def test_a_test_without_its_recording_says_how_to_make_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        from support import AGENT

        def test_refund(agentspan_replay):
            agentspan_replay(AGENT, "Refund me")
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RecordingError: there is no recording *test_refund.json*pytest --agentspan-record*"])


def test_a_recording_of_another_prompt_is_a_drift(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        from support import AGENT, recorded

        def test_refund(agentspan_replay, request):
            recorded(request.path.parent)
            agentspan_replay(AGENT, "Refund them")

        def test_metadata(agentspan_replay, request):
            recorded(request.path.parent, "test_metadata")
            agentspan_replay(AGENT, "Refund me", metadata={"ticket": "t1"})
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*DriftError: *test_refund.json' is of a run with another prompt: 'Refund me', not 'Refund them'*",
            "*DriftError: recording * is of a run with another metadata: {}, not {'ticket': 't1'}. Next: record*",
        ]
    )


def test_two_runs_of_one_test_need_names(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        from support import AGENT, recorded

        def test_refund(agentspan_replay, request):
            recorded(request.path.parent)
            agentspan_replay(AGENT, "Refund me")
            agentspan_replay(AGENT, "Refund me")
        """
    )
    run(suite).stdout.fnmatch_lines(["*test_refund.json' is of another run of this test; give this one name='...'"])


def test_a_failed_check_shows_the_story_and_not_the_kit(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        from support import AGENT, MockEvent, expect, mock_run

        def test_refund():
            expect(mock_run(AGENT, "Refund me", [MockEvent.done("No.")])).used_tool("refund")
        """
    )
    result = run(suite)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: expected a call of 'refund', got none (called: no calls at all)",
            "E       the run of 'support' (completed):",
            'E           4 done           "No."',
            "E       >     here it ended, completed",
        ]
    )
    result.stdout.no_fnmatch_line("*_looking.py*")
    result.stdout.no_fnmatch_line("*_expect.py*")


def test_without_the_servers_packages_the_server_fixture_names_the_extra(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_local_server, "find_spec", lambda name: None if name == "fastapi" else name)
    suite.makepyfile(test_it="def test_it(agentspan_runtime): pass")
    result = run(suite)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "the real server cannot be started here: fastapi is missing; pip install 'agentspan?server?', "
            "or test with mock_run, which needs no server"
        ]
    )
