"""The rules of the seven calls that change something: pure functions from a shop and arguments to a `Change`.

Apart from the store so that each rule can be read, and checked against all 520 tasks, without a database. The rules
are inferred from tools.json, the database and the tasks' expected changes. Money is in dollars. Amounts in a payment
history keep every digit of the sum that made them; a gift card's balance is rounded to cents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .records import Address, Change, Item, Order, Payment, PaymentMethod, Shop, ShopError, User, Variant

CANCEL_REASONS: Final = ("no longer needed", "ordered by mistake")


def cancel_pending_order(shop: Shop, order_id: str, reason: str) -> Change:
    """Cancel, and give back to each payment method what it has paid in sum."""
    order = _order_with_status(shop, order_id, "pending")
    if reason not in CANCEL_REASONS:
        raise ShopError(f"Error: {reason!r} is no reason for a cancellation: use one of {', '.join(CANCEL_REASONS)}")
    user = shop.user(order["user_id"])
    for method_id, amount in _paid(order).items():
        _refund(order, user, method_id, amount)
    order["status"] = "cancelled"
    order["cancel_reason"] = reason
    return _changed(order, user)


def modify_pending_order_address(
    shop: Shop, order_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
) -> Change:
    """Send the order elsewhere; the items may have been modified before."""
    order = _order_with_status(shop, order_id, "pending", "pending (item modified)")
    order["address"] = Address(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
    return Change(order, orders={order_id: order})


def modify_user_address(
    shop: Shop, user_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
) -> Change:
    """Change the customer's default address; orders already placed keep theirs."""
    user = shop.user(user_id)
    user["address"] = Address(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
    return Change(user, users={user_id: user})


def modify_pending_order_payment(shop: Shop, order_id: str, payment_method_id: str) -> Change:
    """Pay the order by another method and give the first one its money back."""
    order = _order_with_status(shop, order_id, "pending")
    user = shop.user(order["user_id"])
    method = _method(user, payment_method_id)
    paid = _paid(order)
    if payment_method_id in paid:
        raise ShopError(f"Error: order {order_id!r} is already paid by {payment_method_id!r}: name another method")
    amount = sum(paid.values())
    _require_balance(method, amount, "the order")
    _charge(order, user, payment_method_id, amount)
    for old_method_id, old_amount in paid.items():
        _refund(order, user, old_method_id, old_amount)
    return _changed(order, user)


def modify_pending_order_items(
    shop: Shop, order_id: str, item_ids: Sequence[str], new_item_ids: Sequence[str], payment_method_id: str
) -> Change:
    """Swap items for others of the same product; the difference in price is charged or refunded at once."""
    order = _order_with_status(shop, order_id, "pending")
    user = shop.user(order["user_id"])
    method = _method(user, payment_method_id)
    swaps = _swaps(shop, order, item_ids, new_item_ids)
    difference = _price_difference(swaps)
    _require_balance(method, difference, "the new item")
    if difference > 0:
        _charge(order, user, payment_method_id, difference)
    else:
        _refund(order, user, payment_method_id, -difference)
    for item, variant in swaps:
        item["item_id"] = variant["item_id"]
        item["price"] = variant["price"]
        item["options"] = variant["options"]
    order["status"] = "pending (item modified)"
    return _changed(order, user)


def exchange_delivered_order_items(
    shop: Shop, order_id: str, item_ids: Sequence[str], new_item_ids: Sequence[str], payment_method_id: str
) -> Change:
    """Request an exchange: what was agreed is noted on the order, and money moves when the items come back."""
    order = _order_with_status(shop, order_id, "delivered")
    method = _method(shop.user(order["user_id"]), payment_method_id)
    difference = round(_price_difference(_swaps(shop, order, item_ids, new_item_ids)), 2)
    _require_balance(method, difference, "the price difference")
    order["status"] = "exchange requested"
    order["exchange_items"] = sorted(item_ids)
    order["exchange_new_items"] = sorted(new_item_ids)
    order["exchange_payment_method_id"] = payment_method_id
    order["exchange_price_difference"] = difference
    return Change(order, orders={order_id: order})


def return_delivered_order_items(shop: Shop, order_id: str, item_ids: Sequence[str], payment_method_id: str) -> Change:
    """Request a return; the refund goes to the method that paid or to a gift card, when the items come back."""
    order = _order_with_status(shop, order_id, "delivered")
    method = _method(shop.user(order["user_id"]), payment_method_id)
    if method["source"] != "gift_card" and payment_method_id not in _paid(order):
        raise ShopError(
            f"Error: {payment_method_id!r} cannot take the refund: use the method that paid, or a gift card"
        )
    _ordered_items(order, item_ids)
    order["status"] = "return requested"
    order["return_items"] = sorted(item_ids)
    order["return_payment_method_id"] = payment_method_id
    return Change(order, orders={order_id: order})


CHANGES: Final[Mapping[str, Callable[..., Change]]] = {
    rule.__name__: rule
    for rule in (
        cancel_pending_order,
        exchange_delivered_order_items,
        modify_pending_order_address,
        modify_pending_order_items,
        modify_pending_order_payment,
        modify_user_address,
        return_delivered_order_items,
    )
}
"""The calls that change something, by the name of their tool."""


def _changed(order: Order, user: User) -> Change:
    return Change(order, orders={order["order_id"]: order}, users={order["user_id"]: user})


def _order_with_status(shop: Shop, order_id: str, *allowed: str) -> Order:
    order = shop.order(order_id)
    if order["status"] not in allowed:
        raise ShopError(
            f"Error: order {order_id!r} is {order['status']!r}, and this can be done only when it is "
            + " or ".join(repr(status) for status in allowed)
        )
    return order


def _method(user: User, payment_method_id: str) -> PaymentMethod:
    try:
        return user["payment_methods"][payment_method_id]
    except KeyError:
        known = ", ".join(user["payment_methods"])
        raise ShopError(
            f"Error: the customer has no payment method {payment_method_id!r}: use one of {known}"
        ) from None


def _require_balance(method: PaymentMethod, amount: float, purpose: str) -> None:
    if method["source"] == "gift_card" and method["balance"] < amount:
        raise ShopError(f"Error: insufficient gift card balance to pay for {purpose}")


def _paid(order: Order) -> dict[str, float]:
    """What each payment method has paid for the order so far, refunds taken off; methods at zero are left out."""
    paid: dict[str, float] = {}
    for payment in order["payment_history"]:
        sign = 1 if payment["transaction_type"] == "payment" else -1
        method_id = payment["payment_method_id"]
        paid[method_id] = paid.get(method_id, 0) + sign * payment["amount"]
    return {method_id: amount for method_id, amount in paid.items() if amount > 0}


def _charge(order: Order, user: User, payment_method_id: str, amount: float) -> None:
    order["payment_history"].append(
        Payment(transaction_type="payment", amount=amount, payment_method_id=payment_method_id)
    )
    _add_to_gift_card(user, payment_method_id, -amount)


def _refund(order: Order, user: User, payment_method_id: str, amount: float) -> None:
    order["payment_history"].append(
        Payment(transaction_type="refund", amount=amount, payment_method_id=payment_method_id)
    )
    _add_to_gift_card(user, payment_method_id, amount)


def _add_to_gift_card(user: User, payment_method_id: str, amount: float) -> None:
    """Only a gift card's balance is the shop's own; banks keep the others."""
    method = _method(user, payment_method_id)
    if method["source"] == "gift_card":
        method["balance"] = round(method["balance"] + amount, 2)


def _ordered_items(order: Order, item_ids: Sequence[str]) -> list[Item]:
    """The order's items that the ids name, in their order; an item ordered twice can be named twice."""
    if not item_ids:
        raise ShopError("Error: no item named: give at least one item id of the order")
    left = list(order["items"])
    named = []
    for item_id in item_ids:
        match = next((item for item in left if item["item_id"] == item_id), None)
        if match is None:
            raise ShopError(
                f"Error: order {order['order_id']!r} does not have item {item_id!r} as often as you named it"
            )
        left.remove(match)
        named.append(match)
    return named


def _swaps(
    shop: Shop, order: Order, item_ids: Sequence[str], new_item_ids: Sequence[str]
) -> list[tuple[Item, Variant]]:
    items = _ordered_items(order, item_ids)
    if len(items) != len(new_item_ids):
        raise ShopError(f"Error: {len(items)} items but {len(new_item_ids)} new ones: name one new item for each")
    return [(item, _available_variant(shop, item, new_id)) for item, new_id in zip(items, new_item_ids, strict=True)]


def _available_variant(shop: Shop, item: Item, new_item_id: str) -> Variant:
    variant = shop.product(item["product_id"])["variants"].get(new_item_id)
    if variant is None:
        raise ShopError(f"Error: new item {new_item_id!r} is not of the same product as {item['item_id']!r}")
    if not variant["available"]:
        raise ShopError(f"Error: new item {new_item_id!r} is not available: choose another one of the product")
    return variant


def _price_difference(swaps: Sequence[tuple[Item, Variant]]) -> float:
    return sum(variant["price"] - item["price"] for item, variant in swaps)
