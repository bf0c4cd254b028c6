"""What analysts may do in ClickHouse: the documented queries, and nothing else.

The statements that let them in are run whole where a ClickHouse server is (Docker, or AGENTSPAN_TEST_CLICKHOUSE: the
URL of an empty one, with a user that manages access). The embedded engine makes no roles, but holds its one user to the
same grants and limits.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import pytest

from agentspan.eventlog import BEGINNING
from agentspan.eventlog.memory import MemoryLog
from agentspan_query.adapters import analysts
from agentspan_query.adapters.clickhouse import Address, Database
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.sink import ClickHouseSink
from agentspan_query.batch import batches
from agentspan_query.domain.rows import EventRow, ExecutionRow
from agentspan_query.errors import HistoryFailed
from tests.support.clickhouse import ClickHouse
from tests.support.kafka.docker import docker_answers
from tests.support.orchestration import World, approve, ask, claim, process, result, say, start
from tests.support.query_history import History, store

Ask = Callable[[str], list[Any]]
"""A statement's rows. Raises AssertionError with the engine's words when it is refused."""

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
QUERIES = dict(re.findall(r"\n([^\n]+):\n\n```sql\n(.*?)```", PAGE, re.DOTALL))


class Refused(Exception):
    """What the engine said."""


async def told(database: Database) -> None:
    """A run that was approved and is over, one that waits, one that failed."""
    world = World(MemoryLog(1))
    async with process(world) as here:
        steps = (start(), ask("refund"), approve("1-0"), claim("1-0"), result("1-0", claim_id="claim-1"))
        for step in (*steps, say("Refunded.", turn=2)):
            await here.send(step)
            world.clock.advance(5)
        await here.send(start("exec-waits"))
        await here.send(ask("refund", execution_id="exec-waits"))
        await migrate(database)
        sink = ClickHouseSink(database, world.log.id)
        async for batch in batches(world.log, 0, BEGINNING, await world.log.partition(0).end()):
            await sink.write(batch.events, batch.executions)
        await store(sink, [History("exec-failed", agent="billing").started().failed("no")], partition=1)


def _config(folder: Path) -> Path:
    """The grants and limits of the statements, as those of the embedded engine's one user."""
    grants = [each.removesuffix(f" TO {analysts.ROLE}") for each in analysts.STATEMENTS if each.startswith("GRANT")]
    settings = "".join(f"<{name}>{escape(bound.split()[0].strip(chr(39)))}</{name}>" for name, bound in analysts.LIMITS)
    bounds = "".join(f"<{name}>{_bounds(bound)}</{name}>" for name, bound in analysts.LIMITS if " " in bound)
    allowed = "".join(f"<query>{grant}</query>" for grant in grants)
    (folder / "users.xml").write_text(
        f"<clickhouse><profiles><default>{settings}<constraints>{bounds}</constraints></default></profiles>"
        "<quotas><default/></quotas><users><default><password></password><networks><ip>::/0</ip></networks>"
        f"<profile>default</profile><quota>default</quota><grants>{allowed}</grants></default></users></clickhouse>"
    )
    (folder / "config.xml").write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    return folder / "config.xml"


def _bounds(bound: str) -> str:
    found = "<const/>" if bound.endswith("CONST") else ""
    return found + "".join(f"<{word.lower()}>{n}</{word.lower()}>" for word, n in re.findall(r"(MIN|MAX) (\d+)", bound))


async def _fill(address: Address, statements: tuple[str, ...] = ()) -> None:
    with ThreadPoolExecutor(2) as threads:
        database = Database(address, threads)
        await told(database)
        for statement in statements:
            await database.command(statement)
        database.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    folder = tmp_path_factory.mktemp("analysts")
    with ClickHouse(folder / "data") as clickhouse:
        port = int(clickhouse.address.rpartition(":")[2])
        asyncio.run(_fill(Address(host="127.0.0.1", port=port, password=clickhouse.password)))
    command = [sys.executable, "-m", "tests.support.analyst_engine", str(folder / "data"), str(_config(folder))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        writing, reading = engine.stdin, engine.stdout

        def ask_engine(statement: str) -> list[Any]:
            writing.write(json.dumps(statement) + "\n")
            writing.flush()
            answer = json.loads(reading.readline())
            if "refused" in answer:
                raise Refused(answer["refused"])
            rows: list[Any] = answer["rows"]
            return rows

        yield ask_engine
        writing.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Ask]:
    with _a_server() as url:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        host, port = parts.hostname, parts.port
        admin = Address(host=host, port=port, username=parts.username or "default", password=parts.password or "")
        person = (
            f"CREATE USER OR REPLACE ada IDENTIFIED BY 'sesame' DEFAULT ROLE {analysts.ROLE}",
            f"GRANT {analysts.ROLE} TO ada",
        )
        asyncio.run(_fill(admin, (*analysts.STATEMENTS, *analysts.STATEMENTS, *person)))
        with ThreadPoolExecutor(1) as threads:
            database = Database(Address(host=host, port=port, username="ada", password="sesame"), threads)

            def ask_server(statement: str) -> list[Any]:
                try:
                    return [list(row) for row in asyncio.run(database.query(statement, {}))]
                except HistoryFailed as error:
                    raise Refused(str(error)) from error

            yield ask_server
            database.close()


