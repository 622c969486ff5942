"""
Files of features, CSV or Parquet, as rows of a view, a batch at a time.

Columns are found by name: the view's entities and features, and the event time. What a cell means follows from the
view, so a CSV file and a Parquet file of the same table give the same rows. CSV cannot tell an empty text from none:
an empty cell is null, for every type; where that matters, take Parquet. A cell that cannot be read is a reject with
its row, counted from 1 without the header, and its column; the other rows are not held up by it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from feature_cache.cells import EXACT, cell_parser
from feature_cache.datatype import DataType, datatype
from feature_cache.errors import FeatureError
from feature_cache.schema import FeatureView
from feature_cache.writer import NewRow

__all__ = ["BadTable", "Batch", "Reject", "Table", "open_table"]

EVENT_TIME_COLUMNS = ("event_time", "event_timestamp")
"""Looked for when no column is named; the second is Feast's word."""


class BadTable(FeatureError):
    """The file as a whole cannot be read: its kind, a column that is not there, times without a zone."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that cannot be loaded."""

    row: int
    """Counted from 1, without the header."""
    problem: str
    """Names the column and what was expected."""


@dataclass(slots=True)
class Batch:
    """Rows one after the other in the file."""

    first: int
    """Number of the first row, from 1."""
    end: int
    """Number of the row after the last, rejects included."""
    position: int
    """How far into the file this is, in the unit of ``Table.size``."""
    rows: list[tuple[int, NewRow]] = field(default_factory=list)
    """With their numbers."""
    rejects: list[Reject] = field(default_factory=list)


class Table(Protocol):
    """An opened file."""

    @property
    def size(self) -> int:
        """For a progress bar: rows where the file tells, else bytes."""
        ...

    @property
    def ignored(self) -> Sequence[str]:
        """Columns that the view does not have."""
        ...

    @property
    def has_time(self) -> bool:
        """Whether it says when its rows were true."""
        ...

    def batches(self, size: int, skip: int = 0) -> Iterator[Batch]:
        """All rows but the first ``skip``. Raises ``BadTable`` when the file is damaged."""
        ...


def open_table(
    path: Path, view: FeatureView, *, now_us: int, event_time: str | None = None, assume_utc: bool = False
) -> Table:
    """
    ``now_us`` is the event time of rows where the file has no column for it; ``assume_utc`` takes times without a
    zone for UTC. Raises ``BadTable``.
    """
    if not path.is_file():
        raise BadTable(f"{path}: no such file")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _Parquet(path, view, now_us, event_time, assume_utc)
    if path.suffix.lower() == ".csv":
        return _Csv(path, view, now_us, event_time, assume_utc)
    raise BadTable(f"{path}: expected a file that ends in .csv or .parquet")


class _Columns:
    """Where the view's columns are among the file's."""

    def __init__(self, path: Path, view: FeatureView, names: Sequence[str], event_time: str | None) -> None:
        places: dict[str, int] = {}
        for place, name in enumerate(names):
            if name in places:
                raise BadTable(f'{path}: column "{name}" is there twice')
            places[name] = place
        wanted: list[tuple[str, str, DataType]] = [("entity", each.name, each.datatype) for each in view.entities]
        wanted += [("feature", each.name, each.datatype) for each in view.features]
        taken = {name for _, name, _ in wanted}
        if event_time is None:
            event_time = next((name for name in EVENT_TIME_COLUMNS if name in places and name not in taken), None)
        if event_time is not None:
            wanted.append(("event time", event_time, datatype("timestamp")))
        if absent := [f'"{name}" ({role})' for role, name, _ in wanted if name not in places]:
            raise BadTable(
                f'{path}: view "{view.name}" expects the column{"s" if len(absent) > 1 else ""} {", ".join(absent)}'
            )
        self.wanted = wanted
        self.names = [name for _, name, _ in wanted]
        self.places = [places[name] for name in self.names]
        self.entities = len(view.entities)
        self.has_time = event_time is not None
        self.ignored = tuple(name for name in names if name not in self.names)

    def row(self, values: Sequence[Any], now_us: int) -> NewRow:
        """Of values in the order of ``wanted``. Raises ``ValueError`` for a row without event time."""
        time = now_us
        if self.has_time:
            *values, time = values
            if time is None:
                raise ValueError(f'event time "{self.names[-1]}": expected a time, got null')
        for place in range(self.entities):
            if values[place] is None:
                raise ValueError(f'entity "{self.names[place]}": expected a value, got null')
        return NewRow(values[: self.entities], values[self.entities :], time)


