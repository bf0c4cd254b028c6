"""The agent's 16 tools: what the model may call, as thin functions over the shop's file.

Apart from the rules because this is all that an agent author writes for the product: a signature, a docstring that
tells the model what the tool does, and `approval_required=True` on the seven that change something. The ticket comes
from the run's metadata and the idempotency key from the product, so a call that is delivered twice changes once.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from agentspan.agents import Tool, current_context, tool

from .records import Answer, NoTicket
from .store import ShopStore

SHOP_FILE_VARIABLE: Final = "RETAIL_SHOP_FILE"
"""Environment variable that names the shop's SQLite file."""

DEFAULT_SHOP_FILE: Final = "retail_shop.sqlite3"


@tool
def calculate(expression: str) -> Answer:
    """Calculate the result of a mathematical expression.

    Args:
        expression: The mathematical expression to calculate, such as '2 + 2'. The expression can contain numbers,
            operators (+, -, *, /), parentheses, and spaces.
    """
    return _lookup("calculate", expression=expression)


@tool(approval_required=True)
def cancel_pending_order(order_id: str, reason: Literal["no longer needed", "ordered by mistake"]) -> Answer:
    """Cancel a pending order. If the order is already processed or delivered, it cannot be cancelled. The agent
    needs to explain the cancellation detail and ask for explicit user confirmation (yes/no) to proceed. If the user
    confirms, the order status will be changed to 'cancelled' and the payment will be refunded. The refund will be
    added to the user's gift card balance immediately if the payment was made using a gift card, otherwise the
    refund would take 5-7 business days to process. The function returns the order details after the cancellation.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        reason: The reason for cancellation, which should be either 'no longer needed' or 'ordered by mistake'.
    """
    return _change("cancel_pending_order", order_id=order_id, reason=reason)


@tool(approval_required=True)
def exchange_delivered_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
) -> Answer:
    """Exchange items in a delivered order to new items of the same product type. For a delivered order, return or
    exchange can be only done once by the agent. The agent needs to explain the exchange detail and ask for explicit
    user confirmation (yes/no) to proceed.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        item_ids: The item ids to be exchanged, each such as '1008292230'. There could be duplicate items in the
            list.
        new_item_ids: The item ids to be exchanged for, each such as '1008292230'. There could be duplicate items in
            the list. Each new item id should match the item id in the same position and be of the same product.
        payment_method_id: The payment method id to pay or receive refund for the item price difference, such as
            'gift_card_0000000' or 'credit_card_0000000'. These can be looked up from the user or order details.
    """
    return _change(
        "exchange_delivered_order_items",
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )


@tool
def find_user_id_by_email(email: str) -> Answer:
    """Find user id by email. If the user is not found, the function will return an error message.

    Args:
        email: The email of the user, such as 'something@example.com'.
    """
    return _lookup("find_user_id_by_email", email=email)


@tool
def find_user_id_by_name_zip(first_name: str, last_name: str, zip: str) -> Answer:
    """Find user id by first name, last name, and zip code. If the user is not found, the function will return an
    error message. By default, find user id by email, and only call this function if the user is not found by email
    or cannot remember email.

    Args:
        first_name: The first name of the customer, such as 'John'.
        last_name: The last name of the customer, such as 'Doe'.
        zip: The zip code of the customer, such as '12345'.
    """
    return _lookup("find_user_id_by_name_zip", first_name=first_name, last_name=last_name, zip=zip)


@tool
def get_order_details(order_id: str) -> Answer:
    """Get the status and details of an order.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
    """
    return _lookup("get_order_details", order_id=order_id)


@tool
def get_product_details(product_id: str) -> Answer:
    """Get the inventory details of a product.

    Args:
        product_id: The product id, such as '6086499569'. Be careful the product id is different from the item id.
    """
    return _lookup("get_product_details", product_id=product_id)


@tool
def get_user_details(user_id: str) -> Answer:
    """Get the details of a user, including their orders.

    Args:
        user_id: The user id, such as 'sara_doe_496'.
    """
    return _lookup("get_user_details", user_id=user_id)


@tool
def list_all_product_types() -> Answer:
    """List the name and product id of all product types. Each product type has a variety of different items with
    unique item ids and options. There are only 50 product types in the store.
    """
    return _lookup("list_all_product_types")


@tool(approval_required=True)
def modify_pending_order_address(
    order_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
) -> Answer:
    """Modify the shipping address of a pending order. The agent needs to explain the modification detail and ask
    for explicit user confirmation (yes/no) to proceed.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        address1: The first line of the address, such as '123 Main St'.
        address2: The second line of the address, such as 'Apt 1' or ''.
        city: The city, such as 'San Francisco'.
        state: The state, such as 'CA'.
        country: The country, such as 'USA'.
        zip: The zip code, such as '12345'.
    """
    return _change(
        "modify_pending_order_address",
        order_id=order_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )


