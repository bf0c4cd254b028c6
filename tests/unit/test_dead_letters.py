"""Dead letters looked after, without a cluster: listed, replayed and discarded, and how `agentspan dlq` ends."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentspan.cli import main
from agentspan.eventlog.kafka import AccessDenied, KafkaConfig
from agentspan.eventlog.letters import Letterbox
from agentspan.eventlog.sqlite_letters import SqliteLetters
from agentspan_schemas.dead_letters import HANDLED, NOT_IN_HISTORY, OMITTED, REASONS, Why
from agentspan_schemas.topics import Topic
from agentspan_standalone import cluster, dlq
from agentspan_standalone.plumbing import LETTERS_FILE, LOG_FILE
from tests.support.intake import MemoryLetterbox

LOG = ("--log", "kafka://broker:9092?prefix=agentspan")
OWN = (("team", b"crm"), ("team", b"twice"), ("ce_id", b"T-1"))
AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def put(box: MemoryLetterbox, number: int, code: str = "no_mapping", value: bytes = b"{}", key: bytes = b"k") -> None:
    at = AT + timedelta(hours=number)
    why = Why(code, "nobody has it", at, f"agentspan.{box.name}", 2, 100 + number, "orchestrator")
    box.put(key, value, (*OWN, *why.headers()), partition=number % len(box.dead))


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> dict[str, MemoryLetterbox]:
    """Two letters about tickets, one about a decision."""
    boxes = {name: MemoryLetterbox(name, partitions=1 + (name == "tickets")) for name in dlq.WITH_LETTERS}
    put(boxes["tickets"], 0)
    put(boxes["tickets"], 1, "unreadable", b"\xff no ticket", b"\xffkey")
    put(boxes["decisions"], 2, "not_gated")

    @asynccontextmanager
    async def opened(config: KafkaConfig, topics: Sequence[Topic]) -> AsyncIterator[Sequence[Letterbox]]:
        assert config.bootstrap == "broker:9092"
        yield [boxes[topic.name] for topic in topics]

    monkeypatch.setattr(cluster, "letterboxes", opened)
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    return boxes


class Screen:
    """`agentspan dlq …` and what it writes."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.error = ""

    def run(self, *words: str, ends: int = 0) -> str:
        assert main(["dlq", *words, *LOG]) == ends
        said = self._capsys.readouterr()
        self.error = said.err
        return said.out

    def ids(self, *words: str) -> list[str]:
        return [found["id"] for found in json.loads(self.run("list", *words, "-o", "json"))]


@pytest.fixture
def screen(boxes: dict[str, MemoryLetterbox], capsys: pytest.CaptureFixture[str]) -> Screen:
    return Screen(capsys)


def test_the_list_says_where_when_why_and_how_large(screen: Screen) -> None:
    title, *rows = screen.run("list").splitlines()
    assert title.split() == ["ID", "AT", "WHY", "FROM", "KEY", "SIZE"]
    assert [row.split()[0] for row in rows] == ["tickets/0:0", "tickets/1:0", "decisions/0:0"]
    assert rows[0].split()[-4:] == ["no_mapping", "2:100", "k", "2"]
    assert screen.error == "3 dead letters\n"
    [first, second, _] = [json.loads(line) for line in screen.run("list", "-o", "jsonl").splitlines()]
    assert (first["key"], second["key"]) == ({"text": "k"}, {"base64": "/2tleQ=="})
    assert first["source"] == {"topic": "agentspan.tickets", "partition": 2, "offset": 100}


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--topic", "decisions"), ["decisions/0:0"]),
        (("--why", "no_mapping", "--why", "not_gated"), ["tickets/0:0", "decisions/0:0"]),
        (("--since", "2026-03-01T10:00+00:00"), ["tickets/1:0", "decisions/0:0"]),
        (("--topic", "tickets", "--why", "not_gated"), []),
    ],
)
def test_filters_leave_out_what_does_not_fit(screen: Screen, words: tuple[str, ...], ids: list[str]) -> None:
    assert screen.ids(*words) == ids


