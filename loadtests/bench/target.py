"""One thing to measure: a server, the request that it is asked, the generator that asks, and the core that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loadtests.bench.load import Load, Request

__all__ = ["Generator", "Target"]


class Generator(Protocol):
    """``wrk.run`` or ``h2load.run``."""

    def __call__(self, request: Request, *, connections: int, seconds: float, core: int) -> Load: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server and how it is loaded."""

    group: str
    """Servers of one group are compared with each other: ``rest``, ``grpc``, ``lm``, ``random-forest``."""
    server: str
    request: Request
    generate: Generator
    load_core: int
    roles: Callable[[], Mapping[str, Sequence[int]]]
    """Role → process ids, now: a worker that came back has another."""
