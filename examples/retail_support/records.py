"""What the shop's records look like, and how the shop's rules reach them.

Apart because everything else speaks of these: the rules (shop, lookups) read through the `Shop` port and hand back a
`Change`; the copy in memory and the SQLite store are its two adapters and write such a change down.

Errors:

    ShopError           a call the shop refuses; its text is what the tool answers, and nothing has changed
    ├── KeyReused       an idempotency key came back with another call
    └── NoTicket        a tool ran outside a ticket, so there is no copy to work on
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, Protocol, TypeAlias, TypedDict

Kind: TypeAlias = Literal["orders", "users", "products"]


class Address(TypedDict):
    address1: str
    address2: str
    city: str
    state: str
    country: str
    zip: str


class Item(TypedDict):
    name: str
    product_id: str
    item_id: str
    price: float
    options: dict[str, str]


class Payment(TypedDict):
    transaction_type: Literal["payment", "refund"]
    amount: float
    payment_method_id: str


class Fulfillment(TypedDict):
    tracking_id: list[str]
    item_ids: list[str]


class Order(TypedDict):
    order_id: str
    user_id: str
    address: Address
    items: list[Item]
    fulfillments: list[Fulfillment]
    status: str
    payment_history: list[Payment]
    cancel_reason: NotRequired[str]
    return_items: NotRequired[list[str]]
    return_payment_method_id: NotRequired[str]
    exchange_items: NotRequired[list[str]]
    exchange_new_items: NotRequired[list[str]]
    exchange_payment_method_id: NotRequired[str]
    exchange_price_difference: NotRequired[float]


class PaymentMethod(TypedDict):
    id: str
    source: Literal["credit_card", "gift_card", "paypal"]
    balance: NotRequired[float]
    brand: NotRequired[str]
    last_four: NotRequired[str]


class Name(TypedDict):
    first_name: str
    last_name: str


class User(TypedDict):
    name: Name
    address: Address
    email: str
    payment_methods: dict[str, PaymentMethod]
    orders: list[str]


class Variant(TypedDict):
    item_id: str
    options: dict[str, str]
    available: bool
    price: float


class Product(TypedDict):
    name: str
    product_id: str
    variants: dict[str, Variant]


Answer: TypeAlias = Order | User | Product | dict[str, str] | str | float
"""What a tool returns to the model."""


class Database(TypedDict):
    """The shop as it was before any ticket, each kind keyed by id."""

    users: dict[str, User]
    orders: dict[str, Order]
    products: dict[str, Product]


class Changes(TypedDict, total=False):
    """Whole records that differ from the database, keyed by id; a kind of which none differs is left out."""

    users: dict[str, User]
    orders: dict[str, Order]


class ShopError(Exception):
    """A call the shop refuses; the text is what the tool answers."""


class KeyReused(ShopError):
    """An idempotency key came back with another call."""


class NoTicket(ShopError):
    """A tool ran outside a ticket."""


class Shop(Protocol):
    """One ticket's view of the shop. A record handed out is the caller's own: altering it alters nothing else."""

    def order(self, order_id: str) -> Order: ...

    def user(self, user_id: str) -> User: ...

    def users(self) -> Iterable[tuple[str, User]]: ...

    def product(self, product_id: str) -> Product: ...

    def products(self) -> Iterable[Product]: ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a call leaves behind: the whole records to write, and what the tool answers."""

    answer: Order | User
    orders: Mapping[str, Order] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)


def not_found(kind: Kind, key: str) -> ShopError:
    """The refusal for an id that the shop does not know."""
    noun = kind.removesuffix("s")
    return ShopError(f"Error: {noun} {key!r} not found: check the id, or look it up by other details")


def differences(database: Database, orders: Mapping[str, Order], users: Mapping[str, User]) -> Changes:
    """Of the given records those that differ from the database, in the shape of a task's `expected_changes`."""
    changes = Changes()
    if changed_orders := {key: order for key, order in orders.items() if order != database["orders"].get(key)}:
        changes["orders"] = changed_orders
    if changed_users := {key: user for key, user in users.items() if user != database["users"].get(key)}:
        changes["users"] = changed_users
    return changes
