"""The tables, as numbered files, and the runner that brings a database up to them.

A file that has run anywhere is never edited: a change is the next file. ClickHouse has no transactions over tables, so
each statement must bear being run twice: a crash between a statement and its record runs it again.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client

from agentspan_query.adapters.clickhouse import Database
from agentspan_query.errors import MigrationError, MigrationsPending

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version UInt32,
    name String,
    sha256 String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY version
"""
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the text: tells whether a file was edited after it ran."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> Sequence[str]:
        """The statements of the file, without its comments."""
        parts = (part.strip() for part in _COMMENT.sub("", self.text).split(";"))
        return [part for part in parts if part]


def known() -> Sequence[Migration]:
    """The migrations of this release, in order."""
    names = sorted(entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name, (files(__name__) / name).read_text("utf-8")) for name in names]


async def pending(database: Database) -> Sequence[str]:
    """The names of what the database lacks; changes nothing. Raises MigrationError when it is of another release."""
    if not await database.exists():
        return [migration.name for migration in known()]
    applied = await database.call(_applied)
    _check(applied, known())
    return [migration.name for migration in known() if migration.version not in applied]


async def require(database: Database) -> None:
    """Raise MigrationsPending where `migrate` has yet to run, MigrationError where the database is of later."""
    if lacking := await pending(database):
        raise MigrationsPending(
            f"the tables of database {database.name!r} lack {', '.join(lacking)}: run `agentspan query migrate`"
            " with the same --clickhouse, or let servers do it with AGENTSPAN_CLICKHOUSE_MIGRATE=true"
        )


async def migrate(database: Database, migrations: Sequence[Migration] | None = None) -> Sequence[str]:
    """Make the database and run what it lacks; the names of what ran. Raises MigrationError."""
    await database.create()
    wanted = known() if migrations is None else migrations
    return await database.call(lambda client: _migrate(client, wanted))


def _migrate(client: Client, migrations: Sequence[Migration]) -> Sequence[str]:
    client.command(_TABLE)
    applied = _applied(client)
    _check(applied, migrations)
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        for statement in migration.statements:
            client.command(statement)
        record = (migration.version, migration.name, migration.sha256)
        client.insert("schema_migrations", [record], ["version", "name", "sha256"], settings={"async_insert": 0})
    return [migration.name for migration in missing]


def _applied(client: Client) -> dict[int, str]:
    """What has run, by its number: the hash of its text."""
    if client.command("EXISTS TABLE schema_migrations") != 1:
        return {}
    rows = client.query("SELECT version, sha256 FROM schema_migrations FINAL").result_rows
    return {version: sha256 for version, sha256 in rows}


def _check(applied: dict[int, str], migrations: Sequence[Migration]) -> None:
    shipped = {migration.version: migration for migration in migrations}
    later = sorted(applied.keys() - shipped.keys())
    if later:
        raise MigrationError(
            f"the database has migration {later[-1]!r}, this release ends at {max(shipped, default=0)!r}: it was"
            " used by a later release; upgrade, or let history be built again in an empty database"
        )
    for version, sha256 in applied.items():
        if shipped[version].sha256 != sha256:
            raise MigrationError(
                f"migration {shipped[version].name!r} was edited after it had run: restore it, and put the change"
                " into a new file"
            )
