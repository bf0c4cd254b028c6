"""The job that all benchmarks do: a support ticket with two look-ups, and a refund that waits for approval.

Seven durable steps: three model turns, three tools, one approval. Everything follows from the ticket's name, so that
whoever sees an answer can tell whether it is right. Apart because the model, the tools and the driver, each in a
process of its own, have to agree on it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

AGENT: Final = "bench-support"
MODEL: Final = "bench/stub"
STEPS: Final = 7
"""Three model turns, three tools, one approval."""

REFUND_CALL: Final = "2-0"
EVENTS: Final = (
    "started", "model_called", "model_replied", "tool_call", "tool_call", "tool_result", "tool_result", "model_called",
    "model_replied", "tool_call", "waiting", "approved", "tool_started", "tool_result", "model_called", "model_replied",
    "done",
)  # fmt: skip
"""The types of a right execution's events, in order."""

TICKET_CHARS: Final = 200
CUSTOMER_CHARS: Final = 300
ORDERS_CHARS: Final = 1500
ANSWER_CHARS: Final = 800

COMPLAINT: Final = "I was charged twice for the same order and would like to have one of the two payments back. "
REGRET: Final = (
    "We are sorry for the trouble, have looked into both payments and returned the second one to your card. "
)


def is_right(types: Sequence[str]) -> bool:
    """Whether these are a right execution's events. Where something died, an attempt may have been lost, or a grant
    have come too late and been declined: its next attempt is right too, and the refund is counted by itself."""
    met: list[str] = []
    for kind in types:
        if kind != "retry_scheduled":
            met.append(kind)
        elif met and met[-1] == "tool_started":
            met.pop()
    return tuple(met) == EVENTS


def ticket_text(name: str) -> str:
    """The prompt of the ticket: its name, a colon, and a complaint."""
    return _filled(f"{name}: ", COMPLAINT, TICKET_CHARS)


def ticket_name(prompt: str) -> str:
    """The name that a ticket's prompt begins with."""
    return prompt.partition(":")[0]


def customer(name: str) -> dict[str, Any]:
    """What the first look-up finds; 300 characters of text, and a line around them."""
    return {"customer": f"c-{name}", "notes": _filled(f"{name} ", "a customer of many years; ", CUSTOMER_CHARS)}


def orders(name: str) -> dict[str, Any]:
    """What the second look-up finds, 1,500 characters of text, and a line around them."""
    return {"orders": 12, "history": _filled(f"{name} ", "order of two items, paid, delivered; ", ORDERS_CHARS)}


def refund(name: str) -> dict[str, Any]:
    """What the refund gives."""
    return {"refund_id": f"re-{name}", "amount_usd": amount(name)}


def amount(name: str) -> float:
    """How much the model wants to refund: another sum for each ticket, so that each has its own args."""
    return 1 + zlib.crc32(name.encode()) % 10_000 / 100


def answer(results: Sequence[Any]) -> str:
    """The model's last word; it follows from all that the tools gave."""
    proof = zlib.crc32("\n".join(_line(result) for result in results).encode())
    return _filled(f"Refunded under proof {proof:08x}. ", REGRET, ANSWER_CHARS)


def right_answer(name: str) -> str:
    """The answer of an execution in which every tool gave what it should."""
    return answer((customer(name), orders(name), refund(name)))


def _line(result: Any) -> str:
    if not isinstance(result, Mapping):
        return repr(result)
    return ";".join(f"{key}={result[key]}" for key in sorted(result))


def _filled(beginning: str, text: str, chars: int) -> str:
    return (beginning + text * (chars // len(text) + 1))[:chars]
