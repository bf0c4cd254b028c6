"""What can be got wrong at the command line, and the exact words and exit code that each mistake gets.

Each says which thing, why, and what next; nothing of it goes to standard output. Those about runs and about decisions
stand beside this, in `cli_misuses`.
"""

import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspan.cli import main
from tests.unit.cli_misuses.decisions import DECISIONS
from tests.unit.cli_misuses.runs import RUNS
from tests.unit.cli_misuses.words import Misuse, for_scripts, helped, told
from tests.unit.cli_server import (
    AT,
    RUN,
    Answer,
    Asked,
    FakeServer,
    decided,
    execution,
    items,
    problem,
    record,
    serving,
)

DOUBT, DECIDED, IDLE = "exec-doubt", "exec-decided", "exec-idle"

REST: list[Misuse] = [
    (
        "server logs --follow -o json",
        "",
        2,
        for_scripts("server logs", "--follow has no end, and -o json is one document: take -o jsonl, one a line"),
    ),
    (
        "server logs --level loud",
        "",
        2,
        helped(
            "server logs",
            "invalid value for '--level': 'loud' is not one of 'debug', 'info', 'warning', 'error', 'critical'",
        ),
    ),
    (
        "server logs",
        "",
        1,
        told(
            "no server has logged to '{folder}/server.log': `agentspan server start --detach` does, one in "
            "the foreground logs to its terminal; name another folder with --data"
        ),
    ),
    (
        "server start --port 70000",
        "",
        2,
        helped("server start", "invalid value for '--port': '70000' should be less than or equal to 65535"),
    ),
    (
        "tool-runner cli_shop:agent --port 7000",
        "",
        2,
        helped(
            "tool-runner",
            "--port: for starting the service of a cluster, and 'cli_shop:agent' is an agent whose tools are "
            "run: leave out the one or the other; which server it serves is in AGENTSPAN_SERVER_URL",
        ),
    ),
    (
        "completion tcsh",
        "",
        2,
        helped("completion", "invalid value for 'shell': 'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ),
    ("doctor --data cli_shop.py", "", 2, helped("doctor", "invalid value for '--data': dir 'cli_shop.py' is a file")),
    ("dlq replay", "", 2, helped("dlq replay", "which ones? Give IDs as `agentspan dlq list` shows them, or --all")),
    (
        "topics create --partitions 0",
        "",
        2,
        helped("topics create", "invalid value for '--partitions': '0' should be greater than or equal to 1"),
    ),
    (
        "query list",
        "",
        2,
        helped(
            "query",
            "no such command 'list'. Did you mean `agentspan agent list`, `agentspan approvals list`, "
            "`agentspan execution list`, `agentspan dlq list`?",
        ),
    ),
    ("agent message exec-a", "", 2, helped("agent", "no such command 'message'. Did you mean `agentspan agent send`?")),
    ("agent start shop:a", "", 2, helped("agent", "no such command 'start'. Did you mean `agentspan agent run`?")),
    ("start", "", 2, helped("", "no such command 'start'. Did you mean `agentspan server start`?")),
    ("version", "", 2, helped("", "no such command 'version'. Did you mean `agentspan --version`?")),
    ("agent list --json", "", 2, helped("agent list", "no such option: --json. Did you mean `-o json`?")),
    ("server start --json", "", 2, helped("server start", "no such option: --json")),
    (
        "query --clickhouse http://clickhouse:8123 migrate",
        "",
        2,
        helped(
            "query migrate",
            "--clickhouse: for starting the service, not for 'migrate': leave out the one or the other",
        ),
    ),
    ("server restart", "", 2, helped("server", "no such command 'restart'. Did you mean 'start', 'status'?")),
    (
        "env:AGENTSPAN_SERVER_URL=localhost:6767 approvals list",
        "",
        2,
        told("server address 'localhost:6767': it begins with http:// or https://, as in http://localhost:6767"),
    ),
    (
        "env:AGENTSPAN_SERVER_URL=http://127.0.0.1:9 approvals list",
        "",
        3,
        told(
            "no Agentspan server answers at http://127.0.0.1:9 (Connect call failed ('127.0.0.1', 9)); "
            "start one with `agentspan server start --port 9`, or name another in AGENTSPAN_SERVER_URL"
        ),
    ),
    *(
        (
            f"env:AGENTSPAN_SERVER_URL=http://[::1 {line}",
            "",
            2,
            told("server address 'http://[::1' is none: write scheme, host and port, as in http://localhost:6767"),
        )
        for line in ("approvals list", "server status")
    ),
    (
        "approvals show exec-a1b2c3.7-0",
        "",
        1,
        told(
            "GET /approvals/exec-a1b2c3.7-0 answered 404 '<html>', which is no answer of an Agentspan server: "
            "check the address",
            "AGENTSPAN_SERVER_URL names the server; `agentspan doctor` says who answers there",
        ),
    ),
    (
        "approvals show exec-a1b2c3.8-0",
        "",
        1,
        told(
            "there is nothing at '/approvals/exec-a1b2c3.8-0'; check the address: it is the server's alone, as in "
            "http://localhost:6767, without /api",
            "AGENTSPAN_SERVER_URL names the server; `agentspan doctor` says who answers there",
        ),
    ),
    (
        "env:AGENTSPAN_PORT=abc server logs",
        "",
        2,
        told(
            "a setting (AGENTSPAN_… in the environment, or a flag) is wrong: port: Input should be a valid "
            "integer, unable to parse string as an integer"
        ),
    ),
]

MISUSES = [*RUNS, *DECISIONS, *REST]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules to name: one with an agent, and one that can't be imported."""
    (tmp_path / "cli_shop.py").write_text(
        'from agentspan.agents import Agent\nagent = Agent(name="shop", model="replay/shop")\nother = 1\n'
    )
    (tmp_path / "cli_unread.py").write_text("import sys\ndef f(:\n")
    (tmp_path / "cli_left.py").write_text("import sys\nsys.exit('set SHOP_KEY first')\n")
    (tmp_path / "cli_broken.py").write_text("import absent_package\n")
    (tmp_path / "cli_refused.py").write_text(
        'from agentspan.agents import Agent\n\nagent = Agent(name="shop", model="replay/shop", tools=[len])\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("cli_shop", "cli_broken", "cli_refused"):
        sys.modules.pop(name, None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Runs in every state that a decision can find them in."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        fake.on("GET", "/approvals", _requests)
        for run, status in ((RUN, "waiting"), (DOUBT, "waiting"), (DECIDED, "completed"), (IDLE, "running")):
            shown = execution().model_dump(mode="json") | {"execution_id": run, "status": status}
            fake.on("GET", f"/executions/{run}", Answer(shown))
        fake.on("GET", "/executions/exec-nope", problem(404, "unknown_execution", "there is no execution 'exec-nope'"))
        no_approval = problem(404, "unknown_approval", "there is no approval 'exec-nope.1-0'")
        fake.on("GET", "/approvals/exec-nope.1-0", no_approval)
        fake.on("GET", f"/approvals/{RUN}.7-0", Answer(b"<html>", 404))
        fake.on("POST", f"/executions/{RUN}/pause", problem(409, "finished", "the execution is completed"))
        refused = "the edited arguments of 'issue_refund' can't be used: amount_usd: 'x' is not of type 'number'"
        invalid = problem(422, "invalid_args", refused)
        fake.on("POST", f"/approvals/{RUN}.2-0/decision", invalid)
        winner = {"by": "user:bob", "decision": "approved", "at": AT.isoformat(), "channel": "ui"}
        late = problem(409, "already_decided", "decided", winner=winner)
        fake.on("POST", f"/approvals/{RUN}.3-0/decision", late)
        yield fake


def _requests(asked: Asked) -> Answer:
    match asked.query.get("execution_id", [""])[0]:
        case "exec-doubt":
            return items(record(state="in_doubt", attempt=1))
        case "exec-decided":
            return items(decided("rejected", reason="too large"))
        case "exec-idle":
            return items()
        case _:
            return items(record(), record("3-0", tool="apply_credit", args={"amount_usd": 5}))


@pytest.mark.parametrize(("line", "stdin", "code", "says"), MISUSES, ids=[f"{one[0]} {one[1]}"[:70] for one in MISUSES])
def test_a_mistake_is_told_in_words_that_help(
    server: FakeServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    stdin: str,
    code: int,
    says: str,
) -> None:
    words = shlex.split(line)
    while words[0].startswith("env:"):
        name, _, value = words.pop(0).removeprefix("env:").partition("=")
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    expected = says.replace("{folder}", str(folder)).replace("{at}", f"{AT.astimezone():%Y-%m-%d %H:%M:%S}")
    assert printed.err == expected.replace("{python}", Path(sys.executable).name)


def test_the_table_is_worth_its_name() -> None:
    assert len({(line, stdin) for line, stdin, _, _ in MISUSES}) == len(MISUSES) >= 35
    assert {code for _, _, code, _ in MISUSES} == {1, 2, 3, 4, 5}