def test_one_letter_is_shown_whole_with_what_to_do_next(screen: Screen) -> None:
    text = screen.run("show", "tickets/0:0")
    assert "set a ticket mapping, then replay" in text
    assert "agentspan.tickets, partition 2, offset 100" in text
    assert ("header team" in text, text.splitlines()[-1]) == (True, "{}")
    found = json.loads(screen.run("show", "tickets/1:0", "-o", "json"))
    assert found["value"] == {"base64": "/yBubyB0aWNrZXQ="}
    assert [(each["name"], each["text"]) for each in found["headers"]] == [(n, raw.decode()) for n, raw in OWN]


def test_what_somebody_wrote_can_tell_a_terminal_nothing(screen: Screen, boxes: dict[str, MemoryLetterbox]) -> None:
    put(boxes["tickets"], 4, value=b"\x1b[2J", key=b"\x1b]0;x\x07")
    assert "\x1b" not in screen.run("list") + screen.run("show", "tickets/0:1")


@pytest.mark.usefixtures("boxes")
def test_the_bytes_alone_are_as_they_came(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["dlq", "show", "tickets/1:0", "--raw", *LOG]) == 0
    assert capsysbinary.readouterr().out == b"\xff no ticket"


def test_what_is_replayed_goes_out_as_it_came_and_is_listed_no_more(
    screen: Screen, boxes: dict[str, MemoryLetterbox]
) -> None:
    screen.run("replay", "tickets/1:0")
    [sent] = boxes["tickets"].sent
    assert (sent.partition, sent.key, sent.value, sent.headers) == (2, b"\xffkey", b"\xff no ticket", OWN)
    assert screen.ids() == ["tickets/0:0", "decisions/0:0"]
    rows = json.loads(screen.run("list", "--handled", "-o", "json"))
    [handled] = [row["handled"] for row in rows if row["id"] == "tickets/1:0"]
    assert (handled["action"], handled["by"], handled["reason"]) == ("replayed", "user:ann", None)
    assert "replayed by user:ann" in screen.run("list", "--handled")


def test_the_note_stands_behind_its_letter_in_the_same_partition(
    screen: Screen, boxes: dict[str, MemoryLetterbox]
) -> None:
    screen.run("discard", "tickets/1:0", "--reason", "a test")
    [_, note] = boxes["tickets"].dead[1]
    headers = dict(note.headers)
    assert (note.key, headers[HANDLED], headers["ce_subject"]) == (b"1:0", b"1:0", b"1:0")
    assert headers["ce_type"] == b"agentspan.dead_letter_handled"
    assert datetime.fromisoformat(headers["ce_time"].decode()).tzinfo is not None


def test_all_that_fit_are_replayed(screen: Screen, boxes: dict[str, MemoryLetterbox]) -> None:
    screen.run("replay", "--all", "--why", "no_mapping", "--why", "not_gated")
    assert screen.error == "replayed: 2\n"
    assert {name: len(box.sent) for name, box in boxes.items()} == {"tickets": 1, "decisions": 1, "events": 0}
    assert screen.ids() == ["tickets/1:0"]


@pytest.mark.parametrize("words", [("replay", "--all"), ("discard", "--all", "--reason", "tests")])
def test_a_dry_run_shows_and_does_nothing(
    screen: Screen, boxes: dict[str, MemoryLetterbox], words: tuple[str, ...]
) -> None:
    rows = json.loads(screen.run(*words, "--dry-run", "-o", "json"))
    assert [row["id"] for row in rows] == ["tickets/0:0", "tickets/1:0", "decisions/0:0"]
    assert "would be" in screen.error
    assert ([box.sent for box in boxes.values()], len(screen.ids())) == ([[], [], []], 3)


