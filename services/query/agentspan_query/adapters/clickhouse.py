"""The way to a ClickHouse, real or embedded: clickhouse-connect over HTTP, its blocking calls in an executor's threads.

Apart from the statements (`sql`) and what they mean (`history`, `sink`): here stand connecting and threads.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import clickhouse_connect
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from agentspan_query.adapters.clickhouse_errors import BEFORE_IT_IS_SENT, translated
from agentspan_query.errors import HistoryFailed, RowsRefused

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]

ANSWER_WITHIN_S = 30
"""How long a call waits for its answer: longer than the embedded ClickHouse takes to start again."""
CONNECT_WITHIN_S = 5
READ_WITHIN_S = 20
"""How long ClickHouse works on one read before it gives up with an error."""

UNKNOWN_DATABASE = 81
"""ClickHouse's number for it."""


DATABASE = "agentspan"
"""Its name everywhere: queries that people keep work on any installation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where ClickHouse answers, and as whom to ask."""

    host: str
    port: int
    username: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False

    def __str__(self) -> str:
        return f"ClickHouse at {self.host}:{self.port}"


class Database:
    """One database of a ClickHouse. Connects at the first call; any number of threads may use it."""

    def __init__(
        self,
        address: Address,
        executor: Executor,
        *,
        name: str = DATABASE,
        answer_within_s: int = ANSWER_WITHIN_S,
    ) -> None:
        self.name = name
        self._address = address
        self._executor = executor
        self._answer_within_s = answer_within_s
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._types: dict[tuple[str, tuple[str, ...]], Sequence[ClickHouseType]] = {}
        """Of the columns that were written to last, forgotten where that failed."""

    async def query(self, sql: str, params: Mapping[str, Any], *, within_s: float = READ_WITHIN_S) -> Rows:
        """The rows of a read. Raises HistoryUnavailable or HistoryFailed."""
        settings = {"max_execution_time": within_s}
        return await self.call(lambda client: client.query(sql, dict(params), settings=settings).result_rows)

    async def insert(self, table: str, columns: Sequence[str], rows: Rows, *, token: str) -> None:
        """Write rows and return when they are stored. The same token again, within the last 1000, writes nothing.

        Raises HistoryUnavailable, HistoryFailed, or RowsRefused where it is some of the rows that are not taken.
        """
        settings = {"async_insert": 0, "insert_deduplication_token": token}
        await self.call(lambda client: self._insert(client, table, columns, rows, settings))

    async def command(self, sql: str, params: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Change something, and return when it is changed. Raises HistoryUnavailable or HistoryFailed."""
        await self.call(lambda client: client.command(sql, dict(params or {}), settings=settings))

    def named(self, name: str) -> "Database":
        """Another database of the same server, on connections of its own."""
        return Database(self._address, self._executor, name=name, answer_within_s=self._answer_within_s)

    async def call(self, use: Callable[[Client], T]) -> T:
        """Run a blocking use of the client in a thread. Raises HistoryUnavailable or HistoryFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, use)

    async def create(self) -> None:
        """Make the database if it is missing: asked first, as who may not make one may still use it."""
        if not await self.exists():
            await self._make()

    async def exists(self) -> bool:
        """Whether there is such a database. Raises HistoryUnavailable or HistoryFailed."""
        try:
            await self.query("SELECT 1", {})
        except HistoryFailed as error:
            if error.code == UNKNOWN_DATABASE:
                return False
            raise
        return True

    async def _make(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._create)

    def close(self) -> None:
        """Let go of the connections."""
        if self._client:
            self._client.close()
            self._client = None

    def _call(self, use: Callable[[Client], T]) -> T:
        try:
            return use(self._connected())
        except ClickHouseError as error:
            raise translated(error, str(self._address)) from error

    def _insert(
        self, client: Client, table: str, columns: Sequence[str], rows: Rows, settings: Mapping[str, Any]
    ) -> None:
        """The driver asks for the columns' types before each insert, unless it is told: once is enough."""
        into = table, tuple(columns)
        context = client.create_insert_context(
            table, columns, column_types=self._types.pop(into, None), settings=dict(settings), data=rows
        )
        types = context.column_types
        try:
            client.insert(context=context)
        except BEFORE_IT_IS_SENT as error:
            raise RowsRefused(f"a row does not fit the columns of {table!r}: {error}", None) from error
        finally:
            vars(context).clear()  # it refers to itself: its rows would stay until the collector came
        self._types[into] = types

    def _create(self) -> None:
        try:
            client = _connect(self._address, None, self._answer_within_s)
            try:
                client.command(f"CREATE DATABASE IF NOT EXISTS `{self.name}`")
            finally:
                client.close()
        except ClickHouseError as error:
            raise translated(error, str(self._address)) from error

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = _connect(self._address, self.name, self._answer_within_s)
            return self._client


def _connect(address: Address, database: str | None, answer_within_s: int) -> Client:
    _without_frames()
    # what goes wrong is raised; it is not logged with its stack besides, every time that it is tried again
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    return clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        secure=address.secure,
        database=database,
        compress=False,
        autogenerate_session_id=False,  # a session is used by one call at a time; nothing here needs one
        dedicated_pool=True,
        connect_timeout=CONNECT_WITHIN_S,
        send_receive_timeout=answer_within_s,
        tz_mode="aware",
        show_clickhouse_errors="scrub",
    )


def _without_frames() -> None:
    """Keep the driver from importing numpy and pandas with the first insert, where they are installed: it would look
    whether the rows are a frame of theirs, which takes 0.4 s and 80 MB to deny."""
    for name in ("np", "pd", "pd_time_test"):
        vars(options).setdefault(name, None)
