"""What can be got wrong with decisions at the command line, and with what is in doubt; and its words."""

from tests.unit.cli_misuses.words import Misuse, for_scripts, helped, told

DECISIONS: list[Misuse] = [
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
        "agent respond exec-a1b2c3 --deny",
        "",
        2,
        helped("agent respond", "--deny needs --reason TEXT: the agent reads it and goes on with it"),
    ),
    (
        'agent respond exec-a1b2c3 --deny --reason " "',
        "",
        2,
        helped("agent respond", "--deny needs --reason TEXT: the agent reads it and goes on with it"),
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
        'agent respond exec-a1b2c3 --approve --args \'{"amount_usd": 2, "amount_usd": 20}\'',
        "",
        2,
        helped("agent respond", "--args: 'amount_usd' stands twice: leave one, so that all read the same"),
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
        "approvals --port 0 list",
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
            "the edited arguments of 'issue_refund' can't be used: amount_usd: 'x' is not of type 'number'; "
            "write all of them: `agentspan approvals show exec-a1b2c3.2-0` has those that it waits with"
        ),
    ),
    (
        "agent respond exec-a1b2c3.3-0 --reject no",
        "",
        5,
        told(
            "call '3-0' of 'apply_credit' was approved by user:bob at {at} through ui; yours changed nothing; "
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
]
