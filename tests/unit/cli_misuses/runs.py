"""What can be got wrong with runs at the command line: starting, finding, following, pausing them; and its words."""

from tests.unit.cli_misuses.words import Misuse, helped, told

RUNS: list[Misuse] = [
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
        'agent run cli_unread:agent "hi"',
        "",
        2,
        told(
            "importing 'cli_unread' failed: SyntaxError: invalid syntax ({folder}/cli_unread.py:2); "
            "try it with `{python} -c 'import cli_unread'`"
        ),
    ),
    ('agent run cli_left:agent "hi"', "", 1, "set SHOP_KEY first\n"),
    (
        'agent run cli_refused:agent "hi"',
        "",
        2,
        told(
            "importing 'cli_refused' failed: ConfigurationError: agent 'shop': <built-in function len> is no tool; "
            "decorate the function with @tool ({folder}/cli_refused.py:3); "
            "try it with `{python} -c 'import cli_refused'`"
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
]
