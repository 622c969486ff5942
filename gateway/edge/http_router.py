"""
Which route answers a path. Pure: no I/O, no clock.

Every route is also reachable under ``/api/v1/endpoint/<endpoint>`` and ``/api/v1/service/<endpoint>``, the bases of
Azure ML's Kubernetes endpoints; the name is then in the captures as ``endpoint``. Whole paths are found in a dict;
patterns in a tree of segments in which a literal goes before a ``{name}``. What was found once is remembered: clients
ask for few paths, but they may make up any number, so this is bounded in length and number, and only successes count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.core.errors import MethodNotAllowed, NotFound
from gateway.edge.http_route import EncodeError, Route

__all__ = ["HttpRouter"]

_BASES = ("/api/v1/endpoint/", "/api/v1/service/")
_NO_CAPTURES: Mapping[str, str] = {}
_MAX_REMEMBERED = 1024
"""Paths; when there are more, all are forgotten, which costs each of them one more search."""
_MAX_LENGTH = 256
"""Characters of a path that is remembered."""


@dataclass(slots=True)
class _Node:
    routes: dict[str, Route] = field(default_factory=dict)
    """Method → route, of the path that ends here."""
    literals: dict[str, _Node] = field(default_factory=dict)
    captures: list[tuple[str, _Node]] = field(default_factory=list)


class HttpRouter:
    """Made once from all routes; two routes for one method and path are a defect and refused."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._root = _Node()
        self._families: dict[str, EncodeError] = {}
        self.remembered: dict[tuple[str, str], tuple[Route, Mapping[str, str]]] = {}
        """What ``resolve`` has found lately, by method and path; it need not be asked for these."""
        for route in routes:
            self._add(route)
            self._families.setdefault(_first_segment(route.pattern), route.encode_error)
        self._fallback = next(iter(self._families.values()))

    def resolve(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Raises ``NotFound``, or ``MethodNotAllowed`` with the methods that the path has. HEAD is answered as GET."""
        asked = method, path
        found = self.remembered.get(asked)
        if found is None:
            found = self._search(method, path)
            if len(path) <= _MAX_LENGTH:
                if len(self.remembered) >= _MAX_REMEMBERED:
                    self.remembered.clear()
                self.remembered[asked] = found
        return found

    def encode_error_for(self, path: str) -> EncodeError:
        """How clients of the family that the path seems to belong to read errors."""
        return self._families.get(_first_segment(_split_base(path)[1]), self._fallback)

    def _search(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        routes = self._exact.get(path)
        captures = _NO_CAPTURES
        if routes is None:
            base, path = _split_base(path)
            routes = self._exact.get(path)
            if routes is None:
                found: dict[str, str] = {}
                routes = _find(self._root, path.split("/")[1:], 0, found)
                captures = found
            if base:
                captures = {**captures, "endpoint": base}
        if not routes:
            raise NotFound(f"no route {path[:200]}")
        route = routes.get(method) or (routes.get("GET") if method == "HEAD" else None)
        if route is None:
            raise MethodNotAllowed(f"{path[:200]} has no {method[:20]}", _allowed(routes))
        return route, captures

    def _add(self, route: Route) -> None:
        if "{" not in route.pattern:
            routes = self._exact.setdefault(route.pattern, {})
        else:
            node = self._root
            for segment in route.pattern.split("/")[1:]:
                if segment.startswith("{"):
                    name = segment[1:-1]
                    child = next((child for known, child in node.captures if known == name), None)
                    if child is None:
                        child = _Node()
                        node.captures.append((name, child))
                    node = child
                else:
                    node = node.literals.setdefault(segment, _Node())
            routes = node.routes
        if route.method in routes:
            raise ValueError(f"two routes for {route.method} {route.pattern}")
        routes[route.method] = route


def _find(node: _Node, segments: list[str], at: int, captures: dict[str, str]) -> dict[str, Route] | None:
    if at == len(segments):
        return node.routes or None
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None and (found := _find(literal, segments, at + 1, captures)):
        return found
    if segment:
        for name, child in node.captures:
            if found := _find(child, segments, at + 1, captures):
                captures[name] = segment
                return found
    return None


def _split_base(path: str) -> tuple[str, str]:
    """The endpoint that the path's base names, or empty, and the path without that base."""
    for base in _BASES:
        if path.startswith(base):
            endpoint, _, rest = path[len(base) :].partition("/")
            if endpoint:
                return endpoint, "/" + rest
    return "", path


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1] if "/" in path else ""


def _allowed(routes: Mapping[str, Route]) -> tuple[str, ...]:
    head = {"HEAD"} if "GET" in routes else set()
    return tuple(sorted({*routes, *head, "OPTIONS"}))
