"""Canonical JSON and the hash that a decision binds to (RFC 8785, by the rfc8785 library)."""

import hashlib
from typing import Any

import rfc8785

from agentspan_schemas.errors import NotCanonical


def canonical(value: Any) -> bytes:
    """The one byte string that RFC 8785 gives for a JSON value.

    Raises NotCanonical for what that standard has no form for: NaN, infinities, integers beyond 2**53 - 1 and
    lone surrogates.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise NotCanonical(f"no canonical JSON for this value: {error}; send large numbers as strings") from error


def args_hash(args: dict[str, Any]) -> str:
    """SHA-256 (hex) of a call's canonical arguments: what an approver saw, and what a decision names."""
    return hashlib.sha256(canonical(args)).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of any canonical JSON value: tells the same request sent again from another under its id."""
    return hashlib.sha256(canonical(value)).hexdigest()
