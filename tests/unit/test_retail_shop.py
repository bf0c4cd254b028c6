"""The retail shop's single rules: what each call changes, and what it refuses.

Apart from the 520 tasks (test_retail_tasks) because those rarely err: here are the doors that must stay shut.
"""

from __future__ import annotations

from typing import Any, cast

import pytest

from examples.retail_support.data import load_database
from examples.retail_support.memory import MemoryShop
from examples.retail_support.records import Database, ShopError

ADDRESS = {
    "address1": "1 New Street",
    "address2": "",
    "city": "Denver",
    "state": "CO",
    "country": "USA",
    "zip": "80218",
}
CARD = "credit_card_9753331"
PENDING = "#W5442520"  # paid with CARD: a gaming mouse, a patio umbrella and hiking boots
PAID_BY_GIFT_CARD = "#W3657213"
MOUSE = "3330317167"
UMBRELLA, OTHER_UMBRELLA = "3111466194", "2001307871"
DELIVERED = "#W7273336"
EXCHANGED, EXCHANGED_FOR = "8214883393", "2880340443"


@pytest.fixture(scope="module")
def database() -> Database:
    return load_database()


@pytest.fixture
def shop(database: Database) -> MemoryShop:
    return MemoryShop(database)


@pytest.mark.parametrize(
    ("tool", "args", "refusal"),
    [
        ("cancel_pending_order", {"order_id": "#W0", "reason": "no longer needed"}, "order '#W0' not found"),
        ("cancel_pending_order", {"order_id": DELIVERED, "reason": "no longer needed"}, "is 'delivered'"),
        ("cancel_pending_order", {"order_id": PENDING, "reason": "too dear"}, "'too dear' is no reason"),
        ("modify_pending_order_address", {"order_id": DELIVERED, **ADDRESS}, "is 'delivered'"),
        ("modify_user_address", {"user_id": "nobody", **ADDRESS}, "user 'nobody' not found"),
        ("modify_pending_order_payment", {"order_id": PENDING, "payment_method_id": "x"}, "no payment method 'x'"),
        ("modify_pending_order_payment", {"order_id": PENDING, "payment_method_id": CARD}, "already paid by"),
        ("modify_pending_order_items", {"order_id": PENDING, "item_ids": [], "new_item_ids": []}, "no item named"),
        (
            "modify_pending_order_items",
            {"order_id": PENDING, "item_ids": [UMBRELLA] * 2, "new_item_ids": [OTHER_UMBRELLA] * 2},
            "as often as you named it",
        ),
        (
            "modify_pending_order_items",
            {"order_id": PENDING, "item_ids": [UMBRELLA], "new_item_ids": []},
            "1 items but 0 new ones",
        ),
        (
            "modify_pending_order_items",
            {"order_id": PENDING, "item_ids": [MOUSE], "new_item_ids": [OTHER_UMBRELLA]},
            "not of the same product",
        ),
        ("return_delivered_order_items", {"order_id": PENDING, "item_ids": [MOUSE]}, "is 'pending'"),
        ("open_a_door", {}, "no tool 'open_a_door'"),
    ],
)
def test_a_refused_call_says_why_and_changes_nothing(
    shop: MemoryShop, tool: str, args: dict[str, Any], refusal: str
) -> None:
    if "item_ids" in args:
        args = {"payment_method_id": CARD, **args}

    with pytest.raises(ShopError, match=r"^Error: ") as error:
        shop.call(tool, args)

    assert refusal in str(error.value)
    assert shop.changes() == {}


def test_an_item_that_is_not_available_cannot_be_had(shop: MemoryShop, database: Database) -> None:
    umbrellas = database["products"]["9743693396"]["variants"].values()
    sold_out = next(variant["item_id"] for variant in umbrellas if not variant["available"])

    with pytest.raises(ShopError, match="is not available"):
        _swap(shop, UMBRELLA, sold_out)


def test_a_return_is_not_refunded_to_a_card_that_did_not_pay(shop: MemoryShop, database: Database) -> None:
    order, user_id = next(
        (order, order["user_id"])
        for order in database["orders"].values()
        if order["status"] == "delivered" and len(database["users"][order["user_id"]]["payment_methods"]) > 2
    )
    paid_by = order["payment_history"][0]["payment_method_id"]
    methods = database["users"][user_id]["payment_methods"].values()
    other = next(m["id"] for m in methods if m["id"] != paid_by and m["source"] != "gift_card")
    args = {"order_id": order["order_id"], "item_ids": [order["items"][0]["item_id"]], "payment_method_id": other}

    with pytest.raises(ShopError, match="cannot take the refund"):
        shop.call("return_delivered_order_items", args)


def test_a_gift_card_is_refunded_at_once_and_the_cancelled_order_stays_closed(shop: MemoryShop) -> None:
    args = {"order_id": PAID_BY_GIFT_CARD, "reason": "ordered by mistake"}

    shop.call("cancel_pending_order", args)

    assert _balance(shop) == 56 + 3570.34
    with pytest.raises(ShopError, match="is 'cancelled'"):
        shop.call("cancel_pending_order", args)