@tool(approval_required=True)
def modify_pending_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
) -> Answer:
    """Modify items in a pending order to new items of the same product type. For a pending order, this function can
    only be called once. The agent needs to explain the exchange detail and ask for explicit user confirmation
    (yes/no) to proceed.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        item_ids: The item ids to be modified, each such as '1008292230'. There could be duplicate items in the
            list.
        new_item_ids: The item ids to be modified for, each such as '1008292230'. There could be duplicate items in
            the list. Each new item id should match the item id in the same position and be of the same product.
        payment_method_id: The payment method id to pay or receive refund for the item price difference, such as
            'gift_card_0000000' or 'credit_card_0000000'. These can be looked up from the user or order details.
    """
    return _change(
        "modify_pending_order_items",
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )


@tool(approval_required=True)
def modify_pending_order_payment(order_id: str, payment_method_id: str) -> Answer:
    """Modify the payment method of a pending order. The agent needs to explain the modification detail and ask for
    explicit user confirmation (yes/no) to proceed.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        payment_method_id: The payment method id to pay or receive refund for the item price difference, such as
            'gift_card_0000000' or 'credit_card_0000000'. These can be looked up from the user or order details.
    """
    return _change("modify_pending_order_payment", order_id=order_id, payment_method_id=payment_method_id)


@tool(approval_required=True)
def modify_user_address(
    user_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
) -> Answer:
    """Modify the default address of a user. The agent needs to explain the modification detail and ask for explicit
    user confirmation (yes/no) to proceed.

    Args:
        user_id: The user id, such as 'sara_doe_496'.
        address1: The first line of the address, such as '123 Main St'.
        address2: The second line of the address, such as 'Apt 1' or ''.
        city: The city, such as 'San Francisco'.
        state: The state, such as 'CA'.
        country: The country, such as 'USA'.
        zip: The zip code, such as '12345'.
    """
    return _change(
        "modify_user_address",
        user_id=user_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )


@tool(approval_required=True)
def return_delivered_order_items(order_id: str, item_ids: list[str], payment_method_id: str) -> Answer:
    """Return some items of a delivered order. The order status will be changed to 'return requested'. The agent
    needs to explain the return detail and ask for explicit user confirmation (yes/no) to proceed. The user will
    receive follow-up email for how and where to return the item.

    Args:
        order_id: The order id, such as '#W0000000'. Be careful there is a '#' symbol at the beginning of the order
            id.
        item_ids: The item ids to be returned, each such as '1008292230'. There could be duplicate items in the
            list.
        payment_method_id: The payment method id to pay or receive refund for the item price difference, such as
            'gift_card_0000000' or 'credit_card_0000000'. These can be looked up from the user or order details.
    """
    return _change(
        "return_delivered_order_items", order_id=order_id, item_ids=item_ids, payment_method_id=payment_method_id
    )


@tool
def think(thought: str) -> Answer:
    """Use the tool to think about something. It will not obtain new information or change the database, but just
    append the thought to the log. Use it when complex reasoning or some cache memory is needed.

    Args:
        thought: A thought to think about.
    """
    return _lookup("think", thought=thought)


@tool
def transfer_to_human_agents(summary: str) -> Answer:
    """Transfer the user to a human agent, with a summary of the user's issue. Only transfer if the user explicitly
    asks for a human agent, or if the user's issue cannot be resolved by the agent with the available tools.

    Args:
        summary: A summary of the user's issue.
    """
    return _lookup("transfer_to_human_agents", summary=summary)


TOOLS: Final[tuple[Tool[..., Any], ...]] = (
    calculate,
    cancel_pending_order,
    exchange_delivered_order_items,
    find_user_id_by_email,
    find_user_id_by_name_zip,
    get_order_details,
    get_product_details,
    get_user_details,
    list_all_product_types,
    modify_pending_order_address,
    modify_pending_order_items,
    modify_pending_order_payment,
    modify_user_address,
    return_delivered_order_items,
    think,
    transfer_to_human_agents,
)
"""All 16, in the order of tools.json."""


def _lookup(name: str, **args: object) -> Answer:
    return _shop_at(_shop_file()).lookup(_ticket_id(), name, args)


def _change(name: str, **args: object) -> Answer:
    return _shop_at(_shop_file()).change(_ticket_id(), current_context().idempotency_key, name, args)


def _ticket_id() -> str:
    match current_context().metadata.get("ticket_id"):
        case str() as ticket_id if ticket_id:
            return ticket_id
        case other:
            raise NoTicket(
                f"Error: this run's metadata has {other!r} for a ticket: start it with metadata={{'ticket_id': '...'}}"
            )


def _shop_file() -> Path:
    return Path(os.environ.get(SHOP_FILE_VARIABLE, DEFAULT_SHOP_FILE)).resolve()


@cache
def _shop_at(path: Path) -> ShopStore:
    return ShopStore(path)
