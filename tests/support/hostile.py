"""An edge for those who mean no good: real codecs, real rows, and a list of what must never be in its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from structlog.testing import capture_logs

from gateway.core.request import Answer, Received
from gateway.features.assemble import Assembler
from tests.support.edge_service import PRICE, FakeCore, rows_of

__all__ = ["AssemblingCore", "no_crash"]


@dataclass
class AssemblingCore(FakeCore):
    """Makes the rows that the model would get, and answers each with a price."""

    async def __call__(self, request: Received, /) -> Answer:
        await super().__call__(request)
        rows = Assembler(self.served_by.signature, 1000)(self.payloads.pop())
        return Answer(self.served_by, rows_of([PRICE], *[(326.0,)] * rows.count))


@contextmanager
def no_crash() -> Iterator[None]:
    """A refusal is an answer; what escapes a handler is a defect, whatever was sent."""
    with capture_logs() as logs:
        yield
    crashes = [event for event in logs if event["log_level"] in ("error", "critical") or "exc_info" in event]
    assert crashes == []
