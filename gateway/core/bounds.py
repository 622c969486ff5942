"""
How far a number of the configuration may go.

Every number has an upper bound, so far out that nobody who means it comes near, and near enough that whatever waits,
counts or takes memory by it can: a thread waits for 292 years at most, a length on the wire has 32 bits, and what is
not a number, or without end, compares with nothing. Where a narrower bound makes sense the class names that instead.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "DAY_MS",
    "DAY_S",
    "INT32",
    "MEMORY_MB",
    "MOST_BATCH",
    "MOST_CALLS",
    "MOST_PROCESSES",
    "MOST_ROWS",
    "TIB",
    "expect_within",
]

DAY_S: Final = 86_400
DAY_MS: Final = 1000 * DAY_S
"""Of every wait and every pause."""
INT32: Final = 2**31 - 1
"""Bytes of one message: what gRPC and protocol buffers can say."""
TIB: Final = 2**40
"""Bytes of many messages together."""
MEMORY_MB: Final = 16 * 2**20
"""Megabytes of one process: 16 TiB."""
MOST_BATCH: Final = 1_000_000
"""Rows scored in one go."""
MOST_ROWS: Final = 10_000_000
"""Rows, or entries, that are kept or wait at a time."""
MOST_CALLS: Final = 1_000_000
"""Calls, connections or failures at a time."""
MOST_PROCESSES: Final = 1024
"""Processes, threads or connections that one setting starts."""


def expect_within(settings: object, least: int, most: int, *names: str, is_above: bool = False) -> None:
    """
    Each of the attributes is from ``least`` to ``most``, or None where it may be. ``is_above``: more than ``least``.

    Raises ``ValueError`` that names the attribute, what it is and what was expected.
    """
    for name in names:
        value = getattr(settings, name)
        if value is None or (least < value <= most if is_above else least <= value <= most):
            continue
        expected = f"more than {least}, at most {most}" if is_above else f"{least} to {most}"
        raise ValueError(f"{name}: expected {expected}, got {value}")
