"""`agentspan doctor`: what each check finds, what it says to do, and that no secret is printed."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentspan.cli import _doctor_here, main
from agentspan.cli._ask import Answer
from agentspan.cli._checks import Check
from agentspan.cli._doctor_here import Here
from agentspan.cli._doctor_server import Asked
from tests.unit.cli_server import (
    AT,
    RUN,
    FakeServer,
    execution,
    items,
    problem,
    record,
    serving,
    tool_call,
    worker,
)
from tests.unit.cli_server import Answer as Reply
from tests.unit.cli_server import Asked as Request

SECRET = "sk-never-printed"
OK = {"status": "ok"}


def here(folder: Path, **environ: str) -> Here:
    return Here(folder, environ)


def found(check: Check | None) -> tuple[str, str, str | None]:
    assert check is not None
    return check.state, check.said, check.next


# this machine


def test_a_key_is_told_and_never_shown(tmp_path: Path) -> None:
    state, said, _ = found(here(tmp_path, ANTHROPIC_API_KEY=SECRET).keys())
    assert (state, said) == ("ok", "anthropic: set, openai: not set, in this environment (a server reads its own)")


def test_no_key_is_a_warning(tmp_path: Path) -> None:
    state, _, next_step = found(here(tmp_path).keys())
    assert state == "warn"
    assert next_step is not None
    assert "replay/…, scripted/… and ollama/… models need none" in next_step


@pytest.mark.parametrize("setting", ["OPENAI_API_KEY_FILE", "GROQ_API_KEY_FILE", "GOOGLE_APPLICATION_CREDENTIALS"])
@pytest.mark.parametrize(("is_there", "state"), [(True, "ok"), (False, "fail")])
def test_a_key_file_has_to_be_readable(tmp_path: Path, setting: str, is_there: bool, state: str) -> None:
    file = tmp_path / "key"
    if is_there:
        file.write_text(SECRET)
    check = here(tmp_path, CLOUD_ML_REGION="global", **{setting: str(file)}).keys()
    assert check.state == state
    assert setting in check.said
    assert SECRET not in check.said


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("AWS_PROFILE AWS_REGION", "bedrock: set"),
        ("AWS_BEARER_TOKEN_BEDROCK AWS_DEFAULT_REGION", "bedrock: set"),
        ("ANTHROPIC_VERTEX_PROJECT_ID CLOUD_ML_REGION", "vertex: set"),
        ("XAI_API_KEY", "xai: set"),
        ("MY_VLLM_BASE_URL", "my-vllm: address set"),
        ("OPENAI_BASE_URL", "openai: address set"),
    ],
)
def test_other_providers_are_told_where_something_is_set(tmp_path: Path, setting: str, told: str) -> None:
    check = here(tmp_path, **dict.fromkeys(setting.split(), SECRET)).keys()
    assert (check.state, told in check.said, SECRET in check.said) == ("ok", True, False)


@pytest.mark.parametrize(
    ("setting", "missing"), [("AWS_PROFILE", "AWS_REGION"), ("ANTHROPIC_VERTEX_PROJECT_ID", "CLOUD_ML_REGION")]
)
def test_a_cloud_that_is_asked_nowhere_is_told(tmp_path: Path, setting: str, missing: str) -> None:
    check = here(tmp_path, **{setting: SECRET}).keys()
    assert (check.state, f"without {missing}" in check.said) == ("warn", True)
    assert check.next == f"set {missing}: where it is asked"


@pytest.mark.parametrize(("free", "state"), [(100_000_000, "fail"), (1_000_000_000, "warn"), (50_000_000_000, "ok")])
def test_room_on_the_disk_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    class Usage:
        def __init__(self) -> None:
            self.free = free

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage())
    assert found(here(tmp_path / "not" / "there").disk())[0] == state


def test_the_data_folder_is_measured(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1_500_000)
    assert found(here(tmp_path).data()) == ("ok", f"{tmp_path}, 1.5 MB", None)


def test_a_data_folder_to_come_is_fine(tmp_path: Path) -> None:
    assert found(here(tmp_path / "new").data())[1].endswith("is not there yet: the first start makes it")


def test_a_data_folder_that_cannot_come_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert found(here(tmp_path / "file" / "data").data())[:2] == ("fail", f"{tmp_path}/file is a file")


def test_a_data_folder_of_somebody_else_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = here(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    state, said, next_step = found(looked.data())
    assert (state, said) == ("fail", f"{tmp_path} is not yours to write")
    assert next_step is not None


def test_a_setting_that_nothing_reads_is_named(tmp_path: Path) -> None:
    check = here(tmp_path, AGENTSPAN_PROT="1", AGENTSPAN_SERVER_URL="http://x", AGENTSPAN_DATA="y").names()
    assert found(check) == ("warn", "nothing reads AGENTSPAN_PROT", "did you mean AGENTSPAN_PORT?")
    assert here(tmp_path, AGENTSPAN_PORT="1", AGENTSPAN_CLICKHOUSE_PASSWORD_FILE="f").names() is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("URL", "SERVER_URL"),
        ("SERVER", "SERVER_URL"),
        ("KAFKA_TOKEN", "KAFKA_TOKENS"),
        ("ROLE", "ROLES"),
        ("HSOT", "HOST"),
        ("METRICS", "METRICS_PORT"),
        ("CLICKHOUSE_URL", "CLICKHOUSE"),
    ],
)
def test_the_setting_that_was_meant_is_the_one_with_its_words_or_else_spelt_like_it(
    tmp_path: Path, given: str, meant: str
) -> None:
    check = here(tmp_path, **{f"AGENTSPAN_{given}": "x"}).names()
    assert found(check) == ("warn", f"nothing reads AGENTSPAN_{given}", f"did you mean AGENTSPAN_{meant}?")


def test_a_setting_like_no_other_is_not_guessed_at(tmp_path: Path) -> None:
    check = here(tmp_path, AGENTSPAN_XYZZY="x").names()
    assert found(check) == ("warn", "nothing reads AGENTSPAN_XYZZY", "take it out of the environment")


def test_a_setting_of_no_use_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTSPAN_PORT", "many")
    looked = here(tmp_path)
    state, said, _ = found(looked.settings())
    assert (state, "port" in said) == ("fail", True)
    assert looked.disk() is looked.data() is looked.log() is looked.history() is looked.names() is None


def test_a_password_in_the_clickhouses_url_is_told_and_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTSPAN_CLICKHOUSE", f"http://me:{SECRET}@house:8123")
    state, said, _ = found(Here(tmp_path, {}).settings())
    assert (state, "AGENTSPAN_CLICKHOUSE_PASSWORD" in said, SECRET in said) == ("fail", True, False)


def test_a_cluster_and_its_clickhouse_are_named_without_who_asks_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTSPAN_LOG", "kafka://one:9092,two:9092?prefix=shop")
    monkeypatch.setenv("AGENTSPAN_CLICKHOUSE", "http://me@house:8123")
    pinged: list[str] = []

    def ping(url: str) -> Answer:
        pinged.append(url)
        return says(200, {})

    looked = Here(tmp_path, {}, ping=ping)
    assert found(looked.log())[:2] == ("ok", "Kafka at one:9092,two:9092")
    assert found(looked.history())[:2] == ("ok", "at house:8123")
    assert pinged == ["http://house:8123/ping"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            "nobody answers at house:8123 from here (Connection refused)",
        ),
        (404, "house:8123 answers with 404"),
    ],
)
def test_a_clickhouse_that_does_not_answer_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: OSError | int, words: str
) -> None:
    def ping(url: str) -> Answer:
        if isinstance(answer, OSError):
            raise answer
        return says(answer, {})

    monkeypatch.setenv("AGENTSPAN_CLICKHOUSE", "http://house:8123")
    assert found(Here(tmp_path, {}, ping=ping).history())[:2] == ("warn", words)


def test_a_missing_extra_is_a_failure_where_it_is_needed(tmp_path: Path) -> None:
    without = {"server": False, "kafka": False}
    looked = Here(tmp_path, {"AGENTSPAN_LOG": "kafka://one:9092"}, without)
    assert found(looked.extras()) == (
        "fail",
        "server: not installed, kafka: not installed; AGENTSPAN_LOG needs kafka",
        "pip install 'agentspan[server,kafka]'",
    )
    assert looked.settings() is None
    assert found(Here(tmp_path, {}, without).extras())[0] == "ok"


def test_the_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _doctor_here.installed_extras()["server"]
    lines = ["typer>=0.16", "pytest>=9; extra == 'dev'", "pydantic>=2; extra == 'a'", "no-such-thing; extra == 'a'",
             "uvloop; sys_platform != 'win32' and extra == 'b'", 'typer; extra == "b"']  # fmt: skip
    monkeypatch.setattr(_doctor_here, "requires", lambda name: lines)
    assert _doctor_here.installed_extras() == {"a": False, "b": True}


# the server


def asked(answers: Mapping[str, Answer | OSError], url: str = "http://localhost:6767", **options: bool) -> Asked:
    def get(address: str) -> Answer:
        answer = answers[address.removeprefix(url)]
        if isinstance(answer, OSError):
            raise answer
        return answer

    return Asked(url, has_server=options.get("has_server", True), get=get)


def says(status: int, body: dict[str, Any], date: datetime | None = None) -> Answer:
    return Answer(status, body, date, time.time())


ALIVE = {"/livez": says(200, OK)}


@pytest.mark.parametrize(
    ("url", "has_server", "next_step"),
    [
        ("http://localhost:6767", True, "`agentspan server start --detach`"),
        ("http://localhost:6767", False, "pip install 'agentspan[server]', then start it"),
        ("http://far:1", True, "check the address in AGENTSPAN_SERVER_URL, and that the server runs there"),
    ],
)
def test_a_server_that_does_not_answer_fails(url: str, has_server: bool, next_step: str) -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    server = asked({"/livez": refused}, url, has_server=has_server)
    assert found(server.reached()) == ("fail", f"nobody answers at {url} (Connection refused)", next_step)
    assert [look() for look in server.checks()[1:]] == [None] * 5


def test_something_else_on_the_port_is_said_to_be_that() -> None:
    state, said, _ = found(asked({"/livez": says(200, {})}).reached())
    assert (state, "is no Agentspan server (GET /livez: 200)" in said) == ("fail", True)


def test_an_address_that_is_none_fails() -> None:
    assert found(Asked("localhost:6767", has_server=True).reached())[0] == "fail"


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (says(200, OK), "ok", "takes work, and history is up to date"),
        (says(200, OK | {"history": "no disk"}), "warn", "takes work; history falls behind: no disk"),
        (
            says(200, OK | {"executions": "nothing is decided", "history": "b"}),
            "warn",
            "takes work; nothing is decided",
        ),
        (says(200, OK | {"approvals": "requests wait", "history": "b"}), "warn", "takes work; requests wait"),
        (says(503, {"detail": "it restores"}), "fail", "it takes no work: it restores"),
        (says(500, {}), "fail", "it takes no work: GET /readyz: 500"),
    ],
)
def test_whether_it_takes_work_is_asked(answer: Answer, state: str, words: str) -> None:
    server = asked(ALIVE | {"/readyz": answer})
    server.reached()
    assert found(server.ready())[:2] == (state, words)


def test_another_release_is_a_warning() -> None:
    server = asked(ALIVE | {"/api/v1/openapi.json": says(200, {"info": {"version": "9.9"}})})
    server.reached()
    state, _, next_step = found(server.release())
    assert (state, next_step) == ("warn", "pip install 'agentspan==9.9'")


@pytest.mark.parametrize(("ahead_s", "state"), [(0, "ok"), (60, "warn"), (-60, "warn")])
def test_clocks_are_compared(ahead_s: int, state: str) -> None:
    server = asked({"/livez": says(200, OK, datetime.now(UTC) - timedelta(seconds=ahead_s))})
    server.reached()
    assert found(server.clock())[0] == state


# all of it


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    """It lives, one run waits for a worker, and one call is in doubt."""
    with serving() as fake:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", fake.url)
        monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path))
        monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
        fake.on("GET", "/livez", Reply(OK))
        fake.on("GET", "/readyz", Reply(OK))
        fake.on("GET", "/openapi.json", Reply({}))
        doubtful = record(state="in_doubt", attempt=1)
        fake.on("GET", "/approvals", lambda asked: items(*[doubtful] * (asked.query["state"] == ["in_doubt"])))
        run = execution("running", seq=8).model_dump(mode="json")
        fake.on("GET", "/executions", Reply({"items": [run], "cursor": None, "as_of": AT.isoformat()}))
        fake.on("GET", f"/executions/{RUN}/events", Reply({"items": [tool_call(8, gated=False)]}))
        fake.on("GET", "/gateway/workers", items())
        yield fake


def doctored(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, Any]]:
    assert main(["doctor", "-o", "json"]) == code
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err
    return {check["name"]: check for check in json.loads(printed.out)}


def test_of_very_many_calls_that_wait_the_first_are_counted(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def pages(asked: Request) -> Reply:
        shown = [record().model_dump(mode="json")] * 500 if asked.query["state"] == ["pending"] else []
        return Reply({"items": shown, "cursor": "next" if shown else None})

    server.on("GET", "/approvals", pages)
    assert doctored(capsys, 0)["approvals"]["said"] == "1000 or more wait for a decision, 0 are in doubt"
    assert len(server.requests("GET", "/approvals")) == 3


def test_what_runs_wait_for_is_a_warning(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    checks = doctored(capsys, 0)
    assert checks["workers"]["state"] == "warn"
    assert "no worker can run 'issue_refund' of agent 'support_agent'" in checks["workers"]["said"]
    assert "agentspan tool-runner MODULE:AGENT" in checks["workers"]["next"]
    assert checks["approvals"]["said"] == "0 wait for a decision, 1 are in doubt"


def test_when_all_is_well_nothing_is_to_do(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.approvals()
    server.on("GET", "/gateway/workers", items(worker()))
    checks = doctored(capsys, 0)
    assert {name: check["state"] for name, check in checks.items() if check["state"] != "ok"} == {}


def test_an_answer_that_is_an_error_is_a_failure(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.on("GET", "/approvals", problem(500, "internal", "it broke"))
    server.on("GET", "/executions", problem(500, "internal", "it broke"))
    checks = doctored(capsys, 1)
    assert (checks["approvals"]["state"], checks["workers"]["said"]) == ("fail", "it broke")


def test_for_people_each_is_a_line_with_its_next_step(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("warn  approvals"))
    assert lines[at + 1].split(maxsplit=1)[0] == "next:"
    assert printed.err.endswith("2 warn, 0 fail\n")


def test_jsonl_is_a_check_a_line(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-o", "jsonl"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert names[:3] == ["agentspan", "python", "extras"]


def test_without_a_server_it_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as gone:
        monkeypatch.setenv("AGENTSPAN_SERVER_URL", gone.url)
    monkeypatch.setenv("AGENTSPAN_DATA", str(tmp_path))
    assert doctored(capsys, 1)["server"]["state"] == "fail"
