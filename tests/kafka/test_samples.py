"""The programs that the pages show run as they stand there: a ticket becomes an execution, a request that waits is
decided, the decision is accepted, and the execution ends."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from agentspan_schemas.ids import execution_id_for
from tests.kafka.circle import Circle, opened_circle
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker
from tests.support.kafka.java import built
from tests.support.program import Program
from tests.support.server import clean_environment, turn

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "tickets.md", ROOT / "docs" / "topics.md"]
SHOWN = re.compile(r"<!-- file: (\S+) -->\n+(?:<!-- .*? -->\n+)*```(\w+)\n(.*?)```", re.DOTALL)
LINE = re.search(r"^    (echo .*\|\n\s+kcat .*)$", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
SAMPLES = {
    "examples/topics/send_ticket.py",
    "examples/topics/decide_refunds.py",
    "examples/topics/decide_refunds_plainly.py",
    "examples/java/src/main/java/SendTicket.java",
    "examples/java/src/main/java/DecideRefunds.java",
}


def test_the_pages_show_the_files_as_they_are() -> None:
    shown = {path: text for page in PAGES for path, _, text in SHOWN.findall(page.read_text(encoding="utf-8"))}
    assert shown == {path: (ROOT / path).read_text(encoding="utf-8") for path in SAMPLES}


@pytest.fixture
def circle(broker: Broker, tmp_path: Path) -> Iterator[Circle]:
    """The agent `support` is served, and its model asks for a small refund."""
    with opened_circle(broker.bootstrap, tmp_path) as circle:
        for number in range(1, 5):
            circle.server.record(f"T-{number}", turn("", ("refund", {"usd": 25.0})), turn("It is on its way."))
        with circle.shop.worker(program=("-m", "tests.kafka.support_agent")):
            yield circle


class Spoken(Program):
    """Any program, not only one of Python's."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        self._read = b""


def surroundings(circle: Circle) -> dict[str, str]:
    return clean_environment() | {"BOOTSTRAP_SERVERS": circle.bootstrap, "AGENTSPAN_PREFIX": circle.prefix}


def sent(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def java(name: str) -> list[str]:
    return ["java", "-cp", built(), name]


def python(name: str) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / "topics" / name)]


def by_kcat(circle: Circle) -> None:
    """The page's line with another broker and topic: run by a shell where kcat is, else sent as its flags say."""
    assert LINE is not None
    line = LINE[1].replace("localhost:9092", circle.bootstrap).replace("agentspan.tickets", f"{circle.prefix}.tickets")
    if shutil.which("kcat") is not None:
        sent(["bash", "-euo", "pipefail", "-c", line], clean_environment())
        return
    echo, kcat = (shlex.split(part) for part in line.split("|"))
    flags = dict(zip(kcat[2::2], kcat[3::2], strict=True))
    assert (echo[0], kcat[:2], set(flags)) == ("echo", ["kcat", "-P"], {"-b", "-t"})
    circle.team.send(flags["-t"].removeprefix(f"{circle.prefix}."), echo[1].encode())


def test_the_line_for_kcat_is_such_as_kcat_understands() -> None:
    assert LINE is not None
    echo, kcat = (shlex.split(part) for part in LINE[1].split("|"))
    assert (echo[0], kcat) == ("echo", ["kcat", "-P", "-b", "localhost:9092", "-t", "agentspan.tickets"])


def test_tickets_of_every_sender_become_executions(circle: Circle) -> None:
    by_kcat(circle)
    for command in (python("send_ticket.py"), java("SendTicket")):
        sent(command, surroundings(circle))
        sent(command, surroundings(circle))
    ids = {execution_id_for("crm", ticket) for ticket in ("T-1", "T-2", "T-3")}
    eventually(lambda: circle.started() == dict.fromkeys(ids, 1), "each ticket is started once")
    assert circle.team.read("tickets.dlq") == []


@pytest.mark.parametrize("name", ["send_ticket.py", "decide_refunds.py", "decide_refunds_plainly.py"])
def test_a_sample_whose_topics_are_not_there_ends_and_says_so(broker: Broker, name: str) -> None:
    environment = clean_environment() | {"BOOTSTRAP_SERVERS": broker.bootstrap, "AGENTSPAN_PREFIX": "absent"}
    done = subprocess.run(python(name), env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, "Unknown topic" in done.stderr) == (1, True), done.stderr


def ends_completed(circle: Circle, ticket: str) -> None:
    path = f"/executions/{execution_id_for('crm', ticket)}"
    eventually(lambda: circle.server.http.get(path).json()["status"] == "completed", f"{ticket} is completed")


def test_our_client_sends_a_ticket_decides_and_hears_that_it_was_accepted(circle: Circle) -> None:
    id_ = execution_id_for("crm", "T-1")
    with Spoken(python("decide_refunds.py"), surroundings(circle)) as program:
        assert program.line() == f"{id_}.1-0 accepted"
    ends_completed(circle, "T-1")
    [request] = circle.team.latest("approvals").values()
    assert (request["state"], request["decided_by"]) == ("approved", "service:risk")


@pytest.mark.parametrize(
    ("by", "command"),
    [("risk-plain", lambda: python("decide_refunds_plainly.py")), ("risk-java", lambda: java("DecideRefunds"))],
    ids=["python", "java"],
)
def test_a_plain_client_decides_and_hears_what_came_of_it(
    circle: Circle, by: str, command: Callable[[], list[str]]
) -> None:
    ticket = {"id": "T-4", "source": "crm", "agent": "support", "text": "My invoice is wrong"}
    id_ = execution_id_for("crm", "T-4")
    with Spoken(command(), surroundings(circle)) as program:
        circle.team.send("tickets", ticket)
        assert program.line() == f"{id_}.1-0 accepted"
    ends_completed(circle, "T-4")
    with Spoken(command(), surroundings(circle)) as again:  # it begins anew, and decides nothing twice
        assert again.line() == f"{id_}.1-0 accepted"
    [request] = circle.team.latest("approvals").values()
    assert (request["decided_by"], request["attempts_total"]) == (f"service:{by}", 1)
