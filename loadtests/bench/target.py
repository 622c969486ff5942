"""One thing to measure: a server, the request that it is asked, the generator that asks, and the core that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loadtests.bench.load import Load, Request

__all__ = ["ON_ONE", "Generator", "Target"]

ON_ONE = "grpc on one connection"
"""Group of measurements with all calls on one connection; those of ``grpc`` have up to four on each."""


class Generator(Protocol):
    """``wrk.run`` or ``h2load.run``."""

    def __call__(self, request: Request, *, connections: int, seconds: float, core: int) -> Load: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server and how it is loaded."""

    group: str
    """Servers of one group are compared with each other: ``rest``, ``grpc``, ``lm``, …"""
    server: str
    request: Request
    generate: Generator
    load_core: int
    roles: Callable[[], Mapping[str, Sequence[int]]]
    """Role → process ids, now: a worker that came back has another."""
