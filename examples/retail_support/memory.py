"""One ticket's copy of the shop in memory: what the recordings are planned on, and the rules tested on.

Apart from the SQLite store, the other adapter of the `Shop` port, because it keeps nothing and needs no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

from .lookups import LOOKUPS
from .records import Answer, Change, Changes, Database, Order, Product, ShopError, User, differences, not_found
from .shop import CHANGES


class MemoryShop:
    """An untouched database with one ticket's changes over it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: dict[str, Order] = {}
        self._users: dict[str, User] = {}

    def order(self, order_id: str) -> Order:
        found = self._orders.get(order_id) or self._database["orders"].get(order_id)
        if found is None:
            raise not_found("orders", order_id)
        return deepcopy(found)

    def user(self, user_id: str) -> User:
        found = self._users.get(user_id) or self._database["users"].get(user_id)
        if found is None:
            raise not_found("users", user_id)
        return deepcopy(found)

    def users(self) -> Iterable[tuple[str, User]]:
        return ((user_id, self.user(user_id)) for user_id in self._database["users"])

    def product(self, product_id: str) -> Product:
        found = self._database["products"].get(product_id)
        if found is None:
            raise not_found("products", product_id)
        return deepcopy(found)

    def products(self) -> Iterable[Product]:
        return deepcopy(list(self._database["products"].values()))

    def call(self, tool: str, args: Mapping[str, object]) -> Answer:
        """Do what the tool does. Raises ShopError when it is refused; then nothing has changed."""
        if lookup := LOOKUPS.get(tool):
            return lookup(self, **args)
        if rule := CHANGES.get(tool):
            return self._write(rule(self, **args))
        raise ShopError(f"Error: no tool {tool!r}: use one of {', '.join(sorted([*LOOKUPS, *CHANGES]))}")

    def changes(self) -> Changes:
        """The records that differ from the database."""
        return differences(self._database, self._orders, self._users)

    def _write(self, change: Change) -> Answer:
        self._orders |= change.orders
        self._users |= change.users
        return deepcopy(change.answer)
