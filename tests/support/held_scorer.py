"""Workers under a test's control: every batch is held until the test answers it, fails it or loses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.deadline import Deadline
from gateway.core.errors import GatewayError
from gateway.core.rows import Layout, Rows
from gateway.core.scoring import Outcome, Scored
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME

__all__ = ["LAYOUT", "OTHER_LAYOUT", "HeldBatch", "HeldScorer", "numbers", "rows_of"]

LAYOUT = Layout.of((Column(name="x", kind=Kind.INTEGER, datatype=BY_NAME["INT64"]),))
OTHER_LAYOUT = Layout.of((Column(name="y", kind=Kind.INTEGER, datatype=BY_NAME["INT64"]),))


def rows_of(*values: int, layout: Layout = LAYOUT) -> Rows:
    """One row per number."""
    return Rows(layout, len(values), b"".join(value.to_bytes(8, "little", signed=True) for value in values))


def numbers(rows: Rows) -> list[int]:
    """What ``rows_of`` was given."""
    values: list[int] = rows.values(0)
    return values


@dataclass(slots=True, eq=False)
class HeldBatch:
    rows: Rows
    deadline: Deadline
    avoid: str
    on_end: Callable[[Outcome], None]
    worker: str

    @property
    def values(self) -> list[int]:
        return numbers(self.rows)


class HeldScorer:
    """``Scorer`` with ``places`` places. The model answers every row with its number plus 1000."""

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self.spare = 0
        """Of a worker that computes: places for full batches only."""
        self.is_ready = True
        self.refusal: BaseException | None = None
        """What ``send`` raises."""
        self.held: list[HeldBatch] = []
        self.seen: list[list[int]] = []
        """The values of every batch that ever came, in order."""
        self._callbacks: list[Callable[[], None]] = []
        self._count = 0

    def on_place(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def off_place(self, callback: Callable[[], None]) -> None:
        self._callbacks.remove(callback)

    def send(self, rows: Rows, deadline: Deadline, on_end: Callable[[Outcome], None], avoid: str = "") -> None:
        assert self.places + self.spare > 0, "dispatch sent a batch without a place"
        if self.refusal is not None:
            raise self.refusal
        self.places -= 1
        self._count += 1
        batch = HeldBatch(rows, deadline, avoid, on_end, f"w{self._count}")
        self.held.append(batch)
        self.seen.append(batch.values)

    def answer(self, batch: HeldBatch | None = None) -> None:
        batch = batch or self.held[0]
        self._end(batch, Scored(rows_of(*[value + 1000 for value in batch.values]), 0.25))

    def answer_with(self, rows: Rows) -> None:
        batch = self.held[0]
        self._end(batch, Scored(rows, 0.25))

    def fail(self, error: GatewayError, batch: HeldBatch | None = None) -> None:
        self._end(batch or self.held[0], error)

    def change(self, *, places: int | None = None, is_ready: bool | None = None) -> None:
        """Workers came or went."""
        self.places = self.places if places is None else places
        self.is_ready = self.is_ready if is_ready is None else is_ready
        self._notify()

    def _end(self, batch: HeldBatch, outcome: Outcome) -> None:
        self.held.remove(batch)
        self.places += 1
        batch.on_end(outcome)
        self._notify()

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()
