"""
JSON value → payload: which of the many shapes of a request body means what. Decided here and nowhere else.

What a shape leaves open is settled by these rules, in this order; docs/protocols.md has them with examples.

1. An object with ``input_data`` is Azure ML's form, one with only ``data`` that is a list or object is the plain form;
   both hold a *frame*. Any other object is one record, or, if all its values are lists, named columns.
2. A frame that is an object with ``data`` and nothing but ``columns`` and ``index`` beside it is a split table; any
   other object is named columns. An ``index`` is not used, but there must be as many labels as rows, as pandas wants.
3. A list of objects is records; a list of anything else is a table in the order of the model's inputs.
"""

from __future__ import annotations

from typing import Any

from gateway.core.errors import InvalidInput
from gateway.core.payload import Named, Payload, Records, Table

__all__ = ["invocations_payload", "predict_payload", "score_payload"]

_LISTS = {list}
_SPLIT_KEYS = {"columns", "index", "data"}
_MLFLOW_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def score_payload(value: Any) -> Payload:
    """The body of ``/score``."""
    if type(value) is dict:
        if "input_data" in value:
            if len(value) > 1:
                _refuse_others(value, {"input_data", "params"})
                _refuse_params(value)
            return _frame(value["input_data"], "input_data")
        if len(value) == 1 and type(value.get("data")) in (list, dict):
            return _frame(value["data"], "data")
        if "dataframe_split" in value or "dataframe_records" in value:
            raise InvalidInput('MLflow\'s "dataframe_split" and "dataframe_records" are read on /invocations')
        if not value:
            raise InvalidInput('expected "input_data", "data" or the columns of one row, the object is empty')
        if _LISTS.issuperset(map(type, value.values())):
            return Named(value)
        return Records([value])
    if type(value) is list:
        return _listed(value, "body")
    if type(value) is str:
        raise InvalidInput("expected an object or a list, got a string; was the JSON encoded twice?")
    raise InvalidInput(f"expected an object or a list, got {_kind(value)}")


def invocations_payload(value: Any) -> Payload:
    """The JSON body of ``/invocations``: exactly one of MLflow's four keys."""
    if type(value) is not dict:
        raise InvalidInput(f"expected an object with one of {', '.join(_MLFLOW_KEYS)}, got {_kind(value)}")
    key = next(iter(value), "")
    if len(value) != 1 or key not in _MLFLOW_KEYS:
        key = _one_key(value)
    content = value[key]
    if key == "dataframe_split":
        if type(content) is not dict or "data" not in content:
            raise InvalidInput(f'{key}: expected an object with "data" and "columns"')
        _refuse_others(content, _SPLIT_KEYS, key)
        return _split(content, key)
    if key == "inputs" and type(content) is dict:
        return Named(content)
    if type(content) is not list:
        raise InvalidInput(f"{key}: expected a list, got {_kind(content)}")
    if key == "dataframe_records" and not all(type(row) is dict for row in content):
        raise InvalidInput(f"{key}: expected a list of objects, one per row")
    return _listed(content, key)


def predict_payload(value: Any) -> Payload:
    """The body of ``/predict``: a data frame as jsonlite writes one, by rows or by columns."""
    if type(value) is list and all(type(row) is dict for row in value):
        return Records(value)
    if type(value) is dict and value and _LISTS.issuperset(map(type, value.values())):
        return Named(value)
    if type(value) is dict and value:
        return Records([value])
    raise InvalidInput("expected a list of objects, one per row")


def _one_key(value: dict[str, Any]) -> str:
    """MLflow's key among others."""
    keys = [key for key in _MLFLOW_KEYS if key in value]
    if len(keys) != 1:
        raise InvalidInput(f"expected exactly one of {', '.join(_MLFLOW_KEYS)}, got {', '.join(keys) or 'none'}")
    _refuse_others(value, {keys[0], "params"})
    _refuse_params(value)
    return keys[0]


def _frame(value: Any, where: str) -> Payload:
    if type(value) is list:
        return _listed(value, where)
    if type(value) is dict:
        if type(value.get("data")) is list and len(value) == 1 + ("columns" in value) + ("index" in value):
            return _split(value, where)
        return Named(value)
    raise InvalidInput(f"{where}: expected an object or a list, got {_kind(value)}")


def _split(value: dict[str, Any], where: str) -> Table:
    columns, rows = value.get("columns"), value["data"]
    if type(rows) is not list:
        raise InvalidInput(f"{where}.data: expected a list of rows, got {_kind(rows)}")
    if columns is not None and type(columns) is not list:
        raise InvalidInput(f"{where}.columns: expected a list of names")
    index = value.get("index")
    if index is not None and type(index) is not list:
        raise InvalidInput(f"{where}.index: expected a list of labels, got {_kind(index)}")
    if index is not None and len(index) != len(rows):
        raise InvalidInput(f"{where}.index: expected a label for each row of data, {len(rows)}, got {len(index)}")
    return Table(columns, rows)


def _listed(rows: list[Any], where: str) -> Records | Table:
    if len(rows) == 1:
        return Records(rows) if type(rows[0]) is dict else Table(None, rows)
    are_objects = {type(row) is dict for row in rows}
    if len(are_objects) > 1:
        raise InvalidInput(f"{where}: expected rows of one kind, got objects and others")
    return Records(rows) if True in are_objects else Table(None, rows)


def _refuse_others(value: dict[str, Any], known: set[str], where: str = "body") -> None:
    if others := value.keys() - known:
        raise InvalidInput(f"{where}: expected {' or '.join(sorted(known))}, got {min(others)[:80]!r} too")


def _refuse_params(value: dict[str, Any]) -> None:
    if value.get("params"):
        raise InvalidInput("params: expected none, the models served here take no parameters")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
