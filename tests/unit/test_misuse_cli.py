"""What can be got wrong at the command line, and the exact words and exit code that each mistake gets.

Each says which thing, why, and what next; nothing of it goes to standard output.
"""

import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspan.cli import main
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


def told(error: str, then: str | None = None) -> str:
    """What stands on standard error."""
    return f"error: {error}\n" + (f"next:  {then}\n" if then else "")


def helped(command: str, error: str) -> str:
    """The same, with the help of the command as what is next."""
    path = f"agentspan {command}".strip()
    return told(error, f"`{path} --help` shows what it takes")


def for_scripts(command: str, error: str) -> str:
    """The same where the line asks for JSON."""
    then = f"`agentspan {command} --help` shows what it takes"
    return json.dumps({"code": "usage", "detail": error, "next": then, "exit_code": 2}) + "\n"


MISUSES: list[tuple[str, str, int, str]] = [
    # command line, standard input, exit code, standard error; `env:NAME=VALUE` before a line is in its environment
    ("agnt list", "", 2, helped("", "no such command 'agnt'. Did you mean 'agent'?")),
    ("agent lst", "", 2, helped("agent", "no such command 'lst'. Did you mean 'list'?")),
    ("agent status", "", 2, helped("agent status", "missing argument 'ID'")),
    (
        "agent status run-1",
        "",
        2,
        helped(
            "agent status",
            "'run-1' is no id: an execution's looks like 'exec-a1b2c3', an approval's like "
            "'exec-a1b2c3.2-0'; `agentspan agent list` shows what there is",
        ),
    ),
    ("agent status exec-a1b2c3 extra", "", 2, helped("agent status", "got unexpected extra argument(s) (extra)")),
    (
        "agent status exec-nope",
        "",
        4,
        told("there is no execution 'exec-nope'", "`agentspan execution list` shows what there is"),
    ),
    (
        "agent list --status asleep",
        "",
        2,
        helped(
            "agent list",
            "invalid value for '--status': 'asleep' is not one of 'running', 'waiting', 'paused', "
            "'completed', 'failed', 'cancelled'",
        ),
    ),
    (
        "agent list --limit 0",
        "",
        2,
        helped("agent list", "invalid value for '--limit' / '-n': '0' should be greater than or equal to 1"),
    ),
    (
        "agent list --since soon",
        "",
        2,
        helped(
            "agent list", "'soon' is no moment: write 2026-05-01, 2026-05-01T10:00, or an age such as 90m, 24h or 7d"
        ),
    ),
    (
        "agent list --since 1d --until 2d",
        "",
        2,
        helped("agent list", "--since 1d is not before --until 2d: nothing is between them; turn them round"),
    ),
    (
        "agent list -o yaml",
        "",
        2,
        helped("agent list", "invalid value for '--output' / '-o': 'yaml' is not one of 'table', 'json', 'jsonl'"),
    ),
    (
        "agent list --agnt x",
        "",
        2,
        helped("agent list", "no such option: --agnt (Possible options: --agent, --to, --until)"),
    ),
    ("agent list --agent", "", 2, helped("agent list", "option '--agent' requires an argument")),
    (
        "agent respond exec-a1b2c3",
        "",
        2,
        helped("agent respond", 'nothing is decided: say --approve, or --reject "reason"'),
    ),
    (
        "agent respond exec-a1b2c3 --approve --reject no",
        "",
        2,
        helped("agent respond", "--approve and --reject contradict each other or say the same twice: leave one"),
    ),
    (
        'agent respond exec-a1b2c3 --reject " "',
        "",
        2,
        helped("agent respond", "--reject needs a reason: the agent reads it and goes on with it"),
    ),
    (
        "agent respond exec-a1b2c3 --reject no --reason no",
        "",
        2,
        helped("agent respond", "--reject has the reason already: leave --reason out"),
    ),
    (
        'agent respond exec-a1b2c3 --reject no --args "{}"',
        "",
        2,
        helped("agent respond", "--args goes with --approve: a rejected call does not run"),
    ),
    (
        'agent respond exec-a1b2c3 --approve --args "{"',
        "",
        2,
        helped(
            "agent respond",
            "--args is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char "
            "1)): write it as '{\"amount_usd\": 20}'",
        ),
    ),
    (
        'agent respond exec-a1b2c3 --approve --args "[1]"',
        "",
        2,
        helped("agent respond", "--args is a JSON object, such as '{\"amount_usd\": 20}'"),
    ),
    (
        "agent respond exec-a1b2c3.2-0 --approve --call 3-0",
        "",
        2,
        helped("agent respond", "'exec-a1b2c3.2-0' names call '2-0', and --call names '3-0': leave one out"),
    ),
    (
        "agent respond exec-a1b2c3 --approve",
        "",
        2,
        told(
            "2 calls of 'exec-a1b2c3' wait; name one:\n  --call 2-0  issue_refund {\"customer_id\": "
            '"cust_123", "amount_usd": 99.0, "reason": "duplicate charge"}\n  --call 3-0  apply_credit '
            '{"amount_usd": 5}'
        ),
    ),
    (
        "agent respond exec-a1b2c3.9-0 --approve",
        "",
        4,
        told(
            "no call '9-0' of 'exec-a1b2c3' ever waited for a decision; 'exec-a1b2c3' is waiting; "
            "`agentspan agent status exec-a1b2c3` shows where it stands"
        ),
    ),
    (
        'agent run cli_shop "hi"',
        "",
        2,
        told("'cli_shop' names no agent: write module:agent, as in my_app.agents:support_agent"),
    ),
    ('agent run cli_shop:agnt "hi"', "", 2, told("'cli_shop' has no agent 'agnt'; did you mean 'agent'?")),
    ('agent run cli_shop:other "hi"', "", 2, told("'cli_shop' has no agent 'other'; its agents: agent")),
    (
        'agent run nowhere:agent "hi"',
        "",
        2,
        told(
            "there is no module 'nowhere' in '{folder}' or on the path; go to the folder that holds it, or "
            "install its package"
        ),
    ),
    (
        'agent run cli_broken:agent "hi"',
        "",
        2,
        told(
            "importing 'cli_broken' failed: ModuleNotFoundError: No module named 'absent_package' "
            "({folder}/cli_broken.py:1); try it with `{python} -c 'import cli_broken'`"
        ),
    ),
    (
        'agent run cli_shop:agent ""',
        "",
        2,
        told("the text is empty, and the agent would have nothing to read: write what it is asked or told"),
    ),
    (
        "agent run cli_shop:agent -",
        "",
        2,
        told("standard input is empty, and the agent would have nothing to read: write what it is asked or told"),
    ),
    ("agent run cli_shop:agent hi -m ticket", "", 2, helped("agent run", "--metadata 'ticket': write KEY=VALUE")),
    (
        'agent send exec-a1b2c3 " "',
        "",
        2,
        told("the text is empty, and the agent would have nothing to read: write what it is asked or told"),
    ),
    (
        "agent pause -",
        "",
        2,
        helped("agent pause", "standard input names nothing: write one id a line, or name ids as arguments"),
    ),
    (
        "agent pause -",
        "exec-a1b2c3\nfoo",
        2,
        helped(
            "agent pause",
            "standard input, line 2: 'foo' is no id: an execution's looks like 'exec-a1b2c3', an "
            "approval's like 'exec-a1b2c3.2-0'; `agentspan agent list` shows what there is",
        ),
    ),
    (
        "agent pause -",
        '{"agent": 1}',
        2,
        helped(
            "agent pause",
            "standard input, line 1: this object has no 'execution_id'; write an id, or what `list -o jsonl` writes",
        ),
    ),
    (
        "agent pause -",
        '{"agent',
        2,
        helped(
            "agent pause",
            "standard input, line 1: this is not JSON (Unterminated string starting at: line 1 column 2 "
            "(char 1)); write an id, or what `list -o jsonl` writes",
        ),
    ),
    (
        "agent pause exec-a1b2c3",
        "",
        1,
        told("'exec-a1b2c3': the execution is completed; `agentspan agent status exec-a1b2c3` shows where it stands"),
    ),
    (
        "agent rebind cli_shop",
        "",
        2,
        told("'cli_shop' names no agent: write module:agent, as in my_app.agents:support_agent"),
    ),
    (
        "agent stream exec-a1b2c3 --after -1",
        "",
        2,
        helped("agent stream", "invalid value for '--after': '-1' should be greater than or equal to 0"),
    ),
    (
        "execution events exec-a1b2c3 --type tool_cal",
        "",
        2,
        helped("execution events", "--type 'tool_cal' is no type of event; did you mean 'tool_call'?"),
    ),
    (
        "execution events exec-a1b2c3 --type banana",
        "",
        2,
        helped(
            "execution events",
            "--type 'banana' is no type of event; they are started, model_called, model_replied, "
            "tool_call, waiting, approved, rejected, expired, tool_started, tool_result, in_doubt, "
            "retry_scheduled, message, paused, resumed, cancel_requested, done, failed, cancelled",
        ),
    ),
    (
        "execution resolve exec-a1b2c3 --attempt 1 --not-run",
        "",
        2,
        helped(
            "execution resolve",
            "'exec-a1b2c3' names a run, not a call: write exec-a1b2c3.2-0, say; `agentspan approvals list "
            "--state in_doubt` shows those in doubt",
        ),
    ),
    ("execution resolve exec-a1b2c3.2-0 --not-run", "", 2, helped("execution resolve", "missing option '--attempt'")),
    (
        "execution resolve exec-a1b2c3.2-0 --attempt 0 --not-run",
        "",
        2,
        helped("execution resolve", "invalid value for '--attempt': '0' should be greater than or equal to 1"),
    ),
    (
        "execution resolve exec-a1b2c3.2-0 --attempt 1",
        "",
        2,
        helped("execution resolve", "nothing is resolved: say --succeeded JSON, --failed TEXT, or --not-run"),
    ),
    (
        "execution resolve exec-a1b2c3.2-0 --attempt 1 --not-run --failed no",
        "",
        2,
        helped("execution resolve", "--failed and --not-run can't both have become of it: leave one"),
    ),
    (
        "execution resolve exec-a1b2c3.2-0 --attempt 1 --succeeded re_1",
        "",
        2,
        helped(
            "execution resolve",
            "--succeeded is not JSON (Expecting value: line 1 column 1 (char 0)): text stands in quotes, "
            "as in '\"re_1\"'; null is nothing",
        ),
    ),
    (
        'execution resolve exec-a1b2c3.2-0 --attempt 1 --failed " "',
        "",
        2,
        helped("execution resolve", "--failed needs the error's words: the agent reads them and goes on with them"),
    ),
    (
        "approvals list --watch -o json",
        "",
        2,
        for_scripts("approvals list", "--watch has no end, and -o json is one document: take -o jsonl, one a line"),
    ),
    (
        "approvals list --execution foo",
        "",
        2,
        helped(
            "approvals list",
            "'foo' is no id: an execution's looks like 'exec-a1b2c3', an approval's like "
            "'exec-a1b2c3.2-0'; `agentspan agent list` shows what there is",
        ),
    ),
    (
        "approvals --port 1 list",
        "",
        2,
        helped("approvals list", "--port: for starting the service, not for 'list': leave out the one or the other"),
    ),
    (
        "approvals show exec-a1b2c3",
        "",
        2,
        helped(
            "approvals show",
            "'exec-a1b2c3' names a run, not a call: `agentspan approvals list --execution exec-a1b2c3` "
            "shows what waits there",
        ),
    ),
    (
        "approvals show exec-nope.1-0",
        "",
        4,
        told("there is no approval 'exec-nope.1-0'", "`agentspan approvals list` shows what waits"),
    ),
    ("approvals approve", "", 2, helped("approvals approve", "missing argument 'ID...'")),
    (
        "approvals approve exec-a1b2c3.2-0 exec-a1b2c3.3-0 --args {}",
        "",
        2,
        helped("approvals approve", "--args are those of one call, and 2 ids are given: name one"),
    ),
    (
        "approvals approve -",
        '{"execution_id": "exec-a1b2c3"}',
        2,
        helped(
            "approvals approve",
            "standard input, line 1: this object has no 'approval_id'; write an id, or what `list -o jsonl` writes",
        ),
    ),
    ("approvals reject exec-a1b2c3.2-0", "", 2, helped("approvals reject", "missing option '--reason'")),
    (
        'approvals reject exec-a1b2c3.2-0 --reason " "',
        "",
        2,
        helped("approvals reject", "--reason is empty: the agent reads it and goes on with it; say why"),
    ),
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
        "agent respond exec-doubt --approve",
        "",
        1,
        told(
            "call '2-0' of 'issue_refund' is in doubt: its worker was lost after it had begun. Find out "
            "whether it ran, then resolve it (`agentspan execution resolve`); 'exec-doubt' is waiting; "
            "`agentspan agent status exec-doubt` shows where it stands"
        ),
    ),
    (
        "agent respond exec-decided --approve",
        "",
        5,
        told(
            "call '2-0' of 'issue_refund' was rejected by user:alice at {at} (too large); 'exec-decided' "
            "is completed; `agentspan agent status exec-decided` shows where it stands"
        ),
    ),
    (
        "agent respond exec-idle --approve",
        "",
        1,
        told(
            "no call waits for a decision: 'exec-idle' is running; `agentspan agent status exec-idle` "
            "shows where it stands"
        ),
    ),
    (
        "agent respond ../agents --approve",
        "",
        2,
        helped(
            "agent respond",
            "'../agents' is no id: an execution's looks like 'exec-a1b2c3', an approval's like "
            "'exec-a1b2c3.2-0'; `agentspan agent list` shows what there is",
        ),
    ),
    ("agent respond --approve", "", 2, helped("agent respond", "missing argument 'ID'")),
    (
        'agent respond exec-a1b2c3.2-0 --approve --args "{\\"amount_usd\\": \\"x\\"}"',
        "",
        1,
        told(
            "the edited arguments of call '2-0' of 'issue_refund' can't be used: amount_usd: 'x' is not of "
            "type 'number'; `agentspan approvals show exec-a1b2c3.2-0` has those that it waits with"
        ),
    ),
    (
        "agent respond exec-a1b2c3.3-0 --reject no",
        "",
        5,
        told(
            "call '3-0' of 'apply_credit': approved by user:bob at {at} through ui; yours changed nothing; "
            "`agentspan agent status exec-a1b2c3` shows where it stands"
        ),
    ),
    (
        "approvals approve -",
        '{"approval_id": "exec-a1b2c3.2-0", "args_hash": "cdcd"}',
        1,
        told(
            "call '2-0' of 'issue_refund' waits with other arguments than those that you read: `agentspan "
            "approvals show exec-a1b2c3.2-0` has them"
        ),
    ),
    (
        "agent resume exec-a1b2c3 --dry-run",
        "",
        1,
        told("'exec-a1b2c3' is waiting, not paused: there is nothing to resume; leave it out"),
    ),
    (
        "agent cancel exec-decided --dry-run",
        "",
        1,
        told("'exec-decided' is completed: it has ended, and nothing changes it; leave it out"),
    ),
    (
        "execution show exec-nope",
        "",
        4,
        told("there is no execution 'exec-nope'", "`agentspan execution list` shows what there is"),
    ),
    ("execution list --tool", "", 2, helped("execution list", "option '--tool' requires an argument")),
    ("agent run cli_shop:agent", "", 2, helped("agent run", "missing argument 'prompt'")),
    (
        "agent stream exec-nope",
        "",
        4,
        told("there is no execution 'exec-nope'", "`agentspan execution list` shows what there is"),
    ),
    ("query list", "", 2, helped("query", "no such command 'list'")),
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
            "start one with `agentspan server start`, or name another in AGENTSPAN_SERVER_URL"
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules to name: one with an agent, and one that can't be imported."""
    (tmp_path / "cli_shop.py").write_text(
        'from agentspan.agents import Agent\nagent = Agent(name="shop", model="replay/shop")\nother = 1\n'
    )
    (tmp_path / "cli_broken.py").write_text("import absent_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("cli_shop", "cli_broken"):
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
        fake.on("POST", f"/executions/{RUN}/pause", problem(409, "finished", "the execution is completed"))
        invalid = problem(422, "invalid_args", "amount_usd: 'x' is not of type 'number'")
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
