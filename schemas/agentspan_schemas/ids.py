"""Deterministic ids: the same ticket is the same execution on any partition, with no table of keys."""

import base64
import uuid

NAMESPACE = uuid.UUID("6f0f2c1e-7a0b-5d3c-9a55-0e6f5b6a1d27")
"""The namespace of execution ids; changing it would start every old ticket again."""


def execution_id_for(source: str, key: str) -> str:
    """`exec-` and sixteen base32 characters that follow from who asked (`source`) and for what (`key`)."""
    digest = uuid.uuid5(NAMESPACE, f"{source}\0{key}").bytes
    return "exec-" + base64.b32encode(digest[:10]).decode().lower()


def call_id_for(turn: int, index: int) -> str:
    """Our id of a tool call: the model turn that asked for it (from 1) and its place in that turn (from 0)."""
    return f"{turn}-{index}"


def approval_id_for(execution_id: str, call_id: str) -> str:
    """The approval of one call; it names its execution, so that a decision needs no look-up."""
    return f"{execution_id}.{call_id}"


def split_approval_id(approval_id: str) -> tuple[str, str]:
    """`(execution_id, call_id)` of an approval id; ValueError when it is not one."""
    execution_id, dot, call_id = approval_id.partition(".")
    if not dot or not execution_id.startswith("exec-") or not call_id:
        raise ValueError(f"not an approval id: {approval_id!r}; one looks like 'exec-….2-0'")
    return execution_id, call_id


def task_key_for(execution_id: str, step: str, attempt: int) -> str:
    """The key of a task: `step` is a call_id, or `model-<turn>` for a model call."""
    return f"{execution_id}/{step}/{attempt}"
