"""What the support agent says in a recorded run: one sentence before each call, one line for it in the
closing answer.

Apart from the recordings because it is prose; nothing depends on the wording but people who watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .data import Call

LOOK_UP_USER: Final = "Let me look up your account first."
LOOK_UP_ORDERS: Final = "Now the orders that you mention."

_BEFORE: Final[Mapping[str, str]] = {
    "cancel_pending_order": "I'll cancel order {order_id}; the reason is {reason!r}.",
    "exchange_delivered_order_items": "I'll request the exchange for order {order_id} through {payment_method_id}.",
    "modify_pending_order_address": "I'll send order {order_id} to {address1}, {city} instead.",
    "modify_pending_order_items": "I'll swap the items of order {order_id} through {payment_method_id}.",
    "modify_pending_order_payment": "I'll move the payment of order {order_id} to {payment_method_id}.",
    "modify_user_address": "I'll set your default address to {address1}, {city}.",
    "return_delivered_order_items": "I'll request the return for order {order_id}, refunded to {payment_method_id}.",
    "transfer_to_human_agents": "I'll hand you over to a colleague.",
}
_SUBJECT: Final[Mapping[str, str]] = {
    "cancel_pending_order": "cancellation of order {order_id}, with its refund",
    "exchange_delivered_order_items": "exchange request for order {order_id}",
    "modify_pending_order_address": "new address of order {order_id}, {address1}, {city}",
    "modify_pending_order_items": "new items in order {order_id}",
    "modify_pending_order_payment": "payment of order {order_id} by {payment_method_id}",
    "modify_user_address": "new default address, {address1}, {city}",
    "return_delivered_order_items": "return request for order {order_id}",
    "transfer_to_human_agents": "hand-over to a colleague",
}


def before(call: Call) -> str:
    """Said together with the call; nothing for look-ups."""
    return _BEFORE.get(call.tool, "").format_map(call.args)


def closing(done: Sequence[tuple[Call, str | None]], outputs: Sequence[str]) -> str:
    """The answer that ends the run: what was done, what was refused and why, and all that it must mention."""
    lines = [_outcome(call, refusal) for call, refusal in done if call.tool in _SUBJECT]
    if not lines:
        lines = ["Nothing was changed."]
    if outputs:
        lines.append(f"To your question: {', '.join(outputs)}.")
    return "\n".join(lines)


def _outcome(call: Call, refusal: str | None) -> str:
    subject = _SUBJECT[call.tool].format_map(call.args)
    if refusal is None:
        return f"Done: {subject}."
    return f"Not done: {subject}; {refusal.removeprefix('Error: ')}."