def test_cancelling_after_a_change_of_payment_refunds_each_method_once(shop: MemoryShop) -> None:
    shop.call("modify_pending_order_payment", {"order_id": PENDING, "payment_method_id": "paypal_8049766"})
    shop.call("cancel_pending_order", {"order_id": PENDING, "reason": "no longer needed"})

    history = [(p["transaction_type"], p["payment_method_id"]) for p in shop.order(PENDING)["payment_history"]]
    assert history == [
        ("payment", CARD),
        ("payment", "paypal_8049766"),
        ("refund", CARD),
        ("refund", "paypal_8049766"),
    ]


def test_items_are_modified_once_and_the_address_still_after(shop: MemoryShop) -> None:
    _swap(shop, UMBRELLA, OTHER_UMBRELLA)

    with pytest.raises(ShopError, match="item modified"):
        _swap(shop, OTHER_UMBRELLA, UMBRELLA)
    shop.call("modify_pending_order_address", {"order_id": PENDING, **ADDRESS})
    assert shop.order(PENDING)["address"] == ADDRESS


def test_an_exchange_moves_no_money_yet(shop: MemoryShop) -> None:
    paid = shop.order(DELIVERED)["payment_history"]

    shop.call(
        "exchange_delivered_order_items",
        {
            "order_id": DELIVERED,
            "item_ids": [EXCHANGED],
            "new_item_ids": [EXCHANGED_FOR],
            "payment_method_id": "paypal_1530316",
        },
    )

    order = shop.order(DELIVERED)
    assert (order["status"], order["payment_history"]) == ("exchange requested", paid)
    assert shop.changes().keys() == {"orders"}


def test_a_users_new_address_leaves_orders_where_they_go(shop: MemoryShop) -> None:
    before = shop.order(PENDING)["address"]

    answer = shop.call("modify_user_address", {"user_id": "olivia_ito_3591", **ADDRESS})

    assert answer == shop.user("olivia_ito_3591")
    assert shop.user("olivia_ito_3591")["address"] == ADDRESS
    assert shop.order(PENDING)["address"] == before


def test_a_change_back_to_what_it_was_is_no_change(shop: MemoryShop) -> None:
    shop.call("modify_user_address", {"user_id": "olivia_ito_3591", **shop.user("olivia_ito_3591")["address"]})

    assert shop.changes() == {}


def test_the_database_itself_is_never_altered(shop: MemoryShop, database: Database) -> None:
    shop.call("cancel_pending_order", {"order_id": PENDING, "reason": "no longer needed"})
    shop.order(DELIVERED)["items"].clear()

    assert database["orders"][PENDING]["status"] == "pending"
    assert database["orders"][DELIVERED]["items"]


@pytest.mark.parametrize(
    ("tool", "args", "answer"),
    [
        ("find_user_id_by_email", {"email": "Noah.Brown7922@example.com"}, "noah_brown_6181"),
        ("find_user_id_by_name_zip", {"first_name": "noah", "last_name": "BROWN", "zip": "80279"}, "noah_brown_6181"),
        ("calculate", {"expression": "2 + 2"}, 4),
        ("calculate", {"expression": " (10.5 - 0.25) * -2 / 3 "}, -6.83),
        ("think", {"thought": "hm"}, ""),
        ("transfer_to_human_agents", {"summary": "needs a person"}, "Transfer successful"),
    ],
)
def test_a_look_up_answers(shop: MemoryShop, tool: str, args: dict[str, Any], answer: object) -> None:
    assert shop.call(tool, args) == answer
    assert shop.changes() == {}


def test_records_are_looked_up_whole(shop: MemoryShop, database: Database) -> None:
    assert shop.call("get_order_details", {"order_id": PENDING}) == database["orders"][PENDING]
    assert shop.call("get_user_details", {"user_id": "noah_brown_6181"}) == database["users"]["noah_brown_6181"]
    assert shop.call("get_product_details", {"product_id": "9523456873"}) == database["products"]["9523456873"]
    types = cast("dict[str, str]", shop.call("list_all_product_types", {}))
    assert (len(types), types["T-Shirt"], list(types)) == (50, "9523456873", sorted(types))


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("find_user_id_by_email", {"email": "nobody@example.com"}),
        ("find_user_id_by_name_zip", {"first_name": "Noah", "last_name": "Brown", "zip": "00000"}),
        ("get_product_details", {"product_id": MOUSE}),
        *(
            ("calculate", {"expression": expression})
            for expression in (
                "",
                "1 / 0",
                "2 ** 9",
                "7 // 2",
                "__import__('os')",
                "1 2",
                "(" * 90 + "1",
                "-" * 200 + "1",
                "()",
            )
        ),
    ],
)
def test_a_look_up_that_finds_nothing_says_so(shop: MemoryShop, tool: str, args: dict[str, Any]) -> None:
    with pytest.raises(ShopError, match=r"^Error: "):
        shop.call(tool, args)


def _swap(shop: MemoryShop, item_id: str, new_item_id: str) -> None:
    shop.call(
        "modify_pending_order_items",
        {"order_id": PENDING, "item_ids": [item_id], "new_item_ids": [new_item_id], "payment_method_id": CARD},
    )


def _balance(shop: MemoryShop) -> float:
    return shop.user("olivia_ito_3591")["payment_methods"]["gift_card_7794233"]["balance"]