class _Csv:
    def __init__(self, path: Path, view: FeatureView, now_us: int, event_time: str | None, assume_utc: bool) -> None:
        self._path, self._now_us = path, now_us
        self.size = path.stat().st_size
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header = next(csv.reader(file), None)
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise BadTable(f"{path}: expected CSV in UTF-8: {error}") from error
        if header is None:
            raise BadTable(f"{path}: expected a line with the names of the columns")
        self._width = len(header)
        self._columns = _Columns(path, view, header, event_time)
        self.ignored, self.has_time = self._columns.ignored, self._columns.has_time
        self._parsers = [cell_parser(kind, assume_utc) for _, _, kind in self._columns.wanted]

    def batches(self, size: int, skip: int = 0) -> Iterator[Batch]:
        try:
            with self._path.open("rb") as file, TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                lines = csv.reader(text)
                next(lines)
                # A line without anything is none, as for every reader of CSV.
                cells = (line for line in lines if line)
                done = sum(1 for _ in islice(cells, skip))
                while some := list(islice(cells, size)):
                    yield self._batch(some, done, file.tell())
                    done += len(some)
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise BadTable(f"{self._path}: expected CSV in UTF-8: {error}") from error

    def _batch(self, lines: list[list[str]], done: int, position: int) -> Batch:
        batch = Batch(done + 1, done + 1 + len(lines), position)
        for number, line in enumerate(lines, done + 1):
            try:
                batch.rows.append((number, self._row(line)))
            except ValueError as error:
                batch.rejects.append(Reject(number, str(error)))
        return batch

    def _row(self, line: list[str]) -> NewRow:
        if len(line) != self._width:
            raise ValueError(f"expected {self._width} cells, got {len(line)}")
        columns, values = self._columns, []
        for place, parse, (role, name, _) in zip(columns.places, self._parsers, columns.wanted, strict=True):
            try:
                values.append(parse(line[place]))
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(f'{role} "{name}": {error}') from None
        return columns.row(values, self._now_us)


class _Parquet:
    def __init__(self, path: Path, view: FeatureView, now_us: int, event_time: str | None, assume_utc: bool) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise BadTable(f"{path}: reading Parquet needs pyarrow: pip install 'lockgate[parquet]'") from None
        self._arrow, self._path, self._now_us = pyarrow, path, now_us
        try:
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        except (pyarrow.ArrowException, OSError) as error:
            raise BadTable(f"{path}: expected Parquet: {error}") from error
        schema = self._file.schema_arrow
        self.size: int = self._file.metadata.num_rows
        self._columns = _Columns(path, view, schema.names, event_time)
        self.ignored, self.has_time = self._columns.ignored, self._columns.has_time
        self._readers = [
            self._reader(kind, schema.field(name).type, f'{path}: column "{name}"', assume_utc)
            for _, name, kind in self._columns.wanted
        ]

    def batches(self, size: int, skip: int = 0) -> Iterator[Batch]:
        done = 0
        try:
            for part in self._file.iter_batches(batch_size=size, columns=self._columns.names):
                ahead = min(max(skip - done, 0), part.num_rows)
                done += ahead
                if ahead == part.num_rows:
                    continue
                rest = part.slice(ahead)
                yield self._batch(rest, done)
                done += rest.num_rows
        except (self._arrow.ArrowException, OSError) as error:
            raise BadTable(f"{self._path}: cannot be read behind row {done}: {error}") from error

    def _batch(self, part: Any, done: int) -> Batch:
        batch = Batch(done + 1, done + 1 + part.num_rows, done + part.num_rows)
        columns = [read(part.column(name)) for read, name in zip(self._readers, self._columns.names, strict=True)]
        for number, values in enumerate(zip(*columns, strict=True), done + 1):
            try:
                batch.rows.append((number, self._columns.row(values, self._now_us)))
            except ValueError as error:
                batch.rejects.append(Reject(number, str(error)))
        return batch

    def _reader(self, kind: DataType, stored: Any, where: str, assume_utc: bool) -> Callable[[Any], list[Any]]:
        types = self._arrow.types
        if kind.name == "timestamp" and (types.is_timestamp(stored) or types.is_date(stored)):
            if getattr(stored, "tz", None) is None and not assume_utc:
                raise BadTable(f"{where}: expected times with a time zone; --utc takes these for UTC")
            moment, number = self._arrow.timestamp("us"), self._arrow.int64()
            return lambda column: column.cast(moment, safe=False).cast(number).to_pylist()
        if kind.name in ("int64", "int32", "timestamp") and types.is_floating(stored):
            return lambda column: [_whole(value) for value in column.to_pylist()]
        return lambda column: column.to_pylist()


def _whole(value: float | None) -> object:
    """Columns of whole numbers with gaps become floats with NaN in pandas: undo that, and nothing else."""
    if value is None or math.isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= EXACT else value
