"""The contract: every message that leaves one of the services, as a frozen pydantic model.

`events` and `answers` are what stands on the log, `commands` what is asked, `tasks` what is to be done, `approvals`,
`tickets`, `agents` what other teams see, `http` what goes over HTTP, `topics` where each of them travels. `codec`
encodes and decodes. Import the module you mean: `from agentspan_schemas import events`.
"""

from agentspan_schemas._base import (
    MAX_DEPTH,
    MAX_RESULT_BYTES,
    MAX_VALUE_BYTES,
    SCHEMA_VERSION,
    Effects,
    Failure,
    JsonObject,
    JsonSchema,
    Moment,
    Request,
    Usage,
    Wire,
)
from agentspan_schemas.errors import (
    ContractError,
    NameRepeated,
    NewerVersion,
    NotCanonical,
    TooLarge,
    UnknownType,
    Unreadable,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_RESULT_BYTES",
    "MAX_VALUE_BYTES",
    "SCHEMA_VERSION",
    "ContractError",
    "Effects",
    "Failure",
    "JsonObject",
    "JsonSchema",
    "Moment",
    "NameRepeated",
    "NewerVersion",
    "NotCanonical",
    "Request",
    "TooLarge",
    "UnknownType",
    "Unreadable",
    "Usage",
    "Wire",
]
