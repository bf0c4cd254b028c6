"""The nine calls that change nothing: look-ups over one ticket's view of the shop, and three that need no shop at all.

Apart from the rules that change something (shop): these need no approval and may run again at any time.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

from .records import Answer, Order, Product, Shop, ShopError, User

MAX_EXPRESSION_CHARS: Final = 200
"""Bounds the depth and the size of what a model can ask to be computed."""

_ARITHMETIC: Final = re.compile(r"[0-9+\-*/(). ]+")
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def find_user_id_by_email(shop: Shop, email: str) -> str:
    """The id of the customer with this address, upper and lower case alike."""
    for user_id, user in shop.users():
        if user["email"].lower() == email.lower():
            return user_id
    raise ShopError(f"Error: no user has the email {email!r}: ask for the name and zip code")


def find_user_id_by_name_zip(shop: Shop, first_name: str, last_name: str, zip: str) -> str:
    """The id of the customer with this name at this zip code, upper and lower case alike."""
    wanted = (first_name.lower(), last_name.lower(), zip)
    for user_id, user in shop.users():
        name = user["name"]
        if (name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"]) == wanted:
            return user_id
    raise ShopError(f"Error: no user {first_name!r} {last_name!r} at zip code {zip!r}: check the spelling")


def get_user_details(shop: Shop, user_id: str) -> User:
    return shop.user(user_id)


def get_order_details(shop: Shop, order_id: str) -> Order:
    return shop.order(order_id)


def get_product_details(shop: Shop, product_id: str) -> Product:
    return shop.product(product_id)


def list_all_product_types(shop: Shop) -> dict[str, str]:
    """Product ids by the product's name, in alphabetical order."""
    return dict(sorted((product["name"], product["product_id"]) for product in shop.products()))


def calculate(shop: Shop, expression: str) -> float:
    """The value of a sum, rounded to cents."""
    del shop  # same shape as every look-up; arithmetic needs no records
    if len(expression) > MAX_EXPRESSION_CHARS or not _ARITHMETIC.fullmatch(expression):
        raise ShopError(
            f"Error: cannot calculate {expression[:MAX_EXPRESSION_CHARS]!r}: use numbers, + - * /, parentheses"
            f" and spaces, at most {MAX_EXPRESSION_CHARS} characters"
        )
    try:
        return round(_value(ast.parse(expression.strip(), mode="eval").body), 2)
    except (SyntaxError, ArithmeticError) as error:
        raise ShopError(f"Error: cannot calculate {expression!r}: {error}") from None


def think(shop: Shop, thought: str) -> str:
    """The thought stands in the call itself, and so in the history; there is nothing to answer."""
    del shop, thought
    return ""


def transfer_to_human_agents(shop: Shop, summary: str) -> str:
    """The summary stands in the call itself, where the human agent reads it."""
    del shop, summary
    return "Transfer successful"


LOOKUPS: Final[Mapping[str, Callable[..., Answer]]] = {
    lookup.__name__: lookup
    for lookup in (
        calculate,
        find_user_id_by_email,
        find_user_id_by_name_zip,
        get_order_details,
        get_product_details,
        get_user_details,
        list_all_product_types,
        think,
        transfer_to_human_agents,
    )
}
"""The calls that change nothing, by the name of their tool."""


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case _:
            raise SyntaxError("only + - * / and parentheses are known")
