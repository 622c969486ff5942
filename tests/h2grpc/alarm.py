"""A bound on one test that holds whatever its loop waits for. Import the fixture where it is wanted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

__all__ = ["alarm"]

SECONDS = 60


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"the test took more than {SECONDS} s")
