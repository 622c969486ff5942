"""
The columns of an R model: what the model holds of them, what ``signature.json`` says, and where the two disagree.

R itself is no safe judge: with levels in another order or columns in another place, some predict methods answer wrong
without an error. So every predictor must be declared by the model or by the file, levels must be the model's own in
the model's order, and whatever is neither is refused with the words to write.

Pure: values in, values or ``LoadError`` out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workers.runtimes.base import LoadError
from workers.schema import Column, Kind
from workers.signature_file import SignatureColumn, SignatureFile

__all__ = ["Form", "Known", "KnownColumn", "RInput", "ROutput", "Returned", "inputs_of", "outputs_of"]

Form = Literal["double", "integer", "logical", "character", "factor"]
"""The R vector that a column becomes."""

_DATATYPES: dict[Kind, str] = {
    "float": "FP64",
    "integer": "INT32",
    "boolean": "BOOL",
    "string": "BYTES",
    "categorical": "BYTES",
}
_FORMS: dict[Kind, Form] = {
    "float": "double",
    "integer": "integer",
    "boolean": "logical",
    "string": "character",
    "categorical": "factor",
}
_NO_LEVELS = "the model does not hold them; expected levels() of the training data, in that order"
_WIDE = ("INT64", "UINT32", "UINT64")
"""Integers that do not fit into R's: they become doubles."""
_WITH_NA = ("INT32", "INT64")
"""Integers that can be R's missing one, -2147483648."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownColumn:
    """A predictor as the model holds it."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    is_ordered: bool = False
    nullable: bool = False
    typical: float | None = None
    """A number that the model is sure to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that the model holds about its predictors."""

    columns: tuple[KnownColumn, ...] | None = None
    names: tuple[str, ...] | None = None
    """Where types are not held: the names alone, if even those."""
    count: int | None = None
    is_numeric: bool = False
    """Whether the model takes a matrix: every column must be a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RInput:
    """One column of the data.frame."""

    column: Column
    form: Form
    is_ordered: bool = False
    typical: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A column that the model was seen to return."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ROutput:
    """One output, and the name under which the model returns it."""

    column: Column
    source: str


def inputs_of(known: Known, signature: SignatureFile | None, model: str) -> tuple[RInput, ...]:
    """The predictors in the order that clients see. Raises ``LoadError``; ``model`` names it there."""
    if signature is None:
        if known.columns is None:
            raise LoadError(_what_to_write(known, model))
        for column in known.columns:
            if column.kind == "categorical" and not column.levels:
                raise LoadError(_what_to_write(known, model))
        return tuple(_own(column) for column in known.columns)
    declared = {column.name: column for column in signature.inputs}
    names = known.names if known.columns is None else tuple(column.name for column in known.columns)
    if names is not None:
        for name in names:
            if name not in declared:
                raise LoadError(f'{model}: signature.json: inputs: the model also needs the column "{name}"')
        for name in declared:
            if name not in names:
                raise LoadError(f'{model}: signature.json: inputs: the model has no predictor "{name}"')
    if known.count is not None and known.count != len(declared):
        expected = f"{model}: signature.json: inputs: the model takes {known.count} columns by position"
        raise LoadError(f"{expected}, the file declares {len(declared)}")
    own = {column.name: column for column in known.columns or ()}
    return tuple(_declared(column, own.get(column.name), known, model) for column in signature.inputs)


def outputs_of(returned: Sequence[Returned], signature: SignatureFile | None, model: str) -> tuple[ROutput, ...]:
    """
    The outputs in the order that clients see: all that the model returns, or those that ``signature.json`` lists.

    A declared name that the model returns is that column. Any other declared name is a new name for the first column
    of its type that is still free: ``[{"name": "price", "type": "float"}]`` renames ``prediction``.
    """
    if signature is None or not signature.outputs:
        return tuple(ROutput(column=_output(r.name, r.kind, r.levels), source=r.name) for r in returned)
    free = {r.name: r for r in returned if r.name not in {c.name for c in signature.outputs}}
    by_name = {r.name: r for r in returned}
    outputs = []
    for declared in signature.outputs:
        source = by_name.get(declared.name)
        if source is None:
            source = next((r for r in free.values() if _can_be(r.kind, declared.type)), None)
            if source is None:
                gives = ", ".join(f'"{r.name}" ({r.kind})' for r in returned)
                raise LoadError(
                    f'{model}: signature.json: outputs: "{declared.name}" ({declared.type}): the model returns {gives}'
                )
            del free[source.name]
        outputs.append(_declared_output(declared, source, model))
    return tuple(outputs)


def _own(known: KnownColumn) -> RInput:
    column = Column(
        name=known.name,
        kind=known.kind,
        datatype=_DATATYPES[known.kind],
        levels=known.levels,
        nullable=known.nullable,
    )
    return RInput(column=column, form=_FORMS[known.kind], is_ordered=known.is_ordered, typical=known.typical)


def _declared(declared: SignatureColumn, own: KnownColumn | None, known: Known, model: str) -> RInput:
    where = f'{model}: signature.json: inputs: "{declared.name}"'
    if declared.shape:
        raise LoadError(f"{where}: an R model takes one value per row and column, got shape {list(declared.shape)}")
    form: Form = _FORMS[declared.type]
    levels = declared.levels or ()
    if own is not None:
        if own.kind == "categorical":
            if declared.type != "categorical":
                raise LoadError(f"{where}: the model holds a categorical with levels {_quoted(own.levels)}")
            if own.levels and declared.levels is not None and declared.levels != own.levels:
                raise LoadError(f"{where}: levels: expected those of the model in its order, {_quoted(own.levels)}")
            levels = own.levels or levels
            if not levels:
                raise LoadError(f"{where}: levels: {_NO_LEVELS}")
        elif own.kind == "boolean":
            if declared.type != "boolean":
                raise LoadError(f"{where}: the model was trained on true and false; expected type boolean")
        elif declared.type not in ("float", "integer"):
            raise LoadError(f"{where}: the model was trained on a number; expected type float or integer")
        form = _FORMS[own.kind]
    elif known.is_numeric:
        if declared.type not in ("float", "integer"):
            raise LoadError(f"{where}: the model takes a matrix of numbers; expected type float or integer")
        form = "double"
    elif declared.type == "categorical" and not levels:
        raise LoadError(f"{where}: levels: {_NO_LEVELS}")
    datatype = declared.datatype or _DATATYPES[declared.type]
    if form == "integer" and datatype in _WIDE:
        form = "double"
    nullable = declared.nullable if declared.nullable is not None else own is not None and own.nullable
    if nullable and declared.type == "integer" and datatype not in _WITH_NA:
        if declared.nullable:
            raise LoadError(f"{where}: nullable: {datatype} has no missing value; expected {' or '.join(_WITH_NA)}")
        nullable = False
    column = Column(name=declared.name, kind=declared.type, datatype=datatype, levels=levels, nullable=nullable)
    if own is None:
        return RInput(column=column, form=form)
    return RInput(column=column, form=form, is_ordered=own.is_ordered, typical=own.typical)


def _declared_output(declared: SignatureColumn, source: Returned, model: str) -> ROutput:
    where = f'{model}: signature.json: outputs: "{declared.name}"'
    if declared.shape:
        raise LoadError(f"{where}: an R model returns one value per row and column, got shape {list(declared.shape)}")
    if not _can_be(source.kind, declared.type):
        raise LoadError(f"{where}: the model returns {source.kind}, the file declares {declared.type}")
    levels = source.levels
    if declared.type == "categorical" and source.kind == "string":
        levels = declared.levels or ()
        if not levels:
            raise LoadError(f"{where}: levels: the model returns text; expected the values that it can return")
    elif declared.levels is not None and declared.levels != levels:
        raise LoadError(f"{where}: levels: expected those of the model in its order, {_quoted(levels)}")
    column = Column(
        name=declared.name,
        kind=declared.type,
        datatype=declared.datatype or _DATATYPES[declared.type],
        levels=levels if declared.type == "categorical" else (),
        nullable=True if declared.nullable is None else declared.nullable,
    )
    return ROutput(column=column, source=source.name)


def _can_be(returned: Kind, declared: Kind) -> bool:
    if returned == declared:
        return True
    return (returned, declared) in {
        ("integer", "float"),
        ("float", "integer"),
        ("categorical", "string"),
        ("string", "categorical"),
    }


def _output(name: str, kind: Kind, levels: tuple[str, ...]) -> Column:
    return Column(name=name, kind=kind, datatype=_DATATYPES[kind], levels=levels, nullable=True)


def _quoted(levels: Sequence[str]) -> str:
    return json.dumps(list(levels), ensure_ascii=False)


def _what_to_write(known: Known, model: str) -> str:
    names = known.names or tuple(column.name for column in known.columns or ()) or ("x1", "x2")
    unknown = [column.name for column in known.columns or () if column.kind == "categorical" and not column.levels]
    lacks = f"the levels of {_quoted(unknown)}" if unknown else "the types and levels of its predictors"
    first = json.dumps([{"name": name, "type": "float"} for name in names[:2]])[1:-1]
    kind = "float or integer" if known.is_numeric else "float, integer, boolean, string or categorical"
    levels = "" if known.is_numeric else ' (then with "levels" in the order of levels() of the training data)'
    return (
        f"{model}: the model does not hold {lacks}; write signature.json beside it: "
        f'{{"inputs": [{first}{", …" if len(names) > 2 else ""}]}} with one entry per column in the order of training; '
        f"each type is {kind}{levels}"
    )
