"""`agentspan agent cancel|pause|resume|send` and `execution resolve`: one run, many runs, and what is refused."""

import io
import json
import sys
from collections.abc import Callable, Iterator

import pytest

from agentspan.cli import main
from tests.unit.cli_server import RUN, Answer, Asked, FakeServer, execution, problem, serving

OTHER = "exec-d4e5f6"
REF = Answer({"execution_id": RUN, "seq": 12, "position": "0:44", "created": False})
FINISHED = problem(409, "finished", "the execution is completed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Two runs that may be paused, resumed and cancelled."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        for run in (RUN, OTHER):
            for verb, status in (("cancel", "cancelled"), ("pause", "paused"), ("resume", "waiting")):
                fake.on("POST", f"/executions/{run}/{verb}", _becomes(fake, run, status))
            stands(fake, run, "waiting")
        yield fake


def stands(fake: FakeServer, run: str, status: str) -> None:
    shown = execution().model_dump(mode="json") | {"execution_id": run, "status": status}
    fake.on("GET", f"/executions/{run}", Answer(shown))


def _becomes(fake: FakeServer, run: str, status: str) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        stands(fake, run, status)
        return REF

    return answer


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("pause", "paused"), ("resume", "waiting")])
def test_a_run_is_steered_and_shown_as_it_is_then(
    server: FakeServer, capsys: pytest.CaptureFixture[str], verb: str, status: str
) -> None:
    assert main(["agent", verb, RUN, "--reason", "lunch"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split() == [RUN, status]
    assert printed.err == ""
    [asked] = server.requests("POST", f"/executions/{RUN}/{verb}")
    assert asked.body == {"reason": "lunch"}
    assert asked.headers["Idempotency-Key"]


def test_it_is_read_as_of_the_write(server: FakeServer) -> None:
    assert main(["agent", "pause", RUN]) == 0
    assert server.requests("GET", f"/executions/{RUN}")[0].query == {"min_position": ["0:44"]}


def test_a_cancelled_run_with_a_call_out_says_what_it_waits_for(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("POST", f"/executions/{RUN}/cancel", REF)
    assert main(["agent", "cancel", RUN]) == 0
    assert "waiting  ends with the call that is out" in capsys.readouterr().out


def test_a_refusal_names_the_run_and_where_to_look(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", f"/executions/{RUN}/pause", FINISHED)
    assert main(["agent", "pause", RUN]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"error: '{RUN}': the execution is completed; `agentspan agent status {RUN}` shows where it stands\n"
    )


def test_one_that_is_refused_keeps_no_other_from_being_done(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("POST", f"/executions/{RUN}/pause", problem(404, "unknown_execution", "there is no such execution"))
    assert main(["agent", "pause", RUN, OTHER, "-o", "json"]) == 4
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)
    assert (first["id"], first["done"], first["exit_code"], first["outcome"]) == (RUN, False, 4, "refused")
    assert first["error"] == "there is no such execution"
    assert (second["id"], second["done"], second["outcome"]) == (OTHER, True, "paused")
    summed, error = printed.err.splitlines()
    assert summed == "1 done, 1 not"
    assert json.loads(error) == {
        "code": "unknown_execution",
        "status": 404,
        "detail": f"{RUN}: there is no such execution",
        "next": "`agentspan execution list` shows what there is",
        "exit_code": 4,
    }


def test_after_a_server_went_away_nothing_more_is_tried(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", f"/executions/{RUN}/pause", problem(503, "not_ready", "the server is stopping"))
    assert main(["agent", "pause", RUN, OTHER, "-o", "jsonl"]) == 3
    outcomes = [json.loads(line)["outcome"] for line in capsys.readouterr().out.splitlines()]
    assert outcomes == ["not tried", "not tried"]
    assert server.requests("POST", f"/executions/{OTHER}/pause") == []


def test_ids_come_from_standard_input_each_once(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, f'{RUN}\n\n{{"execution_id": "{OTHER}", "agent": "a"}}\n{RUN}\n')
    assert main(["agent", "cancel", "-"]) == 0
    assert capsys.readouterr().err == "2 done\n"
    assert len(server.requests("POST", f"/executions/{RUN}/cancel")) == 1


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stands(server, OTHER, "completed")
    assert main(["agent", "cancel", RUN, OTHER, "--dry-run"]) == 1
    printed = capsys.readouterr()
    assert "would be cancelled  now waiting" in printed.out
    assert "it has ended, and nothing changes it" in printed.out
    assert "nothing was done: --dry-run" in printed.err
    assert [asked.method for asked in server.asked] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("verb", "status", "code", "says"),
    [
        ("pause", "paused", 1, "is paused already"),
        ("resume", "waiting", 1, "is waiting, not paused"),
        ("resume", "paused", 0, "would be resumed"),
        ("cancel", "paused", 0, "would be cancelled"),
    ],
)
def test_a_dry_run_knows_what_would_be_refused(
    server: FakeServer, capsys: pytest.CaptureFixture[str], verb: str, status: str, code: int, says: str
) -> None:
    stands(server, RUN, status)
    assert main(["agent", verb, RUN, "--dry-run"]) == code
    assert says in "".join(capsys.readouterr())


# send


def test_an_agent_is_told_something(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", f"/executions/{RUN}/messages", REF)
    assert main(["agent", "send", RUN, "It is urgent."]) == 0
    assert capsys.readouterr().out == f"sent to {RUN} as event 12; it is read before the next turn\n"
    assert server.requests("POST", f"/executions/{RUN}/messages")[0].body == {"text": "It is urgent."}


def test_what_it_is_told_may_come_from_standard_input(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("POST", f"/executions/{RUN}/messages", REF)
    typed(monkeypatch, "two\nlines\n")
    assert main(["agent", "send", RUN, "-", "-o", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 12
    assert server.requests("POST", f"/executions/{RUN}/messages")[0].body == {"text": "two\nlines\n"}


# resolve


@pytest.mark.parametrize(
    ("options", "body", "says"),
    [
        (["--succeeded", '{"refund": "re_1"}'], {"outcome": "succeeded", "value": {"refund": "re_1"}}, "it returned"),
        (["--failed", "the bank said no"], {"outcome": "failed", "error": "the bank said no"}, "it failed: the bank"),
        (["--not-run", "--reason", "looked"], {"outcome": "not_run", "reason": "looked"}, "may be run now"),
    ],
)
def test_a_call_in_doubt_is_resolved(
    server: FakeServer, capsys: pytest.CaptureFixture[str], options: list[str], body: dict[str, object], says: str
) -> None:
    path = f"/executions/{RUN}/calls/2-0/resolve"
    server.on("POST", path, REF)
    assert main(["execution", "resolve", f"{RUN}.2-0", "--attempt", "2", *options]) == 0
    assert says in capsys.readouterr().out
    sent = server.requests("POST", path)[0].body
    assert {name: value for name, value in sent.items() if value is not None} == {"attempt": 2, **body}


def test_a_call_that_is_not_in_doubt_is_not_resolved(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("POST", f"/executions/{RUN}/calls/2-0/resolve", problem(409, "not_in_doubt", "it has a result"))
    assert main(["execution", "resolve", f"{RUN}.2-0", "--attempt", "1", "--not-run"]) == 1
    assert f"`agentspan agent status {RUN}`" in capsys.readouterr().err
