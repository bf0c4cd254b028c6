"""What a ClickHouse's refusal means: what passes is tried again, what a row holds is not."""

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, DataError, OperationalError

from agentspan_query.adapters.clickhouse_errors import translated
from agentspan_query.errors import HistoryFailed, HistoryUnavailable, QueryError, RowsRefused

PASSES = {
    "MEMORY_LIMIT_EXCEEDED": 241,
    "TOO_MANY_PARTS": 252,
    "TIMEOUT_EXCEEDED": 159,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "SOCKET_TIMEOUT": 209,
    "NETWORK_ERROR": 210,
    "ABORTED": 236,
    "TABLE_IS_READ_ONLY": 242,
    "NOT_ENOUGH_SPACE": 243,
    "CANNOT_READ_ALL_DATA": 33,
    "ATTEMPT_TO_READ_AFTER_EOF": 32,
    "UNKNOWN_TABLE": 60,
    "UNKNOWN_DATABASE": 81,
    "NO_SUCH_COLUMN_IN_TABLE": 16,
    "ACCESS_DENIED": 497,
    "AUTHENTICATION_FAILED": 516,
    "ASYNC_LOAD_WAIT_FAILED": 722,
    "KEEPER_EXCEPTION": 999,
    "UNKNOWN_EXCEPTION": 1002,
}
OF_ROWS = {
    "CANNOT_PARSE_TEXT": 6,
    "CANNOT_CONVERT_TYPE": 70,
    "TOO_LARGE_STRING_SIZE": 131,
    "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE": 321,
    "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN": 349,
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO": 395,
    "VIOLATED_CONSTRAINT": 469,
}


def answer(code: int, name: str = "X") -> DatabaseError:
    return DatabaseError(f"Code: {code}. DB::Exception: it says why. ({name})", code=code, name=name)


@pytest.mark.parametrize("name", PASSES)
def test_what_says_nothing_of_a_row_is_tried_again(name: str) -> None:
    error = translated(answer(PASSES[name], name), "ClickHouse at c:1")
    assert type(error) is HistoryFailed
    assert error.code == PASSES[name]


@pytest.mark.parametrize("name", OF_ROWS)
def test_what_says_what_a_row_holds_is_a_refusal_of_rows(name: str) -> None:
    error = translated(answer(OF_ROWS[name], name), "ClickHouse at c:1")
    assert isinstance(error, RowsRefused)
    assert (error.code, "ClickHouse at c:1 refused rows" in str(error)) == (OF_ROWS[name], True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationalError("connection refused"), HistoryUnavailable),
        (DatabaseError("HTTP driver received HTTP status 502"), HistoryUnavailable),
        (DatabaseError("HTTP driver received HTTP status 413"), RowsRefused),
        (DatabaseError("Too many partitions for single INSERT block (more than 100)", code=252), RowsRefused),
        (DatabaseError("Too many parts (3000). Merges are slower than inserts", code=252), HistoryFailed),
        (DataError("something about a read"), HistoryFailed),
    ],
)
def test_answers_without_a_number_or_with_one_of_two_meanings_are_told_by_their_words(
    error: ClickHouseError, kind: type[QueryError]
) -> None:
    assert type(translated(error, "ClickHouse at c:1")) is kind
