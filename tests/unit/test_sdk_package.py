"""The package as it is imported: names, import cost, docstrings, errors, and how a server is found."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import agentspan.agents
from agentspan.agents import (
    AgentspanError,
    AlreadyDecided,
    ConfigurationError,
    Conflict,
    EventType,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ServerError,
    ServerNotInstalled,
    ServerUnavailable,
    _default,
    _discovery,
    _errors,
    testing,
)
from agentspan.agents._discovery import DEFAULT_URL, autostarts, ensure_server, server_url, start_embedded
from agentspan.agents._problems import error_from
from agentspan_schemas.codec import EVENTS
from agentspan_schemas.http import Problem

NOT_PUBLIC = {"TYPE_CHECKING", "Any", "_absent", "import_module"}


def imports(package: ModuleType) -> dict[str, str]:
    """Each name that a package imports, or shows to type checkers, to the module that it is from."""
    tree = ast.parse(inspect.getsource(package))
    nodes = [inner for node in tree.body for inner in (node.body if isinstance(node, ast.If) else [node])]
    return {
        name.asname or name.name: node.module or ""
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_all_is_complete_and_sorted() -> None:
    for package in (agentspan.agents, testing):
        assert set(package.__all__) == imports(package).keys() - NOT_PUBLIC
        assert package.__all__ == sorted(package.__all__, key=lambda n: (not n[0].isupper(), n))


def test_a_name_that_is_asked_for_is_the_one_that_type_checkers_see() -> None:
    for name, module in imports(agentspan.agents).items():
        if name not in NOT_PUBLIC:
            assert getattr(agentspan.agents, name) is getattr(importlib.import_module(module), name)
    assert set(agentspan.agents.__all__) <= set(dir(agentspan.agents))


def test_every_error_is_public_and_drawn() -> None:
    errors = {
        name for name, value in vars(_errors).items() if inspect.isclass(value) and value.__module__ == _errors.__name__
    }
    assert errors <= set(agentspan.agents.__all__)
    assert all(name in (_errors.__doc__ or "") for name in errors)


def test_every_event_of_the_contract_has_a_type() -> None:
    assert {str(kind) for kind in EventType} == {*EVENTS.types, "delta"}
    assert [kind == "waiting" for kind in EventType].count(True) == 1


SERVER = {"fastapi", "starlette", "uvicorn", "clickhouse_connect", "chdb", "anthropic", "sqlite3", "jinja2"}
EVERYTHING = "from agentspan.agents import *"


def test_importing_it_imports_no_server_and_no_http_client() -> None:
    assert not modules_of("import agentspan.agents.testing") & (SERVER | {"aiohttp"})
    assert not modules_of(EVERYTHING) & (SERVER | {"aiohttp", "agentspan_orchestrator", "jsonschema"})


def test_importing_the_package_imports_nothing_that_it_stands_on() -> None:
    assert not modules_of("import agentspan.agents") & {"pydantic", "asyncio", "agentspan_schemas"}
    assert "pydantic" not in modules_of("from agentspan.agents import AgentspanError")


def test_declaring_agents_imports_nothing_that_runs_them() -> None:
    running = {"asyncio", "agentspan_schemas.events", "agentspan_schemas.http", "agentspan_schemas.codec"}
    for names in ("Agent, tool", "AgentRuntime, start, run, stream, serve, configure"):
        assert not modules_of(f"from agentspan.agents import {names}") & running


def modules_of(code: str) -> set[str]:
    code = f"{code}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def cpu_s(code: str) -> float:
    """The CPU time of a fresh process that runs this: the clock on the wall tells of the machine."""
    code = f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_importing_all_of_it_costs_little_more_than_what_it_stands_on() -> None:
    """In turn, so that both meet the same machine; the least of each is what it takes when nothing is in its way."""
    runs = [(cpu_s(EVERYTHING), cpu_s("import pydantic, aiohttp")) for _ in range(5)]
    everything, below = map(min, zip(*runs, strict=True))
    assert everything < 2 * below


def test_the_wheel_is_small(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    sizes = {one.filename: one.compress_size for one in zipfile.ZipFile(wheel).infolist()}
    assert any(name.startswith("agentspan/agents/") for name in sizes)
    assert sum(size for name, size in sizes.items() if not name.startswith(UI_ASSETS)) < 1_000_000


UI_ASSETS = "agentspan_query/web/"

# Docstrings


def public_things() -> Iterator[tuple[str, Any]]:
    """Every public name, and every public method and property of those that are classes of this package."""
    for name in agentspan.agents.__all__:
        value = getattr(agentspan.agents, name)
        yield name, value
        if inspect.isclass(value) and not issubclass(value, Exception | StrEnum | BaseModel):
            for attribute, member in inspect.getmembers(value):
                if not attribute.startswith("_") and (callable(member) or isinstance(member, property)):
                    yield f"{name}.{attribute}", member


@pytest.mark.parametrize(("name", "value"), list(public_things()))
def test_everything_public_has_a_docstring(name: str, value: Any) -> None:
    own = inspect.getdoc(value)
    assert own, name
    assert own != inspect.getdoc(type(value)), name


MODULES = sorted(
    path.relative_to(Path(agentspan.agents.__file__).parents[2]).with_suffix("").as_posix().replace("/", ".")
    for path in Path(agentspan.agents.__file__).parent.rglob("*.py")
    if path.name != "__init__.py" and "testing" not in path.parts
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_hold(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_default, "_DEFAULT", _default._Default())
    imported = importlib.import_module(module)
    names = {name: getattr(agentspan.agents, name) for name in agentspan.agents.__all__}
    failed, _ = doctest.testmod(imported, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_every_public_name_is_shown_in_a_docstring_or_in_the_page_about_the_sdk() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
    for name in agentspan.agents.__all__:
        value = getattr(agentspan.agents, name)
        shown = ">>>" in (inspect.getdoc(value) or "") or re.search(rf"\b{name}\b", page)
        assert shown, f"{name} is neither in docs/sdk.md nor has it an example"


# Errors


def problem(status: int, code: str = "c", **more: object) -> bytes:
    fields = {"type": "t", "title": "T", "status": status, "detail": "what happened", "code": code, **more}
    return Problem.model_validate(fields).model_dump_json().encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "not_json", InvalidRequest),
        (422, "invalid_request", InvalidRequest),
        (413, "too_large", InvalidRequest),
        (401, "c", NotAllowed),
        (403, "c", NotAllowed),
        (404, "c", NotFound),
        (409, "already_decided", AlreadyDecided),
        (409, "finished", Conflict),
        (429, "c", ServerUnavailable),
        (503, "c", ServerUnavailable),
        (500, "c", ServerError),
    ],
)
def test_a_problem_becomes_its_error(status: int, code: str, kind: type[AgentspanError]) -> None:
    error = error_from(status, problem(status, code), "GET /x")
    assert type(error) is kind
    assert str(error) == "what happened"


def test_errors_keep_the_field_and_the_winner() -> None:
    error = error_from(422, problem(422, field="prompt"), "POST /x")
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.status, error.code) == ("prompt", 422, "c")
    winner = {"by": "user:ann", "decision": "approved", "at": "2026-01-01T00:00:00Z"}
    conflict = error_from(409, problem(409, "already_decided", winner=winner), "POST /x")
    assert isinstance(conflict, AlreadyDecided)
    assert conflict.winner is not None
    assert conflict.winner.by == "user:ann"
    unknown = error_from(409, problem(409, winner={"new": "shape"}), "POST /x")
    assert isinstance(unknown, Conflict)
    assert unknown.winner is None


def test_an_answer_that_is_no_problem_says_that_the_address_may_be_wrong() -> None:
    error = error_from(404, b"<html>nginx</html>", "GET /executions/x")
    assert "GET /executions/x answered 404 '<html>nginx</html>'" in str(error)
    assert "check the address" in str(error)


def test_an_address_with_a_path_too_much_is_told_so() -> None:
    unknown = problem(404, code="unknown_path", detail="there is nothing at '/api/api/v1/agents'")
    assert str(error_from(404, unknown, "GET /agents")).endswith(
        "check the address: it is the server's alone, as in http://localhost:6767, without /api"
    )


def test_where_the_path_is_ours_the_address_is_not_blamed() -> None:
    alone = problem(404, code="unknown_path", detail="there is nothing at '/api/v1/approvals'; this process has ...")
    assert "check the address" not in str(error_from(404, alone, "GET /approvals"))
    twice = problem(404, code="unknown_path", detail="there is nothing at '/api/v1/api/v1/agents'")
    assert "check the address" in str(error_from(404, twice, "GET /agents"))


# Discovery


def test_the_address_is_given_or_from_the_environment_or_the_default() -> None:
    assert server_url("http://a:1/", {}) == "http://a:1"
    assert server_url(None, {"AGENTSPAN_SERVER_URL": "https://b"}) == "https://b"
    assert server_url(None, {}) == DEFAULT_URL == "http://localhost:6767"
    with pytest.raises(ConfigurationError, match="'localhost:6767': it begins with http"):
        server_url("localhost:6767", {})


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://localhost:99999", "http://local host", "http:///x", "http://a:b"]
)
def test_an_address_that_is_none_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is none: write scheme, host and port, as in http://localhost:6767"):
        server_url(url, {})


def answering(*answers: bool) -> Callable[[], Awaitable[bool]]:
    left: Iterator[bool] = iter(answers)

    async def answer() -> bool:
        return next(left)

    return answer


async def launched() -> str:
    return "started"


async def not_launched() -> str:
    raise AssertionError("it must not be started")


async def test_a_server_that_answers_is_used() -> None:
    await ensure_server(DEFAULT_URL, answering(True), not_launched, autostart=True)


async def test_none_at_the_default_address_is_started_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    await ensure_server(DEFAULT_URL, answering(False, True), launched, autostart=True)
    said = capsys.readouterr().err
    assert said == f"agentspan: started a server at {DEFAULT_URL}; `agentspan server stop` ends it\n"


@pytest.mark.parametrize(
    ("url", "autostart", "todo"),
    [
        ("http://elsewhere:6767", True, "look whether it runs and can be reached from here, or name another in"),
        (DEFAULT_URL, False, "start one with `agentspan server start`, or name another in"),
        ("http://localhost:7000", True, "start one with `agentspan server start --port 7000`, or name another in"),
    ],
)
async def test_none_elsewhere_or_with_autostart_off_is_an_error(url: str, autostart: bool, todo: str) -> None:
    with pytest.raises(ServerUnavailable, match=re.escape(f"no Agentspan server answers at {url}; {todo}")):
        await ensure_server(url, answering(False), not_launched, autostart=autostart)


def test_autostart_is_as_given_or_as_the_environment_says() -> None:
    assert autostarts(None, {})
    assert not autostarts(None, {"AGENTSPAN_AUTOSTART": "0"})
    assert autostarts(True, {"AGENTSPAN_AUTOSTART": "0"})
    assert not autostarts(False, {})
    with pytest.raises(ConfigurationError, match="AGENTSPAN_AUTOSTART='no': it is 0 or 1"):
        autostarts(None, {"AGENTSPAN_AUTOSTART": "no"})


async def test_one_that_was_started_and_does_not_answer_is_an_error() -> None:
    with pytest.raises(ServerUnavailable, match="does not answer at http://localhost:6767: started"):
        await ensure_server(DEFAULT_URL, answering(False, False), launched, autostart=True)


def test_without_the_server_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_discovery, "find_spec", lambda name: None if name == "fastapi" else object())
    with pytest.raises(ServerNotInstalled, match=re.escape("pip install 'agentspan[server]'")):
        start_embedded()


def test_a_server_that_fails_to_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = (sys.executable, "-c", "import sys; sys.exit('port 6767 is taken')")
    monkeypatch.setattr(_discovery, "START", failing)
    with pytest.raises(ServerUnavailable, match="did not start: port 6767 is taken"):
        start_embedded()
    monkeypatch.setattr(_discovery, "START", (sys.executable, "-c", "print('up')"))
    assert start_embedded() == "up"


def test_the_files_are_small() -> None:
    root = Path(agentspan.agents.__file__).parent
    assert {p.name: n for p in root.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400} == {}
