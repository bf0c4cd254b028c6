"""What tests of history share: one ClickHouse child for all of a file, in which each test has a database of its own."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import count

import pytest
import pytest_asyncio

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from agentspan_query.adapters.history import ClickHouseHistory
from agentspan_query.adapters.migrations import migrate
from agentspan_query.adapters.sink import ClickHouseSink
from tests.support.query_history import running_child

DATABASES = count(1)


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    """For what waits for ClickHouse."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseChild]:
    async with running_child(tmp_path_factory.mktemp("history")) as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def database(child: ClickHouseChild, threads: Executor) -> AsyncIterator[Database]:
    database = Database(child.address, threads, name=f"history_{next(DATABASES)}")
    await migrate(database)
    yield database
    database.close()


@pytest.fixture
def sink(database: Database) -> ClickHouseSink:
    return ClickHouseSink(database, "log-1")


@pytest.fixture
def history(database: Database) -> ClickHouseHistory:
    return ClickHouseHistory(database)
