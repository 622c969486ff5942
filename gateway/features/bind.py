"""
What a deployment's ``features`` mean: which inputs of the model come from which view, and what clients send instead.

Worked out once, when the model has told its signature; that is also when a binding that cannot work is refused: an
input that the model does not have, a text for a number, a default that is no level, null for a model that takes none.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feature_cache.schema import Entity, Feature, FeatureView
from gateway.core.errors import ConfigError, InvalidInput
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.config import ViewFile
from gateway.features.values import Converter

__all__ = ["Binding", "BoundInput", "bind", "check_sources"]

_ENTITY_COLUMNS = {
    "int64": (Kind.INTEGER, "INT64"),
    "int32": (Kind.INTEGER, "INT32"),
    "timestamp": (Kind.INTEGER, "INT64"),
    "string": (Kind.STRING, "BYTES"),
    "bytes": (Kind.STRING, "BYTES"),
}
_NUMBERS = ("float64", "float32", "int64", "int32", "timestamp")
_FITS = {
    Kind.FLOAT: _NUMBERS,
    Kind.INTEGER: ("int64", "int32", "timestamp"),
    Kind.BOOLEAN: ("bool",),
    Kind.STRING: ("string", "bytes"),
    Kind.CATEGORICAL: ("string",),
}
"""What a column of the model can be made of."""


@dataclass(frozen=True, slots=True)
class BoundInput:
    """One input of the model that a view has."""

    column: Column
    view: FeatureView
    feature: Feature

    @property
    def place(self) -> int:
        """Of the feature in a row of its view."""
        return self.view.positions[self.feature.name]

    @property
    def source(self) -> str:
        """As a deployment writes it."""
        return f"{self.view.name}:{self.feature.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One deployment's signature, as the model has it and as clients see it."""

    model: Signature
    signature: Signature
    """What clients send: the inputs that are not bound, then the keys of the views, in the order of their first use."""
    inputs: Mapping[str, BoundInput]
    """Name of a bound input → where it comes from."""
    entities: Mapping[str, Column]
    """Name of an entity → a column of its type."""


def check_sources(where: str, features: Mapping[str, str], views: Mapping[str, ViewFile]) -> None:
    """What can be told before the model is loaded. Raises ``ConfigError`` that begins with ``where``."""
    for name, source in features.items():
        view, _, feature = source.partition(":")
        if view not in views:
            raise ConfigError(f"{where}: features.{name}", f'there is no view "{view}"')
        if feature not in views[view].positions:
            raise ConfigError(f"{where}: features.{name}", f'view "{view}" has no feature "{feature}"')


def bind(where: str, model: Signature, features: Mapping[str, str], views: Mapping[str, ViewFile]) -> Binding:
    """``features``: input → ``view:feature``. Raises ``ConfigError`` that begins with ``where``."""
    check_sources(where, features, views)
    columns = {column.name: column for column in model.inputs}
    inputs: dict[str, BoundInput] = {}
    for name, source in features.items():
        if name not in columns:
            raise ConfigError(f"{where}: features.{name}", f"the model has no such input, it has {', '.join(columns)}")
        view_name, _, feature = source.partition(":")
        of_view = views[view_name]
        bound = BoundInput(columns[name], of_view, of_view.features[of_view.positions[feature]])
        if problem := _problem(bound):
            raise ConfigError(f"{where}: features.{name}", problem)
        inputs[name] = bound
    used = {bound.view.name: views[bound.view.name] for bound in inputs.values()}
    entities: dict[str, Column] = {}
    for view in used.values():
        for entity in view.entities:
            column = _entity_column(entity)
            if entities.setdefault(entity.name, column) != column:
                raise ConfigError(f"{where}: features", f'two views disagree about the type of "{entity.name}"')
            if entity.name in inputs:
                raise ConfigError(
                    f"{where}: features.{entity.name}", f'it is the key of view "{view.name}", so clients must send it'
                )
            if entity.name in columns and not _is_same(columns[entity.name], column):
                raise ConfigError(
                    f"{where}: features",
                    f'the model\'s input "{entity.name}" and the key of view "{view.name}" are not of one type',
                )
    sent = [column for column in model.inputs if column.name not in inputs]
    keys = [column for name, column in entities.items() if name not in columns]
    signature = Signature(
        inputs=(*sent, *keys), outputs=model.outputs, example=_example(model, sent, keys, list(used.values()))
    )
    return Binding(model=model, signature=signature, inputs=inputs, entities=entities)


def _problem(bound: BoundInput) -> str:
    """Why these two do not fit, or nothing."""
    column, feature, kind = bound.column, bound.feature, bound.feature.datatype
    if kind.element not in _FITS[column.kind]:
        return f"expected a feature for a {column.kind.value}, {bound.source} is {feature.type}"
    if kind.is_list != (len(column.shape) == 1) or len(column.shape) > 1:
        wanted = f"shape {list(column.shape)}" if column.shape else "single values"
        return f"the model takes {wanted}, {bound.source} is {feature.type}"
    if not column.nullable and "null" in (bound.view.on_missing_of(feature), bound.view.on_stale_of(feature)):
        return f"the model takes no null, which is what {bound.source} may become"
    if feature.default_value is not None:
        try:
            Converter(column).many([feature.default_value], 1)
        except InvalidInput as error:
            return f"the default of {bound.source} is nothing for the model: {error}"
    return ""


def _entity_column(entity: Entity) -> Column:
    kind, datatype = _ENTITY_COLUMNS[entity.type]
    return Column(name=entity.name, kind=kind, datatype=BY_NAME[datatype])


def _is_same(column: Column, entity: Column) -> bool:
    kind = Kind.STRING if column.kind is Kind.CATEGORICAL else column.kind
    return kind is entity.kind and column.shape == ()


def _example(
    model: Signature, sent: list[Column], keys: list[Column], views: list[ViewFile]
) -> tuple[tuple[object, ...], ...]:
    """One row, if the model and the views have told enough."""
    known: dict[str, object] = {}
    if model.example:
        known = {column.name: value for column, value in zip(model.inputs, model.example[0], strict=True)}
    for view in views:
        known.update(view.example)
    names = [column.name for column in (*sent, *keys)]
    return (tuple(known[name] for name in names),) if all(name in known for name in names) else ()