def test_what_was_sent_and_could_not_be_noted_is_sent_again(screen: Screen, boxes: dict[str, MemoryLetterbox]) -> None:
    boxes["tickets"].refuse = 1
    screen.run("replay", "tickets/0:0", "tickets/1:0", ends=1)
    assert "0 of 2 are done" in screen.error
    assert len(screen.ids("--topic", "tickets")) == 2
    screen.run("replay", "tickets/0:0", "tickets/1:0")
    assert [each.key for each in boxes["tickets"].sent] == [b"k", b"k", b"\xffkey"]
    assert screen.ids() == ["decisions/0:0"]


def test_what_is_discarded_is_kept_with_who_and_why(screen: Screen, boxes: dict[str, MemoryLetterbox]) -> None:
    screen.run("discard", "decisions/0:0", "--reason", "the caller has mended it")
    assert screen.ids() == ["tickets/0:0", "tickets/1:0"]
    found = json.loads(screen.run("show", "decisions/0:0", "-o", "json"))
    assert (found["handled"]["action"], found["handled"]["reason"]) == ("discarded", "the caller has mended it")
    assert boxes["decisions"].sent == []


def test_who_comes_second_is_told_who_was_first_and_may_insist(
    screen: Screen, boxes: dict[str, MemoryLetterbox]
) -> None:
    screen.run("discard", "tickets/0:0", "--reason", "no")
    screen.run("replay", "tickets/0:0", "tickets/1:0", ends=5)
    assert "was discarded by 'user:ann'" in screen.error
    assert "`agentspan dlq replay tickets/0:0 --again` sends it once more" in screen.error
    screen.run("discard", "tickets/0:0", "--reason", "no", ends=5)
    assert "was discarded by 'user:ann'" in screen.error
    assert boxes["tickets"].sent == []
    screen.run("replay", "tickets/0:0", "--again")
    assert len(boxes["tickets"].sent) == 1


def test_who_discards_what_was_handled_is_told_that_nobody_waits_for_it(screen: Screen) -> None:
    screen.run("replay", "tickets/0:0")
    screen.run("discard", "tickets/0:0", "tickets/1:0", "--reason", "no", ends=5)
    assert "was replayed by 'user:ann'" in screen.error
    assert "waits for nobody any more" in screen.error
    assert "--again" not in screen.error
    assert screen.ids() == ["tickets/1:0", "decisions/0:0"]


def test_of_what_nothing_was_kept_nothing_is_sent(screen: Screen, boxes: dict[str, MemoryLetterbox]) -> None:
    why = Why("too_large", "5 MB", AT, "agentspan.tickets", 1, 7, "orchestrator").headers()
    boxes["tickets"].put(None, b"", (*why, (OMITTED, b"5000060 bytes")))
    screen.run("replay", "--all", ends=1)
    assert "replayed: 3" in screen.error
    assert "not replayed: tickets/0:1" in screen.error
    assert screen.ids() == ["tickets/0:1"]
    assert "(not kept: 5000060 bytes)" in screen.run("show", "tickets/0:1")


def test_an_event_is_shown_and_put_away_and_never_sent_to_the_log(
    screen: Screen, boxes: dict[str, MemoryLetterbox]
) -> None:
    put(boxes["events"], 3, NOT_IN_HISTORY)
    assert "`agentspan query rebuild`" in screen.run("show", "events/0:0")
    screen.run("replay", "events/0:0", "tickets/0:0", ends=1)
    assert "not replayed: events/0:0, an event, which stands on the log: `agentspan query rebuild`" in screen.error
    assert (boxes["events"].sent, len(boxes["tickets"].sent)) == ([], 1)
    screen.run("discard", "events/0:0", "--reason", "history was built anew")
    assert screen.ids("--topic", "events") == []


