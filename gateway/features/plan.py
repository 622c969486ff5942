"""
From the columns that a request names to what has to be read for it: compiled once per set of names, then looked up.

A row is completed by putting the values of the request and the rows of the views one behind the other, and picking
the model's inputs out of that by position. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from feature_cache.policy import Policy
from feature_cache.schema import FeatureView
from gateway.core.errors import InvalidInput
from gateway.features.bind import Binding
from gateway.features.values import repeated

__all__ = ["REMEMBERED", "Ask", "Fill", "FillPlan", "MissingColumn", "Pick"]

REMEMBERED = 256
"""Sets of names that are kept: callers choose them, so there is a bound."""

Pick = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is read of one view."""

    view: FeatureView
    keys: tuple[int, ...]
    """Places of the entity's values in a row of the request."""
    policy: Policy
    """Minds only the features that are used."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How rows with certain columns become rows of the model."""

    asks: tuple[Ask, ...]
    pick: Pick
    """The model's inputs out of a row of the request and the rows of the views, one behind the other."""
    is_read: tuple[bool, ...]
    """Of each input, whether it comes from a view."""
    sent: tuple[int, ...]
    """Of each input, its place in a row of the request; -1 where it comes from a view."""
    may_be_nan: Pick | None
    """Floats from views, among the model's inputs, that the model takes no NaN for."""


class MissingColumn(InvalidInput):
    """A column is missing; which row, only the caller knows."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f'column "{name}": {problem}')
        self._name, self._problem = name, problem

    def in_row(self, number: int) -> InvalidInput:
        return InvalidInput(f'column "{self._name}", row {number}: {self._problem}')


class FillPlan:
    """Of one deployment."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._fills: dict[tuple[str, ...], Fill] = {}
        self._by_name = {column.name: column for column in binding.model.inputs}
        self.request_names = tuple(column.name for column in binding.signature.inputs)
        self.model_names = tuple(self._by_name)
        self.known = frozenset((*self.model_names, *binding.entities))
        """Everything that means something in a request."""

    def positional(self, width: int) -> tuple[str, ...]:
        """
        The names of columns that came without: what the signature shows, or all inputs of the model.

        Raises ``InvalidInput`` when it is neither.
        """
        if width == len(self.request_names):
            return self.request_names
        if width == len(self.model_names):
            return self.model_names
        raise InvalidInput(
            f"row 0: expected a list of {len(self.model_names)} values, got {width} values; "
            f"or send only {', '.join(self.request_names)}"
        )

    def fill(self, names: tuple[str, ...]) -> Fill:
        """Raises ``InvalidInput`` when something is missing, or is there that must not be."""
        try:
            known = self._fills.get(names)
        except TypeError:
            raise InvalidInput("columns: expected a list of names") from None
        if known is None:
            known = self._compile(names)
            if len(self._fills) >= REMEMBERED:
                self._fills.clear()
            self._fills[names] = known
        return known

    def _compile(self, names: tuple[str, ...]) -> Fill:
        if not all(type(name) is str for name in names):
            raise InvalidInput("columns: expected a list of names")
        places = {name: place for place, name in enumerate(names)}
        if len(places) < len(names):
            raise repeated("columns", names)
        bound = self._binding.inputs
        views: dict[str, FeatureView] = {}
        for name in self.model_names:
            if name in places:
                if name in bound and (view := bound[name].view).source == "cache_only":
                    raise InvalidInput(f'column "{name}": it is read from view "{view.name}" only, do not send it')
            elif name in bound:
                views[bound[name].view.name] = bound[name].view
                self._need_keys(name, names, places)
            else:
                raise self._missing(name, "expected a value, it is missing", names)
        starts, end = {}, len(names)
        for view in views.values():
            starts[view.name] = end
            end += len(view.features)
        picked, used = [], {name: set[int]() for name in views}
        for name in self.model_names:
            if name in places:
                picked.append(places[name])
            else:
                view_name, place = bound[name].view.name, bound[name].place
                picked.append(starts[view_name] + place)
                used[view_name].add(place)
        is_read = tuple(name not in places for name in self.model_names)
        return Fill(
            asks=tuple(
                Ask(view, tuple(places[each.name] for each in view.entities), Policy(view, used[view.name]))
                for view in views.values()
            ),
            pick=_picker(picked),
            is_read=is_read,
            sent=tuple(places.get(name, -1) for name in self.model_names),
            may_be_nan=self._may_be_nan(is_read),
        )

    def _may_be_nan(self, is_read: Sequence[bool]) -> Pick | None:
        places = [
            place
            for place, (name, from_view) in enumerate(zip(self.model_names, is_read, strict=True))
            if from_view
            and not self._by_name[name].nullable
            and self._binding.inputs[name].feature.type in ("float64", "float32")
        ]
        return _picker(places) if places else None

    def _need_keys(self, name: str, names: tuple[str, ...], places: dict[str, int]) -> None:
        view = self._binding.inputs[name].view
        absent = [entity.name for entity in view.entities if entity.name not in places]
        if absent and view.source == "cache_only":
            raise self._missing(absent[0], f'expected a value, by which "{name}" is found; it is missing', names)
        if absent:
            keys = " and ".join(f'"{each}"' for each in absent)
            problem = f'expected a value, it is missing; or send {keys}, by which view "{view.name}" has it'
            raise self._missing(name, problem, names)

    def _missing(self, name: str, problem: str, names: tuple[str, ...]) -> MissingColumn:
        unused = [f'"{each}"' for each in names if each not in self.known]
        return MissingColumn(name, problem + (f"; not an input: {', '.join(unused[:8])}" if unused else ""))


def _picker(places: list[int]) -> Pick:
    if len(places) == 1:
        only = places[0]
        return lambda row: (row[only],)
    return itemgetter(*places)
