"""Which plain route a request is for: found by the parts of its path, not by asking one route after another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from starlette.routing import Route


@dataclass(slots=True)
class _Node:
    """What may follow one part of a path."""

    parts: "dict[str, _Node]" = field(default_factory=dict)
    named: "_Node | None" = None
    """Behind a parameter, where one may stand here."""
    routes: dict[str, tuple[Route, Sequence[str]]] = field(default_factory=dict)
    """By method, with the parameters' names."""


class RouteTable:
    """Routes whose parameters are whole parts of their paths. A part that is spelled out goes before a parameter."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for part in route.path.split("/"):
                node = _below(node, part)
            names = [part.strip("{}") for part in route.path.split("/") if part.startswith("{")]
            node.routes |= dict.fromkeys(route.methods or (), (route, names))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route, and its parameters."""
        node, values = self._root, list[str]()
        for part in path.split("/"):
            below = node.parts.get(part)
            if below is None:
                if node.named is None or not part:
                    return None
                values.append(part)
                below = node.named
            node = below
        if method not in node.routes:
            return None
        route, names = node.routes[method]
        return route, dict(zip(names, values, strict=True))


def _below(node: _Node, part: str) -> _Node:
    if not part.startswith("{"):
        return node.parts.setdefault(part, _Node())
    node.named = node.named or _Node()
    return node.named