def test_without_a_cluster_they_are_those_of_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--data", str(tmp_path))
    assert main(["dlq", "list", *here]) == 2
    assert "which log? There is none in" in " ".join(capsys.readouterr().err.split())
    (tmp_path / LOG_FILE).touch()
    assert main(["dlq", "list", *here]) == 0
    assert capsys.readouterr().err == "no dead letters\n"
    why = Why(NOT_IN_HISTORY, "refused", AT, "agentspan.events", 0, 17, "query")
    asyncio.run(SqliteLetters(tmp_path / LETTERS_FILE, "events").put(b"exec-a", b"{}", why.headers()))
    assert main(["dlq", "list", "-o", "json", *here]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["id"], found["why"], found["source"]["offset"]) == ("events/0:1", NOT_IN_HISTORY, 17)
    assert main(["dlq", "discard", "events/0:1", "--reason", "seen", *here]) == 0
    assert main(["dlq", "list", "-o", "json", "--handled", *here]) == 0
    assert '"reason": "seen"' in capsys.readouterr().out


def test_what_is_no_dead_letter_is_left_out(
    screen: Screen, boxes: dict[str, MemoryLetterbox], caplog: pytest.LogCaptureFixture
) -> None:
    boxes["tickets"].put(None, b"?", ())
    boxes["tickets"].put(None, b"no note", ((HANDLED, b"0:0"),))
    assert screen.ids() == ["tickets/0:0", "tickets/1:0", "decisions/0:0"]
    assert "tickets/0:1 is left out" in caplog.text


@pytest.mark.parametrize(
    ("words", "ends", "why"),
    [
        (("show", "tickets/0:99"), 4, "no dead letter 'tickets/0:99'"),
        (("replay", "tickets/0:0", "tickets/0:99"), 4, "no dead letter 'tickets/0:99'"),
        (("show", "0:99"), 2, "no dead letter's id"),
        (("list", "--why", "nomapping"), 2, "'nomapping' is no reason of a dead letter; they are unreadable, invalid,"),
        (("replay", "--all", "--why", "nomapping"), 2, "no reason of a dead letter"),
        (("list", "--topic", "tasks"), 2, "tickets, decisions, events"),
        (("show", "tasks/0:1"), 2, "tickets, decisions, events"),
        (("replay",), 2, "which ones?"),
        (("replay", "tickets/0:0", "--all"), 2, "not both"),
        (("replay", "--all", "--again"), 2, "--again goes with IDs"),
        (("discard", "tickets/0:0"), 2, "--reason"),
        (("list", "--since", "yesterday"), 2, "no moment"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_done(
    screen: Screen, boxes: dict[str, MemoryLetterbox], words: tuple[str, ...], ends: int, why: str
) -> None:
    screen.run(*words, ends=ends)
    assert why in " ".join(screen.error.split())
    assert boxes["tickets"].sent == []


@pytest.mark.parametrize(
    ("words", "ends", "said"),
    [((), 0, "no dead letters"), (LOG, 1, "pip install 'agentspan[server,kafka]'")],
    ids=["a data folder", "a cluster"],
)
def test_only_a_cluster_needs_kafkas_client(tmp_path: Path, words: tuple[str, ...], ends: int, said: str) -> None:
    (tmp_path / LOG_FILE).touch()
    program = "import sys; sys.modules['confluent_kafka'] = None; from agentspan.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "dlq", "list", "--data", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (ends, "")
    assert said in done.stderr


def test_a_cluster_that_does_not_let_us_in_ends_with_3(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def denied(config: KafkaConfig, topics: Sequence[Topic]) -> AsyncIterator[Sequence[Letterbox]]:
        if topics:
            raise AccessDenied("no right to read 'agentspan.tickets.dlq'")
        yield []

    monkeypatch.setattr(cluster, "letterboxes", denied)
    screen.run("list", ends=3)
    assert "no right to read" in screen.error


def test_every_reason_has_a_code_of_its_own() -> None:
    assert len({reason.code for reason in REASONS}) == len(REASONS)
