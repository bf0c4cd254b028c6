"""What a ClickHouse's refusal means: nobody answers now, the statement is wrong, or rows are, which never get better.

Apart from the way to it because this is a table of its numbers (`src/Common/ErrorCodes.cpp` of ClickHouse) and is read
as one. A number that is not here says nothing of rows: what it stops is tried again.
"""

import re
import struct

from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, OperationalError

from agentspan_query.errors import HistoryFailed, HistoryUnavailable, QueryError, RowsRefused

OF_ROWS = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT: this one and most others come of a view that somebody hung on the table
        25,  # CANNOT_PARSE_ESCAPE_SEQUENCE
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        130,  # CANNOT_READ_ARRAY_FROM_TEXT
        131,  # TOO_LARGE_STRING_SIZE
        153,  # ILLEGAL_DIVISION
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        248,  # INVALID_PARTITION_VALUE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
        407,  # DECIMAL_OVERFLOW
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        490,  # CANNOT_FORMAT_DATETIME
        632,  # UNEXPECTED_DATA_AFTER_PARSED_VALUE
        675,  # CANNOT_PARSE_IPV4
        676,  # CANNOT_PARSE_IPV6
        691,  # UNKNOWN_ELEMENT_OF_ENUM
        760,  # UNICODE_ERROR
    }
)
"""Numbers that say what a row holds. Not 32 and 33, as a connection that is cut brings them too; not 241 (memory), 252
(too many parts) and 159 (time), which pass."""

TOO_MANY_PARTS = 252
TOO_MANY_MONTHS = "partitions for single INSERT block"
"""Of the two things that 252 means, the one that fewer rows mend."""

BEFORE_IT_IS_SENT = (DataError, ValueError, OverflowError, struct.error)
"""What the driver raises where a value does not fit its column."""


def translated(error: ClickHouseError, where: str) -> QueryError:
    """The error as ours; `where` says which ClickHouse."""
    code = getattr(error, "code", None)
    if code is None and (isinstance(error, OperationalError) or _answered(error, "50[234]")):
        return HistoryUnavailable(
            f"{where} does not answer: {_reason(error)}; the log has everything, try again shortly"
        )
    if _is_of_rows(error, code):
        return RowsRefused(f"{where} refused rows: {error}", code)
    return HistoryFailed(f"{where} refused a statement: {error}", code)


def _is_of_rows(error: ClickHouseError, code: int | None) -> bool:
    if code == TOO_MANY_PARTS:
        return TOO_MANY_MONTHS in str(error)
    # 413: a proxy between takes no request of that size
    return code in OF_ROWS or (code is None and _answered(error, "413"))


def _answered(error: ClickHouseError, status: str) -> bool:
    """Whether an answer without ClickHouse's number is that of a proxy before it."""
    return re.search(rf"HTTP status {status}", str(error)) is not None


def _reason(error: BaseException) -> BaseException:
    """What lies at the bottom of it: the driver's own words don't tell a refused connection from a time-out."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
