"""What tests of history share: one ClickHouse child for all of a file, in which each test has a database of its own."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
import pytest_asyncio

from agentspan_query.adapters.clickhouse_child import ClickHouseChild
from tests.support.query_history import running_child


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    """For what waits for ClickHouse."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseChild]:
    async with running_child(tmp_path_factory.mktemp("history")) as serving:
        yield serving
