"""The formats of JSON Schema that texts are held against: those that pydantic writes for its types, as it reads them.

Apart from the keywords because pydantic is asked, so that what a tool with such a parameter would take is taken here:
its dates and times have more forms than RFC 3339. What depends on the machine or can't be asked without more packages
(paths, time zones, base64), and every format that pydantic does not write, says nothing: docs/decisions/0130.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from pydantic import IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork, TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as core

_ADDRESSES: Mapping[str, Any] = {
    "ipv4": IPv4Address,
    "ipv4interface": IPv4Interface,
    "ipv4network": IPv4Network,
    "ipv6": IPv6Address,
    "ipv6interface": IPv6Interface,
    "ipv6network": IPv6Network,
    "ipvanyaddress": IPvAnyAddress,
    "ipvanyinterface": IPvAnyInterface,
    "ipvanynetwork": IPvAnyNetwork,
}

_MAIL = core.custom_error_schema(
    core.str_schema(pattern="[^@]@[^@]"), "mail", custom_error_message="Input should have an @ between name and domain"
)
"""What every mail address has: more than that only a package knows that is not always there."""

_READ: Mapping[str, CoreSchema] = {
    "date": core.date_schema(),
    "date-time": core.datetime_schema(),
    "time": core.time_schema(),
    "duration": core.timedelta_schema(),
    "email": _MAIL,
    "name-email": _MAIL,
    "uri": core.url_schema(),
    "multi-host-uri": core.multi_host_url_schema(),
    "uuid": core.uuid_schema(),
    **{f"uuid{version}": core.uuid_schema(version=version) for version in (1, 3, 4, 5, 6, 7, 8)},
    **{name: TypeAdapter(kind).core_schema for name, kind in _ADDRESSES.items()},
}

FORMATS: Mapping[str, CoreSchema] = {
    name: core.chain_schema([core.str_schema(strict=True), read]) for name, read in _READ.items()
}
"""By name: which texts are of it. It says nothing about what is no text."""

_VALIDATORS = {name: SchemaValidator(schema) for name, schema in FORMATS.items()}


def format_problem(name: str, text: str) -> str | None:
    """Why the text is not of the format, in pydantic's words, or None."""
    if (validator := _VALIDATORS.get(name)) is None:
        return None
    try:
        validator.validate_python(text)
    except ValidationError as error:
        return str(error.errors(include_url=False, include_context=False)[0]["msg"])
    return None
