"""
Completes rows: what the client sent, and for the rest what the feature store has for the keys that it sent.

A single row whose features are in the local copy, which is what the latency is about, never waits: there is no turn of
the loop between the request and its row. Everything else is the same in bulk: one read for all rows and views, with
the request's deadline, and then the views' policies. A value that was sent is never looked at by a policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from feature_cache.errors import BadEntity, CorruptValue, NotHeld, StaleFeature
from feature_cache.row import Row, RowState
from feature_cache.store import FeatureStore
from gateway.core.deadline import Deadline
from gateway.core.errors import BadFeatures, FeaturesUnavailable, GatewayError, InvalidInput
from gateway.core.payload import Payload, Records, Table, Tensors
from gateway.core.rows import Rows
from gateway.features.assemble import Assembler
from gateway.features.bind import Binding
from gateway.features.key_values import KeyReader, scalar_of
from gateway.features.open_store import Readers
from gateway.features.plan import REMEMBERED, Ask, Fill, FillPlan, MissingColumn
from gateway.features.quick import Quick, are_finite, quick_row
from gateway.features.sent_rows import named_rows, table_rows
from gateway.features.stored import StoredConverter
from gateway.features.values import Converter

__all__ = ["Completer"]

_PLAIN_KEYS = (int, str)


class Completer:
    """Of one deployment. ``assembler`` makes rows of the model's own signature; ``readers`` are those of ``store``."""

    def __init__(
        self,
        binding: Binding,
        assembler: Assembler,
        store: FeatureStore,
        *,
        readers: Readers | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._assembler, self._store, self._wall_clock = assembler, store, wall_clock
        self._readers = readers if readers is not None else Readers()
        self._plan = FillPlan(binding)
        self._columns = binding.model.inputs
        self._stored = tuple(
            StoredConverter(column, binding.inputs[column.name].source) if column.name in binding.inputs else None
            for column in self._columns
        )
        self._keys = {name: KeyReader(column) for name, column in binding.entities.items()}
        self._quick: dict[tuple[str, ...], Quick | None] = {}

    def at_once(self, payload: Payload) -> Rows | None:
        """The row of a request that is as simple as most are; None for any other, which has to be awaited."""
        row: Sequence[Any]
        if isinstance(payload, Records):
            if len(payload.rows) != 1:
                return None
            record = payload.rows[0]
            names, row = tuple(record), tuple(record.values())
        elif isinstance(payload, Tensors):
            names, row = tuple([tensor.name for tensor in payload.tensors]), [*map(scalar_of, payload.tensors)]
        elif isinstance(payload, Table) and payload.columns is not None and len(payload.rows) == 1:
            names, row = tuple(payload.columns), payload.rows[0]
            if payload.is_text or type(row) is not list or len(row) != len(names):
                return None
        else:
            return None
        try:
            quick = self._quick.get(names)
        except TypeError:  # something else than names; the careful way says so
            return None
        return None if quick is None else quick(row)

    def _fill(self, names: tuple[str, ...]) -> Fill:
        """Raises ``InvalidInput``."""
        fill = self._plan.fill(names)
        if names not in self._quick:
            if len(self._quick) >= REMEMBERED:
                self._quick.clear()
            self._quick[names] = quick_row(fill, self._assembler, self._store, self._wall_clock)
        return fill

    async def __call__(self, payload: Payload, deadline: Deadline) -> Rows:
        """
        The rows of a request, complete.

        Raises ``InvalidInput`` for what the client can mend: a missing column or key, an entity without features;
        ``FeaturesUnavailable`` and ``BadFeatures`` for what it cannot.
        """
        with self._readers:
            return await self._complete(payload, deadline)

    async def _complete(self, payload: Payload, deadline: Deadline) -> Rows:
        if isinstance(payload, Tensors):
            return await self._from_tensors(payload, deadline)
        if isinstance(payload, Records):
            records = payload.rows
            names = tuple(records[0]) if records else ()
            if len(records) > 1 and any(tuple(record) != names for record in records):
                return await self._from_mixed(records, deadline)
            rows: Sequence[Sequence[Any]] = [tuple(record.values()) for record in records]
        elif isinstance(payload, Table):
            names, rows = table_rows(payload, self._plan, self._assembler)
        else:
            names, rows = named_rows(payload, self._plan)
        self._assembler.check_count(len(rows))
        try:
            fill = self._fill(names)
        except MissingColumn as error:
            raise error.in_row(0) if isinstance(payload, Records) else error from None
        if not fill.asks:
            return self._assembler(payload)
        is_text = isinstance(payload, Table) and payload.is_text
        if len(rows) == 1:
            values = await self._one(names, fill, rows[0], deadline, is_text=is_text)
            if (done := self._pack(fill, values)) is not None:
                return done
            completed = [values]
        else:
            completed = await self._many(names, fill, rows, deadline, is_text=is_text)
        return self._assembler.rows(completed, self._converters(fill, is_text=is_text))

    # One row

    async def _one(
        self, names: tuple[str, ...], fill: Fill, row: Sequence[Any], deadline: Deadline, *, is_text: bool
    ) -> tuple[Any, ...]:
        """The model's values of one row."""
        store, asks, flat = self._store, fill.asks, tuple(row)
        asked = []
        for ask in asks:
            entity = [row[place] for place in ask.keys]
            for i, value in enumerate(entity):
                if is_text or type(value) not in _PLAIN_KEYS:
                    entity[i] = self._keys[names[ask.keys[i]]].one(value, is_text=is_text)
            asked.append((ask.view.name, (entity,)))
        try:
            if len(asked) == 1:
                found = [await store.read(*asked[0], deadline)]
            else:
                found = await store.read_many(asked, deadline)
        except BadEntity as error:
            raise InvalidInput(f"row 0: {error}") from error
        now_us = int(self._wall_clock() * 1_000_000)
        for ask, rows in zip(asks, found, strict=True):
            flat += self._resolve(ask, rows[0], now_us, 0)
        return fill.pick(flat)

    def _pack(self, fill: Fill, values: tuple[Any, ...]) -> Rows | None:
        """The row, when there is nothing remarkable about it."""
        if fill.may_be_nan is not None and not are_finite(fill.may_be_nan, values):
            return None
        return self._assembler.one(values)

    # Many rows

    async def _many(
        self,
        names: tuple[str, ...],
        fill: Fill,
        rows: Sequence[Sequence[Any]],
        deadline: Deadline,
        *,
        is_text: bool,
    ) -> list[tuple[Any, ...]]:
        """The model's values of rows with the same columns."""
        asked = []
        for ask in fill.asks:
            keys = [self._keys[names[place]].many([row[place] for row in rows], is_text=is_text) for place in ask.keys]
            asked.append((ask.view.name, list(zip(*keys, strict=True))))
        found = await self._read(fill.asks, asked, deadline)
        return [fill.pick(sum(parts, tuple(row))) for row, *parts in zip(rows, *found, strict=True)]

    async def _read(
        self, asks: Sequence[Ask], asked: Sequence[tuple[str, Sequence[Sequence[Any]]]], deadline: Deadline
    ) -> list[list[tuple[Any, ...]]]:
        """Of each view the values of each row, as its policy wants them."""
        try:
            answers = await self._store.read_many(asked, deadline)
        except BadEntity as error:
            raise InvalidInput(str(error)) from error
        now_us = int(self._wall_clock() * 1_000_000)
        return [
            [self._resolve(ask, row, now_us, number) for number, row in enumerate(rows)]
            for ask, rows in zip(asks, answers, strict=True)
        ]

    async def _from_mixed(self, records: list[dict[str, Any]], deadline: Deadline) -> Rows:
        """Records that do not all have the same columns: each is completed as if it were alone, but read together."""
        self._assembler.check_count(len(records))
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, record in enumerate(records):
            groups.setdefault(tuple(record), []).append(number)
        fills, asked, asks = {}, [], []
        for names, numbers in groups.items():
            try:
                fill = fills[names] = self._plan.fill(names)
            except MissingColumn as error:
                raise error.in_row(numbers[0]) from None
            for ask in fill.asks:
                keys = [
                    [self._keys[names[place]].one(records[number][names[place]], number) for number in numbers]
                    for place in ask.keys
                ]
                asks.append(ask)
                asked.append((ask.view.name, list(zip(*keys, strict=True))))
        found = iter(await self._read(asks, asked, deadline))
        completed: list[tuple[Any, ...]] = [()] * len(records)
        for names, numbers in groups.items():
            fill = fills[names]
            parts = [next(found) for _ in fill.asks]
            for i, number in enumerate(numbers):
                row = tuple(records[number].values())
                completed[number] = fill.pick(sum((part[i] for part in parts), row))
        return self._assembler.rows(completed, self._assembler.converters(is_text=False))

    def _resolve(self, ask: Ask, row: Row, now_us: int, number: int) -> tuple[Any, ...]:
        if (values := ask.policy.plain(row, now_us)) is not None:
            return values
        try:
            resolved = ask.policy.resolve(row, now_us)
        except (NotHeld, CorruptValue) as error:
            raise _told(error, row, number) from error
        self._store.counters.stale += resolved.stale
        return resolved.values

    def _converters(self, fill: Fill, *, is_text: bool) -> list[Converter]:
        sent = self._assembler.converters(is_text=is_text)
        return [
            stored if is_read and stored is not None else converter
            for converter, stored, is_read in zip(sent, self._stored, fill.is_read, strict=True)
        ]

    # Tensors

    async def _from_tensors(self, payload: Tensors, deadline: Deadline) -> Rows:
        tensors = payload.tensors
        names = tuple([tensor.name for tensor in tensors])
        fill = self._fill(names)
        if not fill.asks:
            return self._assembler(payload)
        scalars = [scalar_of(tensor) for tensor in tensors]
        if all(scalar is not None for scalar in scalars):
            values = await self._one(names, fill, scalars, deadline, is_text=False)
            if (done := self._pack(fill, values)) is not None:
                return done
        keys = {place for ask in fill.asks for place in ask.keys}
        count = self._assembler.count([tensors[place] for place in {*keys, *fill.sent} if place >= 0])
        entities = {place: self._keys[names[place]].tensor(tensors[place], count) for place in keys}
        asked = [(ask.view.name, list(zip(*(entities[place] for place in ask.keys), strict=True))) for ask in fill.asks]
        found = await self._read(fill.asks, asked, deadline)
        # The places of what was sent are not looked at: they stand there so that the views' follow.
        read = [fill.pick(sum(parts, names)) for parts in zip(*found, strict=True)]
        columns = []
        for place, (sent, stored) in enumerate(zip(fill.sent, self._stored, strict=True)):
            if sent >= 0 or stored is None:
                columns.append(self._assembler.tensor(place, tensors[sent], count))
            else:
                columns.append(stored.many([row[place] for row in read], count))
        return self._assembler.stack(columns, count)


def _told(error: NotHeld | CorruptValue, row: Row, number: int) -> GatewayError:
    text = f"row {number}: {error}"
    if row.state in (RowState.UNAVAILABLE, RowState.LAST_KNOWN):
        return FeaturesUnavailable(text)
    if isinstance(error, (StaleFeature, CorruptValue)):
        return BadFeatures(text)
    return InvalidInput(text)
