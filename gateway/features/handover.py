"""
The rows of a shadow, made out of what its primary has read: nothing is fetched twice.

Two deployments often take the very same rows; then these are handed over as they are. Where one takes fewer columns,
another order, other levels or other types, its rows are made from the primary's values. A shadow that takes a column
which the primary does not gets it as any deployment would, from the caller's body or from the store, and all else from
the primary's row. Only a view that is ``cache_only`` is read anew then: nobody may bring such values, not even we.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.control.endpoints import EndpointConfig
from gateway.core.deadline import Deadline
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.request import Deployment, Enriched
from gateway.core.rows import Rows
from gateway.core.signature import Column
from gateway.features.assemble import Assembler
from gateway.features.bindings import Bindings
from gateway.features.lookup import Completer

__all__ = ["Handover"]


@dataclass(frozen=True, slots=True)
class _Bridge:
    """From one primary to one shadow."""

    primary: Deployment
    shadow: Deployment
    is_same: bool
    """Whether the rows of one are the rows of the other."""
    places: tuple[int, ...] | None
    """Of the shadow's inputs among the primary's; None where some are not there."""
    names: list[str]
    """Of the shadow's inputs."""
    given: tuple[int, ...]
    """Places of the primary's inputs that are put beside what the caller sent, where some are not there."""
    assembler: Assembler
    completer: Completer | None


class Handover:
    """
    Implements ``gateway.routing.mirror.Prepare`` for one configuration, to whose endpoints all deployments belong.

    Cheap to make; what it keeps is bounded by the names in the configuration.
    """

    def __init__(self, endpoints: Mapping[str, EndpointConfig], bindings: Bindings | None) -> None:
        self._endpoints, self._bindings = endpoints, bindings
        self._bridges: dict[tuple[str, str, str], _Bridge] = {}

    def rows(self, request: Enriched, shadow: Deployment) -> Rows | None:
        """Without waiting; None where more must be read. Raises ``InvalidInput``."""
        bridge = self._bridge(request.deployment, shadow)
        if bridge.is_same:
            return request.rows
        if bridge.places is None:
            return None
        return bridge.assembler(Table(bridge.names, _values(request.rows, bridge.places)))

    async def read(self, request: Enriched, shadow: Deployment, deadline: Deadline) -> Rows:
        """With what must be read, from the body or from the store. Raises ``GatewayError``."""
        bridge = self._bridge(request.deployment, shadow)
        payload = _joined(request, bridge.given)
        if bridge.completer is None:
            return bridge.assembler(payload)
        return await bridge.completer(payload, deadline)

    def _bridge(self, primary: Deployment, shadow: Deployment) -> _Bridge:
        """Made once for two deployments, and again when one of them was replaced."""
        key = primary.endpoint, primary.name, shadow.name
        known = self._bridges.get(key)
        if known is None or known.primary is not primary or known.shadow is not shadow:
            known = self._bridges[key] = self._build(primary, shadow)
        return known

    def _build(self, primary: Deployment, shadow: Deployment) -> _Bridge:
        ours, theirs = _inputs(primary), _inputs(shadow)
        configs = self._endpoints[primary.endpoint].deployments
        sources = configs[primary.name].features, configs[shadow.name].features
        # The same name read from another view is another value.
        known = {
            column.name: place
            for place, column in enumerate(ours)
            if sources[0].get(column.name) == sources[1].get(column.name)
        }
        names = [column.name for column in theirs]
        is_whole = all(name in known for name in names)
        assembler = Assembler(shadow.model_signature or shadow.signature, shadow.max_queue_rows)
        closed = self._closed(shadow)
        return _Bridge(
            primary,
            shadow,
            is_same=ours == theirs and is_whole,
            places=tuple(known[name] for name in names) if is_whole else None,
            names=names,
            given=tuple(known[name] for name in names if name in known and name not in closed),
            assembler=assembler,
            completer=self._bindings.completer(shadow, assembler) if self._bindings is not None else None,
        )

    def _closed(self, shadow: Deployment) -> frozenset[str]:
        """Inputs that only the store may give."""
        if self._bindings is None or shadow.model_signature is None:
            return frozenset()
        binding = self._bindings.bind(shadow.endpoint, shadow.name, shadow.model_signature)
        inputs = binding.inputs if binding is not None else {}
        return frozenset(name for name, bound in inputs.items() if bound.view.source == "cache_only")


def _inputs(deployment: Deployment) -> tuple[Column, ...]:
    return (deployment.model_signature or deployment.signature).inputs


def _values(rows: Rows, places: Sequence[int]) -> list[Any]:
    """A list per row, of the columns at these places."""
    return [list(row) for row in zip(*(rows.values(place) for place in places), strict=True)]


def _joined(request: Enriched, given: Sequence[int]) -> Payload:
    """What the caller sent, with these of the primary's columns put in, where it has not sent them itself."""
    payload, rows = request.received.read(), request.rows
    columns = {rows.layout.columns[place].name: place for place in given}
    if isinstance(payload, Named):
        return Named({**{name: rows.values(place) for name, place in columns.items()}, **payload.columns})
    if isinstance(payload, Tensors):
        sent = {tensor.name for tensor in payload.tensors}
        more = [_tensor(rows, place) for name, place in columns.items() if name not in sent]
        return Tensors([*payload.tensors, *more])
    if isinstance(payload, Records):
        names, values = list(columns), _values(rows, list(columns.values())) or [[] for _ in payload.rows]
        return Records(
            [
                {**dict(zip(names, more, strict=True)), **record}
                for record, more in zip(payload.rows, values, strict=True)
            ]
        )
    return _joined_table(request, payload, columns)


def _joined_table(request: Enriched, table: Table, columns: Mapping[str, int]) -> Table:
    rows, sent = request.rows, table.columns
    width = len(table.rows[0]) if table.rows and type(table.rows[0]) is list else 1
    if sent is None:
        forms = request.deployment.signature.inputs, _inputs(request.deployment)
        sent = next(([column.name for column in form] for form in forms if len(form) == width), None)
        if sent is None:
            return table
    missing = {name: place for name, place in columns.items() if name not in sent}
    more = _values(rows, list(missing.values())) or [[] for _ in table.rows]
    if table.is_text:
        more = [["" if value is None else str(value) for value in row] for row in more]
    return Table(
        [*sent, *missing],
        [[*(row if type(row) is list else [row]), *values] for row, values in zip(table.rows, more, strict=True)],
        table.is_text,
    )


def _tensor(rows: Rows, place: int) -> Tensor:
    column = rows.layout.columns[place]
    return Tensor(column.name, column.datatype.name, (rows.count, *column.shape), values=rows.values(place))
