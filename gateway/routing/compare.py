"""
Two answers to one request meet here: what the primary said, and what a shadow (or the primary again) did.

A pair is noted with one append and judged with a hundred others, or when somebody looks: numpy costs by the call, and
the loop that judges is the loop that answers. Nothing here waits, and nothing knows where answers come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Kind
from gateway.routing.sketch import Sketch
from gateway.routing.tally import ColumnTally, Tolerance, WorstRow

__all__ = ["Comparer", "Comparison", "Pair"]

_IN_BULK = 128
"""Pairs; judging as many with one output column takes about a quarter of a millisecond."""
_ROWS_IN_BULK = 4096
_CLASSES = (Kind.CATEGORICAL, Kind.STRING, Kind.BOOLEAN)


@dataclass(slots=True)
class Pair:
    """One request with both answers. Plain rather than frozen: one is made per mirrored request."""

    primary: Rows
    shadow: Rows
    primary_s: float
    """Seconds from the line of its deployment to the answer."""
    shadow_s: float | None
    """None where that says nothing, because it did not go there alone."""
    request_id: str
    inputs: Rows | None
    """Only where they may be kept."""


class Comparison(msgspec.Struct):
    """What is known of one pair of deployments: plain counts, to be written down, sent and added up."""

    primary: str
    shadow: str
    primary_model: str = ""
    """Digest of its files: a deployment that has another one is another deployment."""
    shadow_model: str = ""
    requests: int = 0
    """That both answered."""
    rows: int = 0
    agreeing: int = 0
    """Rows of which every column agrees."""
    columns: dict[str, ColumnTally] = {}
    unmatched: dict[str, str] = {}
    """Output column → why it could not be compared."""
    only_primary_failed: int = 0
    only_shadow_failed: int = 0
    both_failed: int = 0
    primary_s: Sketch = msgspec.field(default_factory=Sketch)
    """Seconds from the line to the answer, of requests that went to the shadow alone."""
    shadow_s: Sketch = msgspec.field(default_factory=Sketch)
    slower_s: Sketch = msgspec.field(default_factory=Sketch)
    """The shadow's seconds less the primary's, request by request."""
    worst: list[WorstRow] = []

    def merge(self, other: Comparison, worst_rows: int) -> None:
        """Count what ``other`` has counted too."""
        for field in ("requests", "rows", "agreeing", "only_primary_failed", "only_shadow_failed", "both_failed"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        for name, tally in other.columns.items():
            known = self.columns.get(name)
            if known is None or known.kind != tally.kind:
                self.columns[name] = tally
            else:
                known.merge(tally)
        self.unmatched.update(other.unmatched)
        self.primary_s.merge(other.primary_s)
        self.shadow_s.merge(other.shadow_s)
        self.slower_s.merge(other.slower_s)
        self.worst = sorted([*self.worst, *other.worst], key=lambda row: row.rank, reverse=True)[:worst_rows]


class Comparer:
    """Judges the pairs of one primary and one shadow."""

    def __init__(
        self, primary: str, shadow: str, tolerance: Tolerance, worst_rows: int, models: tuple[str, str] = ("", "")
    ) -> None:
        self._tolerance, self._worst_rows = tolerance, worst_rows
        self._state = Comparison(primary, shadow, *models)
        self._noted: list[Pair] = []
        self._rows = 0

    @property
    def state(self) -> Comparison:
        """Everything so far."""
        self._settle()
        return self._state

    def note(self, pair: Pair) -> None:
        """Both have answered."""
        self._noted.append(pair)
        self._rows += pair.primary.count
        if len(self._noted) >= _IN_BULK or self._rows >= _ROWS_IN_BULK:
            self._settle()

    def failed(self, *, primary: bool, shadow: bool) -> None:
        """At least one of them has not."""
        if primary and shadow:
            self._state.both_failed += 1
        elif primary:
            self._state.only_primary_failed += 1
        else:
            self._state.only_shadow_failed += 1

    def keep(self, worst_rows: int, *, keep_inputs: bool) -> None:
        """From now on so many rows; their inputs only where that is said, and what was kept of them goes too."""
        self._settle()
        self._worst_rows = worst_rows
        del self._state.worst[worst_rows:]
        if not keep_inputs:
            for row in self._state.worst:
                row.inputs = None

    def _settle(self) -> None:
        noted, self._noted, self._rows = self._noted, [], 0
        if not noted:
            return
        state = self._state
        timed = [(pair.primary_s, pair.shadow_s) for pair in noted if pair.shadow_s is not None]
        if timed:
            primary_s, shadow_s = np.array(timed).T
            state.primary_s.add(primary_s)
            state.shadow_s.add(shadow_s)
            state.slower_s.add(shadow_s - primary_s)
        alike: dict[tuple[Layout, Layout], list[Pair]] = {}
        for pair in noted:
            if pair.primary.count != pair.shadow.count:
                state.only_shadow_failed += 1
                continue
            alike.setdefault((pair.primary.layout, pair.shadow.layout), []).append(pair)
        for (primary, shadow), pairs in alike.items():
            self._judge(primary, shadow, pairs)

    def _judge(self, primary: Layout, shadow: Layout, pairs: list[Pair]) -> None:
        """Pairs of one form."""
        ours, theirs = Rows.join([pair.primary for pair in pairs]), Rows.join([pair.shadow for pair in pairs])
        state = self._state
        state.requests += len(pairs)
        state.rows += ours.count
        flips = np.zeros(ours.count, dtype=np.int64)
        distance = np.zeros(ours.count)
        places = {column.name: place for place, column in enumerate(shadow.columns)}
        for place, column in enumerate(primary.columns):
            other = places.pop(column.name, None)
            problem = "the shadow does not answer it" if other is None else _problem(column, shadow.columns[other])
            if other is None or problem:
                state.unmatched.setdefault(column.name, problem)
                flips += 1  # an answer that is not there, or is something else, is none that agrees
                continue
            tally = state.columns.get(column.name)
            if tally is None:
                kind = "class" if column.kind in _CLASSES else "number"
                tally = state.columns[column.name] = ColumnTally(kind)  # type: ignore[arg-type]
            if tally.kind == "class":
                flips += tally.add_classes(ours.values(place), theirs.values(other))
            else:
                flipped, far = tally.add_numbers(
                    _numbers(ours, column), _numbers(theirs, shadow.columns[other]), self._tolerance
                )
                flips += flipped
                distance = np.maximum(distance, far)
        for name in places:
            state.unmatched.setdefault(name, "only the shadow answers it")
        disagree = np.flatnonzero((flips > 0) | (distance > 1.0))
        state.agreeing += ours.count - len(disagree)
        if self._worst_rows and len(disagree):
            self._keep_worst(pairs, disagree, flips, distance)

    def _keep_worst(
        self,
        pairs: list[Pair],
        disagree: np.ndarray[Any, Any],
        flips: np.ndarray[Any, Any],
        distance: np.ndarray[Any, Any],
    ) -> None:
        state = self._state
        found = [(int(flips[place]), float(distance[place]), int(place)) for place in disagree]
        found.sort(reverse=True)
        ends = np.cumsum([pair.primary.count for pair in pairs])
        kept = state.worst
        for flipped, far, place in found[: self._worst_rows]:
            if len(kept) >= self._worst_rows and (flipped, far) <= kept[-1].rank:
                break
            number = int(np.searchsorted(ends, place, side="right"))
            pair = pairs[number]
            row = place - int(ends[number]) + pair.primary.count
            kept.append(
                WorstRow(
                    flips=flipped,
                    distance=far,
                    request_id=pair.request_id,
                    row=row,
                    primary=_shown(pair.primary, row),
                    shadow=_shown(pair.shadow, row),
                    inputs=None if pair.inputs is None else _shown(pair.inputs, row),
                )
            )
            kept.sort(key=lambda each: each.rank, reverse=True)
            del kept[self._worst_rows :]


def _problem(primary: Column, shadow: Column) -> str:
    """Why two columns of one name cannot be compared, or nothing."""
    if primary.shape != shadow.shape:
        return f"shapes differ: {list(primary.shape)} and {list(shadow.shape)} per row"
    one, other = primary.kind in _CLASSES, shadow.kind in _CLASSES
    return "" if one == other else f"kinds differ: {primary.kind.value} and {shadow.kind.value}"


def _numbers(rows: Rows, column: Column) -> np.ndarray[Any, Any]:
    """A line per row."""
    values = rows.array()[f"c{rows.layout.fixed.index(column)}"].astype(np.float64)
    return values.reshape(rows.count, -1) if column.shape else values[:, None]


def _shown(rows: Rows, row: int) -> dict[str, Any]:
    one = rows.cut(row, row + 1)
    return {column.name: one.values(place)[0] for place, column in enumerate(rows.layout.columns)}
