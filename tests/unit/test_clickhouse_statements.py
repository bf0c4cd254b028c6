"""A request to ClickHouse's HTTP interface, taken apart as ClickHouse does."""

import pytest

from agentspan_query.adapters.statements import EngineError, parse


def test_the_format_is_taken_off_the_end() -> None:
    statement = parse({}, b"SELECT 'x FORMAT y' AS a\n FORMAT Native")
    assert (statement.sql, statement.format, statement.data) == ("SELECT 'x FORMAT y' AS a", "Native", None)


def test_without_a_format_it_is_tab_separated() -> None:
    assert parse({}, b"SELECT 1").format == "TabSeparated"


def test_an_insert_brings_its_bytes_whatever_they_are() -> None:
    data = b"\x00\n FORMAT Native\n\xff"
    statement = parse({}, b"INSERT INTO `t` (`a`, `b`) FORMAT Native\n" + data)
    assert (statement.sql, statement.format, statement.data) == ("INSERT INTO `t` (`a`, `b`)", "Native", data)


def test_an_insert_may_stand_in_the_address_and_its_bytes_in_the_body() -> None:
    statement = parse({"query": "INSERT INTO t FORMAT Native"}, b"\x01\x02")
    assert (statement.sql, statement.data) == ("INSERT INTO t", b"\x01\x02")


def test_an_insert_of_a_select_is_a_statement_like_any_other() -> None:
    statement = parse({}, b"INSERT INTO t SELECT 1")
    assert statement.data is None
    assert not statement.reads_only


def test_parameters_settings_and_what_belongs_to_the_transport_are_told_apart() -> None:
    statement = parse(
        {"param_x": "1", "max_threads": "2", "database": "d", "wait_end_of_query": "1", "a b; --": "3"}, b"SELECT 1"
    )
    assert (statement.params, statement.settings, statement.database) == ({"x": "1"}, {"max_threads": "2"}, "d")


@pytest.mark.parametrize("sql", ["SELECT 1", "\n select 1", "WITH 1 AS a SELECT a", "SHOW TABLES", "DESCRIBE TABLE t"])
def test_a_read_is_known_as_one(sql: str) -> None:
    assert parse({}, sql.encode()).reads_only


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t (n UInt8) ENGINE = Memory", "ALTER TABLE t DELETE WHERE 1", "SELECTED"]
)
def test_everything_else_waits_its_turn(sql: str) -> None:
    assert not parse({}, sql.encode()).reads_only


def test_an_error_keeps_the_number_and_drops_what_stands_before_it() -> None:
    error = EngineError("Streaming insert finish failed: Code: 33. DB::Exception: Cannot read all data")
    assert (error.code, str(error)) == (33, "Code: 33. DB::Exception: Cannot read all data")


def test_an_error_without_a_number_is_an_unknown_exception() -> None:
    assert EngineError("gone").code == 1002