def _a_server() -> AbstractContextManager[str]:
    given = os.environ.get("AGENTSPAN_TEST_CLICKHOUSE")
    return nullcontext(given) if given else _container()


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.clickhouse import ClickHouseContainer

    container = ClickHouseContainer("clickhouse/clickhouse-server:25.8", username="admin", password="sesame")
    with container.with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1") as running:
        yield f"http://admin:sesame@{running.get_container_host_ip()}:{running.get_exposed_port(8123)}"


ENGINES = ["embedded", *(["server"] if os.environ.get("AGENTSPAN_TEST_CLICKHOUSE") or docker_answers() else [])]


@pytest.fixture(params=ENGINES)
def ask_as_analyst(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("title", QUERIES)
def test_a_documented_query_runs_as_an_analyst(ask_as_analyst: Ask, title: str) -> None:
    sql = QUERIES[title].replace("WHERE started_at >= now() - INTERVAL 30 DAY", "WHERE started_at >= '2020-01-01'")
    assert ask_as_analyst(sql), title


def test_there_are_enough_of_them() -> None:
    assert len(QUERIES) >= 8


def test_what_they_say_is_so(ask_as_analyst: Ask) -> None:
    [waiting] = ask_as_analyst(QUERIES["What waits for a person now, and since when"])
    assert [str(value) for value in waiting[1:3]] == ["refund", "1"]
    [decided] = ask_as_analyst(QUERIES["How long people take to decide, by tool"])
    assert (decided[0], int(decided[1]), round(float(decided[2]))) == ("refund", 1, 5)
    [who] = ask_as_analyst(QUERIES["Who decided what"])
    assert [str(value) for value in who] == ["user:bo", "refund", "1", "0"]
    [failed] = ask_as_analyst(QUERIES["Why executions fail"])
    assert [str(value) for value in failed[:3]] == ["billing", "model", "1"]
    steps = ask_as_analyst(QUERIES["Where one execution spent its time, step by step"])
    assert [int(step[0]) for step in steps] == list(range(1, 12))
    counts = ask_as_analyst("SELECT status, count() FROM agentspan.executions GROUP BY status ORDER BY status")
    assert [[status, int(n)] for status, n in counts] == [["completed", 1], ["failed", 1], ["waiting", 1]]


@pytest.mark.parametrize(
    "statement",
    [
        *(f"SELECT {column} FROM agentspan.events" for column in sorted(analysts.TEXTS & set(EventRow._fields))),
        *(
            f"SELECT {column} FROM agentspan.executions"
            for column in sorted(analysts.TEXTS & set(ExecutionRow._fields))
        ),
        "SELECT * FROM agentspan.executions",
        "SELECT count() FROM agentspan.positions WHERE offset > 0",
        "INSERT INTO agentspan.executions (execution_id) VALUES ('x')",
        "ALTER TABLE agentspan.events DELETE WHERE 1",
        "DROP TABLE agentspan.events",
        "TRUNCATE TABLE agentspan.executions",
        "CREATE TABLE agentspan.mine (n UInt8) ENGINE = Memory",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SELECT 1 SETTINGS max_memory_usage = 100000000000",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_nothing_else_is_allowed(ask_as_analyst: Ask, statement: str) -> None:
    with pytest.raises(Refused, match=r"ACCESS_DENIED|READONLY|SETTING_CONSTRAINT_VIOLATION|privileges|readonly"):
        ask_as_analyst(statement)


def test_every_column_is_decided_on() -> None:
    granted = " ".join(each for each in analysts.STATEMENTS if each.startswith("GRANT"))
    for column in {*EventRow._fields, *ExecutionRow._fields}:
        assert (column in analysts.TEXTS) != bool(re.search(rf"\b{column}\b", granted)), column


@pytest.mark.parametrize("statement", analysts.STATEMENTS)
def test_each_statement_is_one_that_clickhouse_understands(embedded: Ask, statement: str) -> None:
    quoted = statement.replace("'", "\\'")
    [[formatted]] = embedded(f"SELECT formatQuery('{quoted}')")
    assert re.sub(r"\s+|`", "", formatted) == re.sub(r"\s+", "", statement)
