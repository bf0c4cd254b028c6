"""The quickstart: its first run prints what the page shows, and its agent works with a key, on the wire of a real API.

Apart from the other pages because it starts servers of its own: one that plays recordings, and one with a key.
"""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from agentspan.agents.testing import LocalServer, ScriptedModel
from tests.support.docs import ROOT, Block, blocks
from tests.support.eventually import eventually
from tests.support.messages_server import KEY, MessagesServer, Reply, text, tool_use
from tests.support.reader import Reader

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "quickstart.md"


def test_the_first_run_is_as_the_quickstart_shows_it(tmp_path: Path) -> None:
    typed = [block for block in blocks(PAGE) if block.language == "console" and ".venv/bin/agentspan" in block.text]
    recordings = {"AGENTSPAN_REPLAY_DIR": str(ROOT / "examples/support_triage/recordings")}
    with LocalServer(tmp_path / "server", environment=recordings) as server:
        reader = Reader(tmp_path, server, ScriptedModel("nobody", ["Nothing."]))
        first = reader.leave_running(typed[0])
        [run] = re.findall(r"^run (exec-\w+)", first(), re.MULTILINE)
        decided = reader.enter(typed[1], run)
        eventually(lambda: " done " in first(), "the run is done")
        kept = reader.enter(typed[2], run)
        reader.close()
    for block, printed in zip(typed, (first(), decided, kept), strict=True):
        shown_lines(block, printed, run)


async def test_the_agent_of_the_page_works_with_a_key(tmp_path: Path) -> None:
    refund = {"customer_id": "cust_123", "amount_usd": 99.0, "reason": "charged twice"}
    async with MessagesServer() as api:
        api.script(Reply([tool_use("toolu_1", "issue_refund", refund)], "tool_use"), Reply([text("Refunded.")]))
        await asyncio.to_thread(with_a_key, api.base_url, tmp_path)
    assert [message["role"] for message in api.requests[1]["messages"]] == ["user", "assistant", "user"]


def with_a_key(address: str, folder: Path) -> None:
    for block in blocks(PAGE):
        if name := block.marks.get("save as"):
            (folder / name).write_text(block.text)
    [typed] = [block for block in blocks(PAGE) if "agent run support:support" in block.text]
    run = replace(typed, text="$ agentspan agent run support:support 'Please refund one.'", marks={"until stopped": ""})
    key = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": address}
    with LocalServer(folder / "server", real_models=True, environment=key) as server:
        reader = Reader(folder, server, ScriptedModel("nobody", ["Nothing."]))
        printed = reader.leave_running(run)
        [shown] = re.findall(r"agentspan agent respond \S+ --approve", printed())
        reader.enter(replace(run, text=f"$ {shown}", marks={}))
        eventually(lambda: "Refunded." in printed().splitlines(), "the answer is printed")
        reader.enter(replace(run, text="$ pytest -p no:cacheprovider test_support.py", marks={}))
        reader.close()


def shown_lines(block: Block, output: str, run: str) -> None:
    """Each line of output on the page was printed, in its order. An ellipsis stands for anything; times differ."""
    expected = block.text.split("\n$ ")[-1].replace("\\\n", " ").splitlines()[1:]
    at, lines = 0, output.replace(run, "exec-a1b2c3").splitlines()
    for line in expected:
        if line not in ("", "…") and not line.startswith("agentspan: started"):
            pattern = re.compile(_pattern(line))
            at = next((n + 1 for n in range(at, len(lines)) if pattern.match(lines[n])), 0)
            assert at, f"{block}: not printed: {line!r}\n{output}"


def _pattern(line: str) -> str:
    pattern = re.escape(line.rstrip()).replace("…", ".*")
    pattern = re.sub(r"(\d+\\-\d\d\\-\d\d\\ )?\d\d:\d\d:\d\d", r"[-\\d: ]+", pattern)
    return pattern.replace("user:ada", r"user:\S+").replace(r"\ .*", ".*")
